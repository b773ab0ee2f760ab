//! A master behind Sentinels: replication is asynchronous, and a fail-over may lose what was last
//! written.

use std::time::Duration;

use keygate_tests::RedisSentinel;
use rustix::process::Signal;
use tokio::time::Instant;

use crate::scene::{Scene, Setting, assert_everything_expires};

/// Short, for what is measured is the outage after it.
const SILENCE: Duration = Duration::from_millis(500);

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn master_killed() {
    let mut sentinel = RedisSentinel::start().noticing_after(SILENCE);
    let scene = Scene::on(&sentinel.url(), Setting::default()).await;
    let old = sentinel.master();
    let struck = Instant::now();
    sentinel.kill(old);
    let new = sentinel.wait_for_another_than(old);
    let report = scene.end("Sentinel: master SIGKILL", struck, Instant::now()).await;
    report.assert_outage();
    report.assert_sound_after_a_loss();
    assert_everything_expires(&[&sentinel.servers()[new]]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn master_frozen_and_replaced() {
    let sentinel = RedisSentinel::start().noticing_after(SILENCE);
    let scene = Scene::on(&sentinel.url(), Setting::default()).await;
    let old = sentinel.master();
    let struck = Instant::now();
    sentinel.servers()[old].signal(Signal::STOP);
    let new = sentinel.wait_for_another_than(old);
    let reachable = Instant::now();
    scene.recovers(reachable).await;
    sentinel.servers()[old].signal(Signal::CONT);
    let report = scene.end("Sentinel: master SIGSTOP", struck, reachable).await;
    report.assert_outage();
    report.assert_sound_after_a_loss();
    assert_everything_expires(&[&sentinel.servers()[new]]);
}
