//! What replicas have seen heals a Redis that forgot, and yields to an administrator's reset.

use std::sync::Arc;

use keygate::{
    clock::Timestamp,
    period::Period,
    plan::{Limit, RateSpec},
    port::{CounterStore, Owner},
};
use keygate_tests::RedisServer;

use super::support::{
    Customer, assert_everything_expires, calls, limits, monthly, replica, set_clock,
    stepped_replica,
};
use crate::counters::RedisCounters;

fn plan() -> Arc<[Limit]> {
    limits([
        Limit::quota("monthly", 100, Period::month(keygate::period::AnchorDay::FIRST)),
        Limit::rate("pace", RateSpec::per_day(10).burst(100)),
        Limit::quota("own", 100, Period::month(keygate::period::AnchorDay::FIRST)).per_key(),
    ])
}

#[tokio::test]
async fn a_redis_that_was_emptied_is_told_what_was_used() {
    let server = RedisServer::start();
    let (first, second) = (replica(&server), replica(&server));
    let (limits, acme) = (plan(), Customer::new("acme"));
    acme.charge(&first, &limits, 30).await.unwrap();
    acme.charge(&second, &limits, 20).await.unwrap();
    server.cli(&["flushall"]);
    assert_eq!(acme.remaining(&second, &limits).await, [50, 50, 50], "the second saw all of it");
    acme.charge(&second, &limits, 1).await.unwrap();
    assert_eq!(acme.remaining(&first, &limits).await, [49, 49, 49]);
    assert_eq!(acme.remaining(&replica(&server), &limits).await, [49, 49, 49], "it is stored");
    assert_everything_expires(&server);
}

#[tokio::test]
async fn what_is_recalled_is_kept_even_if_nothing_can_be_charged() {
    let server = RedisServer::start();
    let (first, acme) = (replica(&server), Customer::new("acme"));
    let limits = plan();
    acme.charge(&first, &limits, 100).await.unwrap();
    let _ = server.cli(&["flushall"]);
    let refused = acme.charge(&first, &limits, 1).await.unwrap();
    assert!(refused.iter().all(|reading| !reading.within));
    assert_eq!(acme.remaining(&replica(&server), &limits).await, [0, 0, 0], "for everybody");
}

/// Decisions that cost one trip, once the script is known.
async fn trips(
    server: &RedisServer,
    replica: &RedisCounters,
    limits: &Arc<[Limit]>,
    cost: u64,
) -> u64 {
    let acme = Customer::new("acme");
    acme.charge(replica, limits, cost).await.unwrap();
    let _ = server.cli(&["config", "resetstat"]);
    for _ in 0..10 {
        acme.charge(replica, limits, cost).await.unwrap();
    }
    calls(server, "evalsha")
}

#[tokio::test]
async fn a_decision_is_one_trip_whether_it_charges_reads_or_refuses() {
    let server = RedisServer::start();
    let replica = replica(&server);
    for cost in [0, 1, 101, 0] {
        assert_eq!(trips(&server, &replica, &plan(), cost).await, 10, "a cost of {cost}");
    }
}

#[tokio::test]
async fn a_redis_that_lost_the_latest_writes_is_told_of_them_by_each_replica() {
    let server = RedisServer::start();
    let (first, second) = (replica(&server), replica(&server));
    let (limits, acme) = (plan(), Customer::new("acme"));
    acme.charge(&first, &limits, 10).await.unwrap();
    let key = "keygate:limits:{acme}";
    let own = format!("{key}:{}", acme.key);
    for key in [key, &own] {
        server.cli(&["copy", key, &format!("{key}:before")]);
    }
    acme.charge(&first, &limits, 20).await.unwrap();
    acme.charge(&second, &limits, 5).await.unwrap();
    for key in [key, &own] {
        server.cli(&["copy", &format!("{key}:before"), key, "replace"]);
    }
    // The first knows of 30, the second of 35: whoever comes first, the last word is the larger.
    assert_eq!(acme.remaining(&replica(&server), &limits).await, [90, 90, 90], "it did forget");
    acme.charge(&first, &limits, 1).await.unwrap();
    assert_eq!(acme.remaining(&first, &limits).await, [69, 69, 69]);
    acme.charge(&second, &limits, 1).await.unwrap();
    assert_eq!(acme.remaining(&second, &limits).await, [64, 64, 64]);
    assert_everything_expires(&server);
}

