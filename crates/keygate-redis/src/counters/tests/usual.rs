//! What most charges are: counters alone are written, under a list of limits that is known.

use std::{sync::Arc, time::Duration};

use keygate::{
    limit::{Correction, MAX_EXACT},
    period::Period,
    plan::{Limit, LimitBuilder, RateSpec},
    port::{Charge, CounterStore},
};
use keygate_tests::RedisServer;
use tokio::time::sleep;

use super::support::{
    Customer, assert_everything_expires, calls, is_admitted, limits, monthly, replica,
};
use crate::counters::RedisCounters;

/// How often the value was written in full over so many charges, and how often its counters alone.
async fn writes(
    server: &RedisServer,
    replica: &RedisCounters,
    of: &[&Arc<[Limit]>],
    charges: usize,
) -> [u64; 2] {
    let acme = Customer::new("acme");
    let _ = server.cli(&["config", "resetstat"]);
    for limits in of.iter().cycle().take(charges) {
        let readings = acme.charge(replica, limits, 1).await.unwrap();
        assert!(readings.iter().all(|reading| reading.within));
    }
    assert_eq!(calls(server, "evalsha"), u64::try_from(charges).unwrap(), "one trip each");
    ["set", "setrange"].map(|command| calls(server, command))
}

fn daily(name: &str) -> LimitBuilder {
    Limit::quota(name, 1_000, Period::day())
}

fn rate(name: &str) -> LimitBuilder {
    Limit::rate(name, RateSpec::per_day(1_000).burst(1_000))
}

#[tokio::test]
async fn a_usual_charge_writes_the_counters_alone() {
    let server = RedisServer::start();
    let (replica, plan) = (replica(&server), limits([daily("daily"), rate("burst")]));
    file_the_script(&replica).await;
    let [in_full, alone] = writes(&server, &replica, &[&plan], 20).await;
    assert_eq!((in_full, alone), (1, 19));
    assert_everything_expires(&server);
}

#[tokio::test]
async fn nothing_is_sent_before_somebody_polls() {
    let server = RedisServer::start();
    let (replica, plan) = (replica(&server), limits([daily("daily")]));
    let (acme, limits) = (Customer::new("acme"), &plan);
    file_the_script(&replica).await;
    let _ = server.cli(&["config", "resetstat"]);
    let (consumer, key) = (&acme.consumer, acme.key);
    let charge = replica.charge(&Charge { consumer, key, limits, cost: 1, slot: None });
    drop(replica.charge(&Charge { consumer, key, limits, cost: 1, slot: None }));
    assert_eq!(acme.remaining(&replica, &plan).await, [1_000]);
    assert_eq!(calls(&server, "evalsha"), 1);
    assert_eq!(charge.await.unwrap()[0].remaining, 999);
}

#[tokio::test]
async fn operations_that_take_turns_are_usual() {
    let server = RedisServer::start();
    let (replica, all) = (replica(&server), limits([daily("daily"), rate("burst")]));
    let search = limits([daily("daily"), rate("search"), rate("burst")]);
    file_the_script(&replica).await;
    let [in_full, alone] = writes(&server, &replica, &[&all, &search], 20).await;
    assert_eq!((in_full, alone), (2, 18));
}

#[tokio::test]
async fn another_replica_learns_the_list_with_its_first_charge() {
    let server = RedisServer::start();
    let (first, second) = (replica(&server), replica(&server));
    let plan = limits([daily("a"), daily("b")]);
    file_the_script(&first).await;
    writes(&server, &first, &[&plan], 5).await;
    let [in_full, alone] = writes(&server, &second, &[&plan], 5).await;
    assert_eq!((in_full, alone), (1, 4));
    let [in_full, alone] = writes(&server, &first, &[&plan], 5).await;
    assert_eq!((in_full, alone), (0, 5), "the list is the same");
}

#[tokio::test]
async fn more_limits_than_the_script_has_places_for_are_counted_in_full() {
    let server = RedisServer::start();
    let (replica, acme) = (replica(&server), Customer::new("acme"));
    let plans: Vec<_> = (0..25).map(|number| limits([daily(&format!("limit-{number}"))])).collect();
    for spent in 1..=3 {
        for plan in &plans {
            let readings = acme.charge(&replica, plan, 1).await.unwrap();
            assert_eq!(readings[0].remaining, 1_000 - spent);
        }
    }
}

#[tokio::test]
async fn a_value_lives_for_as_long_as_its_rate_remembers() {
    let server = RedisServer::start();
    let (replica, acme) = (replica(&server), Customer::new("acme"));
    let plan = limits([Limit::rate("burst", RateSpec::per_micros(1, 50_000).burst(100))]);
    for charged in 1..=30 {
        acme.charge(&replica, &plan, 2).await.unwrap();
        let left: i64 = server.cli(&["pttl", "keygate:limits:{acme}"]).parse().unwrap();
        assert!(left > 0, "{left} ms after {charged} charges");
    }
    // Thirty charges of two are worth three seconds, less those that have passed.
    let left: u64 = server.cli(&["pttl", "keygate:limits:{acme}"]).parse().unwrap();
    let [reading] = acme.charge(&replica, &plan, 0).await.unwrap()[..] else { panic!("one limit") };
    let drained = Duration::from_millis(50 * (100 - reading.remaining));
    assert!(Duration::from_millis(left) + Duration::from_millis(100) > drained, "{left}");
    sleep(drained * 2 + Duration::from_millis(200)).await;
    assert_eq!(server.cli(&["exists", "keygate:limits:{acme}"]), "0");
}

async fn file_the_script(replica: &RedisCounters) {
    Customer::new("stranger").charge(replica, &limits([daily("daily")]), 1).await.unwrap();
}

#[tokio::test]
async fn the_largest_quota_ends_too() {
    let server = RedisServer::start();
    let (knows, is_new) = (replica(&server), replica(&server));
    let acme = Customer::new("acme");
    let largest = limits([monthly("monthly", MAX_EXACT)]);
    acme.charge(&knows, &largest, 1).await.unwrap();
    acme.settle(&knows, &largest, Correction::Extra(MAX_EXACT)).await;
    for asked in [&knows, &is_new] {
        for _ in 0..2 {
            assert!(!is_admitted(&acme.charge(asked, &largest, 1).await.unwrap()));
        }
    }
}
