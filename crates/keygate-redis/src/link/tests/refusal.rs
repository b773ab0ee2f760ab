//! Servers that answer, but not with what was asked for.

use keygate_tests::{RedisOptions, RedisServer};
use redis::Value;

use super::*;

#[tokio::test]
async fn a_master_that_becomes_a_replica_and_master_again_is_used_again() {
    let server = RedisServer::start();
    let link = link(&server.url());
    counted(&link, "a", AMPLE).await.unwrap();
    assert_eq!(server.cli(&["replicaof", "127.0.0.1", "1"]), "OK");
    assert_eq!(kind(counted(&link, "a", AMPLE).await), FaultKind::NotMaster);
    assert_eq!(server.cli(&["replicaof", "no", "one"]), "OK");
    soon(|| counted(&link, "a", AMPLE)).await;
}

#[tokio::test]
async fn a_replica_without_its_master_is_no_master() {
    let options = RedisOptions::default().set("replica-serve-stale-data", "no");
    let server = options.start();
    let link = link(&server.url());
    counted(&link, "a", AMPLE).await.unwrap();
    assert_eq!(server.cli(&["replicaof", "127.0.0.1", "1"]), "OK");
    assert_eq!(kind(counted(&link, "a", AMPLE).await), FaultKind::NotMaster);
}

#[tokio::test]
async fn refusals_do_not_make_a_connection_each() {
    let server = RedisOptions::default().set("replicaof", "127.0.0.1 1").start();
    let link = link(&server.url());
    for _ in 0..1_000 {
        assert_eq!(kind(counted(&link, "a", AMPLE).await), FaultKind::NotMaster);
    }
    let stats = server.cli(&["info", "stats"]);
    let made =
        stats.lines().find_map(|line| line.trim_end().strip_prefix("total_connections_received:"));
    assert!(made.unwrap().parse::<u32>().unwrap() < 20, "{stats}");
}

#[tokio::test]
async fn a_server_that_loads_is_used_once_it_has_loaded() {
    let mut server = RedisOptions::default()
        .set("enable-debug-command", "yes")
        .set("key-load-delay", "2000")
        .set("loading-process-events-interval-bytes", "1024")
        .start();
    assert_eq!(server.cli(&["debug", "populate", "1000", "filler", "100"]), "OK");
    assert_eq!(server.cli(&["save"]), "OK");
    server.kill();
    server.run();
    let link = link(&server.url());
    assert_eq!(kind(counted(&link, "a", AMPLE).await), FaultKind::NotMaster);
    soon(|| counted(&link, "a", AMPLE)).await;
}

#[tokio::test]
async fn a_script_without_end_makes_the_server_busy() {
    let server = RedisOptions::default().set("busy-reply-threshold", "20").start();
    let [link, other] = [(); 2].map(|()| link(&server.url()));
    counted(&link, "a", AMPLE).await.unwrap();
    let endless = Script::new("while true do end");
    let looping =
        tokio::spawn(
            async move { other.call::<Value>(&endless, &["b".to_owned()], &[0], AMPLE).await },
        );
    soon_fails(&link, AMPLE, FaultKind::Busy).await;
    assert_eq!(server.cli(&["script", "kill"]), "OK");
    looping.await.unwrap().unwrap_err();
    soon(|| counted(&link, "a", AMPLE)).await;
}

#[tokio::test]
async fn a_full_server_is_out_of_memory() {
    let server = RedisServer::start();
    let link = link(&server.url());
    counted(&link, "a", AMPLE).await.unwrap();
    assert_eq!(server.cli(&["config", "set", "maxmemory", "1"]), "OK");
    assert_eq!(kind(counted(&link, "a", AMPLE).await), FaultKind::OutOfMemory);
    assert_eq!(kind(scripted(&link, &counting(), "a", AMPLE).await), FaultKind::OutOfMemory);
}

#[tokio::test]
async fn a_foreign_value_is_told_and_the_connection_kept() {
    let server = RedisServer::start();
    let link = link(&server.url());
    assert_eq!(server.cli(&["rpush", "list", "one"]), "1");
    assert_eq!(kind(counted(&link, "list", AMPLE).await), FaultKind::Foreign);
    let kept = clients(&server);
    let raises = Script::new("return redis.error_reply('KEYGATE what is this?')");
    assert_eq!(kind(scripted(&link, &raises, "a", AMPLE).await), FaultKind::Foreign);
    let speaks = Script::new("return 'a word'");
    assert_eq!(kind(scripted(&link, &speaks, "a", AMPLE).await), FaultKind::Foreign);
    counted(&link, "a", AMPLE).await.unwrap();
    assert_eq!(clients(&server), kept);
}

#[tokio::test]
async fn a_wrong_password_is_told_apart_from_nobody_there() {
    let server = RedisOptions::default().password("right").start();
    let wrong = link(&server.url().replace("right", "hush"));
    assert_eq!(kind(counted(&wrong, "a", AMPLE).await), FaultKind::Credentials);
    let none = link(&server.url().replace(":right@", ""));
    assert_eq!(kind(counted(&none, "a", AMPLE).await), FaultKind::Credentials);
}

#[tokio::test]
async fn a_key_that_is_not_the_users_is_about_permission() {
    let server = RedisOptions::default().user("half", "pass", "~mine:* +@all").start();
    let link = link(&format!("redis://half:pass@127.0.0.1:{}", server.port()));
    assert_eq!(kind(counted(&link, "theirs", AMPLE).await), FaultKind::Permission);
    assert_eq!(counted(&link, "mine:a", AMPLE).await.unwrap(), 1);
}
