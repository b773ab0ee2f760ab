//! One server.

use std::{
    sync::atomic::{AtomicBool, Ordering::SeqCst},
    time::Duration,
};

use keygate_redis::FaultKind;
use keygate_tests::{RedisOptions, RedisServer};
use rustix::process::Signal;
use tokio::time::{Instant, sleep};

use crate::scene::{Scene, Setting, assert_everything_expires};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn killed_and_started_empty() {
    let mut server = RedisServer::start();
    let setting = Setting { own_records: true, ..Setting::default() };
    let scene = Scene::on(&server.url(), setting).await;
    let struck = Instant::now();
    server.kill();
    sleep(Duration::from_secs(2)).await;
    server.run();
    let report = scene.end("SIGKILL, 2 s, restart empty", struck, Instant::now()).await;
    report.assert_outage();
    report.assert_sound_after_a_loss();
    assert_everything_expires(&[&server]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn frozen_for_three_seconds() {
    let server = RedisServer::start();
    let scene = Scene::on(&server.url(), Setting::default()).await;
    let struck = Instant::now();
    server.signal(Signal::STOP);
    sleep(Duration::from_secs(3)).await;
    server.signal(Signal::CONT);
    let report = scene.end("SIGSTOP 3 s, SIGCONT", struck, Instant::now()).await;
    report.assert_outage();
    report.assert_sound();
    assert_everything_expires(&[&server]);
}

/// Longer than cached records of keys are answered without asking.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn frozen_for_eight_seconds() {
    let server = RedisServer::start();
    let scene = Scene::on(&server.url(), Setting::default()).await;
    let struck = Instant::now();
    server.signal(Signal::STOP);
    sleep(Duration::from_secs(8)).await;
    server.signal(Signal::CONT);
    let report = scene.end("SIGSTOP 8 s, SIGCONT", struck, Instant::now()).await;
    report.assert_outage();
    report.assert_sound();
    assert_everything_expires(&[&server]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn scripts_flushed_all_the_time() {
    let server = RedisServer::start();
    let scene = Scene::on(&server.url(), Setting::default()).await;
    let struck = Instant::now();
    for _ in 0..100 {
        assert_eq!(server.cli(&["script", "flush"]), "OK");
        sleep(Duration::from_millis(10)).await;
    }
    let report = scene.end("SCRIPT FLUSH, 100 times", struck, Instant::now()).await;
    report.assert_sound();
    assert_everything_expires(&[&server]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn busy_with_an_endless_script() {
    let server = RedisOptions::default().set("busy-reply-threshold", "500").start();
    let scene = Scene::on(&server.url(), Setting::default()).await;
    let struck = Instant::now();
    let killed = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            server.cli(&["eval", "while true do end", "0"]);
            assert!(killed.load(SeqCst), "the script ended by itself");
        });
        std::thread::sleep(Duration::from_secs(2));
        killed.store(true, SeqCst);
        assert_eq!(server.cli(&["script", "kill"]), "OK");
    });
    let report = scene.end("endless script, 2 s, SCRIPT KILL", struck, Instant::now()).await;
    report.assert_outage();
    report.assert_sound();
    assert!(report.faults(FaultKind::Busy) > 0, "never BUSY");
    assert_everything_expires(&[&server]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn out_of_memory() {
    let server = RedisServer::start();
    let scene = Scene::on(&server.url(), Setting::default()).await;
    let struck = Instant::now();
    assert_eq!(server.cli(&["config", "set", "maxmemory", "1"]), "OK");
    sleep(Duration::from_secs(2)).await;
    assert_eq!(server.cli(&["config", "set", "maxmemory", "0"]), "OK");
    let report = scene.end("OOM (noeviction), 2 s", struck, Instant::now()).await;
    report.assert_outage();
    report.assert_sound();
    assert!(report.faults(FaultKind::OutOfMemory) > 0, "never OOM");
    assert_everything_expires(&[&server]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn made_a_replica_and_master_again() {
    let server = RedisServer::start();
    let scene = Scene::on(&server.url(), Setting::default()).await;
    let struck = Instant::now();
    assert_eq!(server.cli(&["replicaof", "127.0.0.1", "1"]), "OK");
    sleep(Duration::from_secs(2)).await;
    assert_eq!(server.cli(&["replicaof", "no", "one"]), "OK");
    let report = scene.end("READONLY, 2 s", struck, Instant::now()).await;
    report.assert_outage();
    report.assert_sound();
    assert!(report.faults(FaultKind::NotMaster) > 0);
    assert_everything_expires(&[&server]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn killed_and_slow_to_load() {
    let mut server = RedisOptions::default()
        .set("enable-debug-command", "yes")
        .set("key-load-delay", "1000")
        .set("loading-process-events-interval-bytes", "1024")
        .start();
    assert_eq!(server.cli(&["debug", "populate", "2000", "keygate:{keys}:filler", "100"]), "OK");
    let scene = Scene::on(&server.url(), Setting::default()).await;
    let struck = Instant::now();
    assert_eq!(server.cli(&["save"]), "OK");
    server.kill();
    server.run();
    while server.cli(&["ping"]).contains("LOADING") {
        sleep(Duration::from_millis(2)).await;
    }
    let report = scene.end("SIGKILL, LOADING a snapshot", struck, Instant::now()).await;
    report.assert_outage();
    report.assert_sound_after_a_loss();
    assert!(report.faults(FaultKind::NotMaster) > 0, "never LOADING");
    assert_everything_expires(&[&server]);
}

/// Connections that are logged in stay so: it shows when they break.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn another_password_than_ours() {
    let server = RedisServer::start();
    let scene = Scene::on(&server.url(), Setting::default()).await;
    let struck = Instant::now();
    assert_eq!(server.cli(&["config", "set", "requirepass", "other"]), "OK");
    sleep(Duration::from_secs(1)).await;
    scene.recovers(struck).await;
    let cut = ["-a", "other", "--no-auth-warning", "client", "kill", "type", "normal"];
    server.cli(&cut);
    sleep(Duration::from_secs(2)).await;
    let unset = ["-a", "other", "--no-auth-warning", "config", "set", "requirepass", ""];
    assert_eq!(server.cli(&unset), "OK");
    let report = scene.end("other password, connections cut, 2 s", struck, Instant::now()).await;
    report.assert_outage();
    report.assert_sound();
    assert!(report.faults(FaultKind::Credentials) > 0);
    assert_everything_expires(&[&server]);
}