#[tokio::test]
async fn what_was_lost_is_missed_even_if_others_were_charged_since() {
    let server = RedisServer::start();
    let (first, second) = (replica(&server), replica(&server));
    let (limits, acme) = (limits([monthly("monthly", 100)]), Customer::new("acme"));
    let key = "keygate:limits:{acme}";
    acme.charge(&first, &limits, 10).await.unwrap();
    server.cli(&["copy", key, "before"]);
    // As many that met are one charge.
    acme.charge(&first, &limits, 20).await.unwrap();
    server.cli(&["copy", "before", key, "replace"]);
    for left in (85..90).rev() {
        let readings = acme.charge(&second, &limits, 1).await.unwrap();
        assert_eq!(readings[0].remaining, left, "it did forget");
    }
    assert_eq!(acme.remaining(&first, &limits).await, [70]);
}

#[tokio::test]
async fn what_was_seen_before_a_reset_is_void() {
    let server = RedisServer::start();
    let (first, second) = (replica(&server), replica(&server));
    let (limits, acme) = (plan(), Customer::new("acme"));
    acme.charge(&first, &limits, 30).await.unwrap();
    acme.charge(&second, &limits, 30).await.unwrap();
    second.reset(Owner::Consumer(&acme.consumer)).await.unwrap();
    assert_eq!(acme.remaining(&first, &limits).await, [100, 100, 40]);
    let key = Owner::Key { consumer: &acme.consumer, key: acme.key };
    second.reset(key).await.unwrap();
    assert_eq!(acme.remaining(&first, &limits).await, [100, 100, 100]);
    assert_eq!(acme.remaining(&second, &limits).await, [100, 100, 100]);
    acme.charge(&first, &limits, 7).await.unwrap();
    assert_eq!(acme.remaining(&second, &limits).await, [93, 93, 93]);
    assert_everything_expires(&server);
}

/// Puts back what was copied.
fn put_back(server: &RedisServer, keys: &[String]) {
    for key in keys {
        server.cli(&["copy", &format!("{key}:before"), key, "replace"]);
    }
}

fn put_aside(server: &RedisServer, acme: &Customer) -> [String; 2] {
    let keys = [KEY.to_owned(), format!("{KEY}:{}", acme.key)];
    for key in &keys {
        server.cli(&["copy", key, &format!("{key}:before")]);
    }
    keys
}

const KEY: &str = "keygate:limits:{acme}";

#[tokio::test]
async fn what_is_healed_is_not_healed_again() {
    let server = RedisServer::start();
    let (replica, limits, acme) = (replica(&server), plan(), Customer::new("acme"));
    acme.charge(&replica, &limits, 10).await.unwrap();
    let keys = put_aside(&server, &acme);
    acme.charge(&replica, &limits, 20).await.unwrap();
    // Twice: what was mended is lost as well. Between them a charge that is refused, and so mends
    // nothing.
    for left in [69, 68] {
        put_back(&server, &keys);
        let refused = acme.charge(&replica, &limits, 90).await.unwrap();
        assert!(refused.iter().all(|reading| !reading.within));
        acme.charge(&replica, &limits, 1).await.unwrap();
        let before = calls(&server, "evalsha");
        assert_eq!(acme.remaining(&replica, &limits).await, [left, left, left]);
        assert_eq!(calls(&server, "evalsha"), before + 1, "it was asked what it has seen again");
    }
}

#[tokio::test]
async fn charges_of_one_instant_are_told_apart() {
    let server = RedisServer::start();
    let (replica, limits, acme) = (stepped_replica(&server), plan(), Customer::new("acme"));
    set_clock(&replica, Timestamp::from_micros(2_000_000_000_000_000)).await;
    acme.charge(&replica, &limits, 10).await.unwrap();
    let keys = put_aside(&server, &acme);
    // A server that takes over with its clock behind counts like this for a while.
    set_clock(&replica, Timestamp::from_micros(1_999_999_999_000_000)).await;
    acme.charge(&replica, &limits, 20).await.unwrap();
    put_back(&server, &keys);
    acme.charge(&replica, &limits, 1).await.unwrap();
    assert_eq!(acme.remaining(&replica, &limits).await, [69, 69, 69]);
}

#[tokio::test]
async fn a_clock_that_steps_back_over_several_turns_is_followed() {
    let server = RedisServer::start();
    let (replica, acme) = (stepped_replica(&server), Customer::new("acme"));
    let limits = limits([
        Limit::quota("hourly", 100, Period::hour()),
        Limit::quota("daily", 100, Period::day()),
        Limit::quota("own-hourly", 100, Period::hour()).per_key(),
        Limit::quota("own-daily", 100, Period::day()).per_key(),
        Limit::quota("more", 100, Period::day()).per_key(),
    ]);
    let midnight = 2_000_073_600_000_000;
    set_clock(&replica, Timestamp::from_micros(midnight)).await;
    acme.charge(&replica, &limits, 30).await.unwrap();
    set_clock(&replica, Timestamp::from_micros(midnight - 1_000_000)).await;
    acme.charge(&replica, &limits, 20).await.unwrap();
    assert_eq!(acme.remaining(&replica, &limits).await, [50; 5]);
}
