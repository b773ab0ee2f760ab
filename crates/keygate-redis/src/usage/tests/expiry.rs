//! Everything goes away by itself, when its time is over.

use std::{sync::Arc, time::Duration};

use keygate::{
    clock::{Clock, ManualClock, SystemClock},
    memory::Retention,
    port::UsageStore,
    usage::{Granularity, UsageQuery},
};
use keygate_tests::RedisServer;

use super::scene::{
    Fact, assert_everything_expires, by_hand, consumer, minutes_ago, requests, rollups, until,
    usage, usage_by,
};
use crate::usage::UsageOptions;

const DAY: Duration = Duration::from_secs(86_400);

#[tokio::test]
async fn state_always_expires() {
    let server = RedisServer::start();
    let store = usage(server.port(), by_hand());
    for minutes in [0, 1, 100, 10_000, 100_000] {
        let fact = Fact { at: minutes_ago(minutes), ..Fact::by(&consumer("acme")) };
        fact.record(&store);
        Fact { key: None, ..fact }.record(&store);
        let far = minutes_ago(0).saturating_add(DAY.saturating_mul(5_000));
        Fact { at: far, ..Fact::by(&consumer("ahead")) }.record(&store);
        store.flush().await.unwrap();
        assert_everything_expires(&server);
    }
    assert!(server.keys().len() > 20);
}

#[tokio::test]
async fn a_bucket_goes_when_its_retention_is_over() {
    let server = RedisServer::start();
    let retention = Retention { minutes: 1, hours: 2, days: 1 };
    let clock = Arc::new(ManualClock::at(SystemClock.now()));
    let options = UsageOptions { retention, ..by_hand() };
    let store = usage_by(Arc::clone(&clock) as _, server.port(), options);
    let fact = Fact { at: clock.now(), ..Fact::by(&consumer("acme")) };
    fact.record(&store);
    store.flush().await.unwrap();
    let places = |by: &str| server.keys().iter().filter(|key| key.contains(by)).count();
    assert_eq!(["minute", "hour", "day"].map(places), [1; 3]);
    // Written again a moment before its end, the minute is kept for that moment.
    let minute = fact.at.micros() / 60_000_000 * 60_000_000;
    let end = keygate::clock::Timestamp::from_micros(minute + 120_000_000);
    clock.set(keygate::clock::Timestamp::from_micros(end.micros() - 50_000));
    fact.record(&store);
    store.flush().await.unwrap();
    until("the minute is gone", || async { places("minute") == 0 }).await;
    assert_eq!(["hour", "day"].map(places), [1; 2]);
    // And after it, it is not written at all.
    clock.set(end);
    fact.record(&store);
    store.flush().await.unwrap();
    assert_eq!(places("minute"), 0);
    let by_hour = rollups(&store, UsageQuery::by(Granularity::Hour)).await;
    assert_eq!(requests(&by_hour), 3);
}

#[tokio::test]
async fn a_list_forgets_consumers_that_are_idle() {
    let server = RedisServer::start();
    let clock = Arc::new(ManualClock::at(SystemClock.now()));
    let store = usage_by(Arc::clone(&clock) as _, server.port(), by_hand());
    let fact = Fact { at: clock.now(), ..Fact::by(&consumer("idle")) };
    fact.record(&store);
    store.flush().await.unwrap();
    clock.advance(DAY.saturating_mul(102));
    Fact { at: clock.now(), ..Fact::by(&consumer("busy")) }.record(&store);
    store.flush().await.unwrap();
    let listed = server.cli(&["zrange", "keygate:usage:consumers", "0", "-1"]);
    assert_eq!(listed, "busy");
}

#[tokio::test]
async fn a_use_too_long_ago_is_not_remembered() {
    let server = RedisServer::start();
    let store = usage(server.port(), by_hand());
    let ages = [0, 100, 102];
    let facts = ages.map(|days| {
        let at = minutes_ago(days * 1_440);
        Fact { at, ..Fact::by(&consumer("acme")) }
    });
    facts.iter().for_each(|fact| fact.record(&store));
    store.flush().await.unwrap();
    let mut used = Vec::new();
    for fact in &facts {
        used.push(store.last_used(fact.id()).await.unwrap().is_some());
    }
    assert_eq!(used, [true, true, false]);
}

#[tokio::test]
async fn replicas_that_are_gone_are_forgotten() {
    let server = RedisServer::start();
    let acme = consumer("acme");
    let marker = "keygate:usage:{acme}:added";
    Fact::by(&acme).record(&usage_flushed(&server, &acme).await);
    assert_eq!(server.cli(&["hlen", marker]), "1");
    let long_ago = (minutes_ago(0).seconds() - 86_500).to_string();
    let now = minutes_ago(0).seconds().to_string();
    server_sets(&server, marker, "gone", &format!("5 {long_ago}"));
    server_sets(&server, marker, "there", &format!("5 {now}"));
    let _another = usage_flushed(&server, &acme).await;
    let replicas = server.cli(&["hkeys", marker]);
    assert!(!replicas.contains("gone") && replicas.contains("there"), "{replicas}");
    assert_eq!(server.cli(&["hlen", marker]), "3");
}

async fn usage_flushed(
    server: &RedisServer,
    consumer: &keygate::record::ConsumerId,
) -> crate::usage::RedisUsage {
    let store = usage(server.port(), by_hand());
    Fact::by(consumer).record(&store);
    store.flush().await.unwrap();
    store
}

fn server_sets(server: &RedisServer, key: &str, field: &str, value: &str) {
    assert_eq!(server.cli(&["hset", key, field, value]), "1");
}
