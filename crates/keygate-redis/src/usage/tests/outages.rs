//! Redis goes away, comes back, forgets, freezes; processes end.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use keygate::{
    memory::MemoryUsage,
    port::UsageStore,
    usage::{Granularity, UsageQuery},
};
use keygate_tests::RedisServer;
use rustix::process::Signal;
use tokio::time::Instant;

use super::scene::{
    Fact, all_requests, assert_everything_expires, assert_same, by_hand, consumer, eager,
    everything, requests_of, rollups, until, usage,
};
use crate::{fake, usage::UsageOptions};

const MINUTE: Duration = Duration::from_secs(60);

/// A store that does not wait long.
fn brisk() -> UsageOptions {
    UsageOptions { within: Duration::from_millis(250), ..by_hand() }
}

#[tokio::test]
async fn usage_comes_to_redis_by_itself() {
    let server = RedisServer::start();
    let store = usage(server.port(), eager());
    assert_eq!(store.stats().flushed, None);
    let acme = consumer("acme");
    let fact = Fact::by(&acme);
    fact.record(&store);
    until("a flush", || async { requests_of(&store, &acme).await == 1 }).await;
    until("all is there", || async { store.stats().series == 0 }).await;
    until("the last use", || async { store.last_used(fact.id()).await.unwrap().is_some() }).await;
    assert!(store.stats().flushed.is_some_and(|at| at > fact.at));
    assert_eq!(store.stats().batches, 1);
}

#[tokio::test]
async fn what_happens_while_redis_is_away_is_counted_when_it_is_back() {
    let mut server = RedisServer::start();
    let (store, model) = (usage(server.port(), eager()), MemoryUsage::default());
    server.kill();
    let (acme, other) = (consumer("acme"), consumer("other"));
    for number in 0..500 {
        let fact = Fact::by(if number % 2 == 0 { &acme } else { &other });
        fact.record(&store);
        fact.record(&model);
    }
    store.flush().await.unwrap_err();
    assert_eq!(store.stats().series, 500);
    store.query(&UsageQuery::by(Granularity::Day)).await.unwrap_err();
    server.run();
    until("a flush", || async { store.stats().series == 0 }).await;
    assert_same(&everything(&store).await, &everything(&model).await);
    assert_everything_expires(&server);
}

#[tokio::test]
async fn a_redis_that_forgot_everything_is_told_all_that_is_new() {
    let mut server = RedisServer::start();
    let store = usage(server.port(), by_hand());
    let acme = consumer("acme");
    let fact = Fact::by(&acme);
    for _ in 0..3 {
        fact.record(&store);
        store.flush().await.unwrap();
        server.kill();
        server.run();
        let _ = store.flush().await;
        fact.record(&store);
        fact.record(&store);
        while store.flush().await.is_err() {}
        assert_eq!(all_requests(&store).await, 2, "found through the list, and not from before");
    }
    assert_everything_expires(&server);
}

#[tokio::test]
async fn a_redis_that_hangs_keeps_nobody_and_counts_once() {
    let server = RedisServer::start();
    let store = usage(server.port(), brisk());
    let acme = consumer("acme");
    Fact::by(&acme).record(&store);
    until("the first flush", || async { store.flush().await.is_ok() }).await;
    server.signal(Signal::STOP);
    for _ in 0..5 {
        // The server will find all of them when it goes on.
        Fact::by(&acme).record(&store);
        store.flush().await.unwrap_err();
    }
    server.signal(Signal::CONT);
    until("a flush", || async { store.flush().await.is_ok() }).await;
    assert_eq!(requests_of(&store, &acme).await, 6);
    assert_eq!(store.stats().series, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flush_sends_few_calls_at_once() {
    let arrived = Arc::<Mutex<Vec<Instant>>>::default();
    let port = fake::server({
        let arrived = Arc::clone(&arrived);
        move |verb, _| {
            if verb == "EVALSHA" {
                arrived.lock().unwrap().push(Instant::now());
            }
            Some(String::new())
        }
    })
    .await;
    let store = usage(port, UsageOptions { within: Duration::from_secs(1), ..by_hand() });
    (0..60).for_each(|number| Fact::by(&consumer(&format!("c{number}"))).record(&store));
    store.flush().await.unwrap_err();
    let arrived = arrived.lock().unwrap();
    assert!(arrived.len() >= 60, "{}", arrived.len());
    // Four, and the next four when these are given up waiting for.
    let took = arrived[59].duration_since(arrived[0]);
    assert!(took >= Duration::from_millis(70), "{took:?}");
}

#[tokio::test]
async fn a_store_that_is_closed_leaves_nothing_behind() {
    let server = RedisServer::start();
    let (store, reader) = (usage(server.port(), by_hand()), usage(server.port(), by_hand()));
    let acme = consumer("acme");
    let fact = Fact::by(&acme);
    fact.record(&store);
    store.flush().await.unwrap();
    // Within the minute in which the use of the key is not written again by itself.
    let later = Fact { at: fact.at.saturating_add(Duration::from_micros(5)), ..fact.clone() };
    (0..1_000).for_each(|_| later.record(&store));
    store.close(MINUTE).await.unwrap();
    assert_eq!(requests_of(&reader, &acme).await, 1_001);
    let used = reader.last_used(fact.id()).await.unwrap();
    assert_eq!(used, Some(later.at.to_datetime()));
    later.record(&store);
    store.close(MINUTE).await.unwrap();
    assert_eq!(requests_of(&reader, &acme).await, 1_002, "also what came too late");
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_waits_for_redis_and_not_for_ever() {
    let mut server = RedisServer::start();
    let store = Arc::new(usage(server.port(), brisk()));
    server.kill();
    Fact::by(&consumer("acme")).record(&*store);
    store.close(Duration::from_millis(100)).await.unwrap_err();
    assert_eq!(store.stats().series, 1, "nothing is forgotten");
    let closing = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.close(MINUTE).await }
    });
    server.run();
    closing.await.unwrap().unwrap();
    assert_eq!(all_requests(&*store).await, 1);
}

#[tokio::test]
async fn a_store_that_is_dropped_says_farewell() {
    let server = RedisServer::start();
    let (store, reader) = (usage(server.port(), by_hand()), usage(server.port(), by_hand()));
    Fact::by(&consumer("acme")).record(&store);
    drop(store);
    until("the last flush", || async { all_requests(&reader).await == 1 }).await;
}

#[tokio::test]
async fn the_last_use_is_written_once_a_minute_or_when_asked() {
    let server = RedisServer::start();
    let store = usage(server.port(), eager());
    let fact = Fact::by(&consumer("acme"));
    fact.record(&store);
    let first = Some(fact.at.to_datetime());
    until("the first use", || async { store.last_used(fact.id()).await.unwrap() == first }).await;
    let later = Fact { at: fact.at.saturating_add(Duration::from_micros(1)), ..fact.clone() };
    later.record(&store);
    let by_day = UsageQuery::by(Granularity::Day);
    until("the second use counts", || async {
        rollups(&store, by_day.clone()).await[0].requests == 2
    })
    .await;
    assert_eq!(store.last_used(fact.id()).await.unwrap(), first, "not yet");
    store.flush().await.unwrap();
    assert_eq!(store.last_used(fact.id()).await.unwrap(), Some(later.at.to_datetime()));
}
