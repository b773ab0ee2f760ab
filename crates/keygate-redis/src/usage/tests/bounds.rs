//! What a process holds is bounded, and what gives way is detail, not requests.

use std::time::Duration;

use keygate::{
    clock::Timestamp,
    key::KeyId,
    memory::Retention,
    plan::Name,
    usage::{Granularity, UsageQuery},
};
use keygate_tests::{RedisServer, free_port};

use super::scene::{
    Fact, all_requests, by_hand, consumer, minutes_ago, requests, requests_of, rollups, usage,
};
use crate::usage::{UsageOptions, span::minute_of};

fn small(most_series: usize) -> UsageOptions {
    UsageOptions { most_series, within: Duration::from_millis(250), ..by_hand() }
}

/// The minutes of an hour that began within the last two, so that all of them are kept a while yet.
fn late_hour() -> impl Fn(u64) -> Timestamp {
    let hour = minutes_ago(59).seconds() / 3_600 * 3_600;
    move |minute| Timestamp::from_micros((hour + minute * 60) * 1_000_000)
}

#[tokio::test]
async fn what_waits_is_summed_by_the_hour_before_keys_are_given_up() {
    let mut server = RedisServer::start();
    let store = usage(server.port(), small(80));
    server.kill();
    let acme = consumer("acme");
    let keys = [(); 4].map(|()| KeyId::random().unwrap());
    let at_minute = late_hour();
    for minute in 0..60 {
        for key in keys {
            let key = Some((key, acme.clone()));
            Fact { key, at: at_minute(minute), ..Fact::by(&acme) }.record(&store);
        }
        store.flush().await.unwrap_err();
        assert!(store.stats().series <= 40, "{:?}", store.stats());
    }
    server.run();
    while store.flush().await.is_err() {}
    let by_hour = rollups(&store, UsageQuery::by(Granularity::Hour).consumer(acme.clone())).await;
    assert_eq!(by_hour.iter().map(|rollup| rollup.requests).collect::<Vec<_>>(), [60; 4]);
    let by_minute = rollups(&store, UsageQuery::by(Granularity::Minute).consumer(acme)).await;
    assert_eq!(requests(&by_minute), 240);
    assert_eq!((store.stats().folded, store.stats().dropped), (0, 0));
}

#[tokio::test]
async fn without_any_room_requests_still_count_for_their_outcome() {
    let mut server = RedisServer::start();
    let store = usage(server.port(), small(40));
    server.kill();
    let acme = consumer("acme");
    for number in 0..1_000 {
        let operation = Some(Name::parse(&format!("operation-{number}")).unwrap());
        Fact { operation, ..Fact::by(&acme) }.record(&store);
        if number % 100 == 0 {
            store.flush().await.unwrap_err();
        }
        // The bound, and one more of each half for the outcome in each hour: a test may see two.
        assert!(store.stats().series <= 44, "{:?}", store.stats());
    }
    server.run();
    while store.flush().await.is_err() {}
    let folded = store.stats().folded;
    assert!((950..1_000).contains(&folded), "{folded}");
    assert_eq!(all_requests(&store).await, 1_000);
    assert_eq!(requests_of(&store, &acme).await, 1_000 - folded);
    let all = rollups(&store, UsageQuery::by(Granularity::Day)).await;
    let keyless: Vec<_> = all.iter().filter(|rollup| rollup.key.is_none()).collect();
    assert_eq!(keyless.len(), 1);
    assert_eq!((keyless[0].requests, keyless[0].cost), (folded, folded));
    assert_eq!(keyless[0].latency_micros, 250 * folded);
    assert_eq!((&keyless[0].operation, &keyless[0].consumer), (&None, &None));
    assert_eq!(store.stats().dropped, 0);
}

#[tokio::test]
async fn a_known_series_needs_no_room() {
    let store = usage(free_port(), small(4));
    let fact = Fact::by(&consumer("acme"));
    (0..100).for_each(|_| fact.record(&store));
    assert_eq!((store.stats().series, store.stats().folded), (1, 0));
    store.flush().await.unwrap_err();
    for _ in 0..10 {
        (0..100).for_each(|_| fact.record(&store));
        store.flush().await.unwrap_err();
        assert_eq!((store.stats().series, store.stats().folded), (2, 0), "one is in a batch");
    }
}

#[tokio::test]
async fn a_backlog_of_many_series_goes_in_parts() {
    let server = RedisServer::start();
    let store = usage(server.port(), by_hand());
    let acme = consumer("acme");
    for number in 0..3_000 {
        Fact { at: minutes_ago(number % 100), ..Fact::by(&acme) }.record(&store);
    }
    store.flush().await.unwrap();
    assert_eq!(requests_of(&store, &acme).await, 3_000);
    assert_eq!(store.stats().batches, 30);
}

#[tokio::test]
async fn odd_options_do_no_harm() {
    let server = RedisServer::start();
    let (every, within) = (Duration::ZERO, Duration::from_secs(60));
    let query_within = Duration::MAX;
    let retention = Retention { minutes: 0, hours: 0, days: u32::MAX };
    let options = UsageOptions { retention, every, within, query_within, most_series: 0 };
    let store = usage(server.port(), options);
    for _ in 0..5 {
        Fact::by(&consumer("acme")).record(&store);
        store.flush().await.unwrap();
    }
    store.close(Duration::MAX).await.unwrap();
    assert_eq!((all_requests(&store).await, store.stats().folded), (5, 5));
}

#[test]
fn folding_keeps_the_hour_and_the_outcome() {
    let at_minute = late_hour();
    let operation = Some(Name::parse("search").unwrap());
    let fact = Fact { at: at_minute(17), operation, ..Fact::by(&consumer("acme")) };
    let folded = fact.series().folded();
    assert!(fact.series().has_detail() && !folded.has_detail());
    assert_eq!(folded.facts.minute, minute_of(at_minute(0)));
    assert_eq!((folded.consumer, folded.facts.key, folded.facts.operation), (None, None, None));
    assert_eq!((folded.facts.outcome, folded.sums), (fact.outcome, fact.series().sums));
}
