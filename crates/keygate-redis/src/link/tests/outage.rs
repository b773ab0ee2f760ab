//! Servers that die, freeze and come back.

use std::sync::Arc;

use keygate_tests::{RedisServer, free_port};
use rustix::process::Signal;

use super::*;

const DEADLINE: Duration = Duration::from_millis(25);

/// Lets a busy machine be late, but no hanging call pass: after two seconds that would be told, as
/// another fault, that there is no connection.
const LATE: Duration = Duration::from_secs(1);

#[tokio::test]
async fn a_server_that_comes_back_is_found_by_the_same_link() {
    let mut server = RedisServer::start();
    let link = link(&server.url());
    counted(&link, "a", AMPLE).await.unwrap();
    server.kill();
    soon_fails(&link, DEADLINE, FaultKind::Connection).await;
    server.run();
    let (count, took) = soon(|| counted(&link, "a", DEADLINE)).await;
    assert_eq!(count, 1);
    println!("found again after {took:?}");
}

#[tokio::test]
async fn a_break_while_idle_costs_no_call() {
    let server = RedisServer::start();
    let link = link(&server.url());
    counted(&link, "a", AMPLE).await.unwrap();
    let first = clients(&server);
    assert_eq!(server.cli(&["client", "kill", "type", "normal", "skipme", "yes"]), "1");
    let replaced = || async {
        let now = clients(&server);
        if now.len() == 1 && now != first { Ok(()) } else { Err(now) }
    };
    soon(replaced).await;
    assert_eq!(counted(&link, "a", AMPLE).await.unwrap(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_outlives_the_runtime_that_asked_for_it() {
    let server = RedisServer::start();
    let link = Arc::new(link(&server.url()));
    counted(&link, "a", AMPLE).await.unwrap();
    let first = clients(&server);
    let (asking, watched) = (Arc::clone(&link), first.clone());
    let worker = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let replaced = || async {
            let now = clients(&server);
            if now.len() == 1 && now != watched { Ok(now) } else { Err(now) }
        };
        let replaced = runtime.block_on(async {
            asking.keeper.mend();
            soon(replaced).await.0
        });
        (server, replaced)
    });
    let (server, second) = worker.join().unwrap();
    assert_ne!(first, second);
    assert_eq!(counted(&link, "a", AMPLE).await.unwrap(), 2);
    assert_eq!(clients(&server), second, "it ended with the thread that asked for it");
}

#[tokio::test]
async fn a_frozen_server_keeps_the_deadline_and_goes_on() {
    let server = RedisServer::start();
    let link = link(&server.url());
    counted(&link, "a", AMPLE).await.unwrap();
    server.signal(Signal::STOP);
    for _ in 0..5 {
        let start = now();
        assert_eq!(kind(counted(&link, "a", DEADLINE).await), FaultKind::Timeout);
        assert!(now().duration_since(start) < DEADLINE + LATE);
    }
    server.signal(Signal::CONT);
    soon(|| counted(&link, "b", DEADLINE)).await;
    // None of the commands was lost or sent twice.
    assert_eq!(counted(&link, "a", AMPLE).await.unwrap(), 7);
}

#[tokio::test]
async fn a_server_that_stays_frozen_is_told_at_once_and_found_again() {
    let server = RedisServer::start();
    let link = link(&server.url());
    counted(&link, "a", AMPLE).await.unwrap();
    server.signal(Signal::STOP);
    soon_fails(&link, DEADLINE, FaultKind::Connection).await;
    let start = now();
    for _ in 0..100 {
        counted(&link, "a", DEADLINE).await.unwrap_err();
    }
    assert!(now().duration_since(start) < DEADLINE * 50);
    server.signal(Signal::CONT);
    let (_, took) = soon(|| counted(&link, "a", DEADLINE)).await;
    println!("found again after {took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_callers_in_an_outage_make_no_thousand_connections() {
    let mut server = RedisServer::start();
    let link = Arc::new(link(&server.url()));
    counted(&link, "a", AMPLE).await.unwrap();
    server.kill();
    let callers: Vec<_> = (0..1_000)
        .map(|_| {
            let link = Arc::clone(&link);
            tokio::spawn(async move { soon(|| counted(&link, "a", DEADLINE)).await })
        })
        .collect();
    server.run();
    for caller in callers {
        caller.await.unwrap();
    }
    let stats = server.cli(&["info", "stats"]);
    let made =
        stats.lines().find_map(|line| line.trim_end().strip_prefix("total_connections_received:"));
    // Those of `redis-cli` among them.
    assert!(made.unwrap().parse::<u32>().unwrap() < 20, "{stats}");
}

#[tokio::test]
async fn callers_whose_time_is_short_do_not_take_the_attempt_along() {
    let server = RedisServer::start();
    server.signal(Signal::STOP);
    let link = link(&server.url());
    for _ in 0..5 {
        assert_eq!(kind(counted(&link, "a", Duration::from_millis(5)).await), FaultKind::Timeout);
    }
    server.signal(Signal::CONT);
    soon(|| counted(&link, "a", DEADLINE)).await;
}

#[tokio::test]
async fn nobody_there_is_told_at_once_after_the_first_attempt() {
    let link = link(&format!("redis://127.0.0.1:{}", free_port()));
    let start = now();
    for _ in 0..1_000 {
        assert_eq!(kind(counted(&link, "a", AMPLE).await), FaultKind::Connection);
    }
    assert!(now().duration_since(start) < AMPLE);
}

#[test]
fn a_link_outlives_the_runtime_that_made_its_connection() {
    let server = RedisServer::start();
    let link = link(&server.url());
    let on_a_runtime = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(soon(|| counted(&link, "a", AMPLE)));
    };
    on_a_runtime();
    on_a_runtime();
}
