//! Everything that memory keeps is bounded.

#![cfg(test)]

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use keygate::{
    clock::{Clock, ManualClock, Timestamp},
    key::KeyId,
    limit::Correction,
    memory::{MemoryCounters, MemoryUsage, Retention},
    period::Period,
    plan::{Limit, Name, Plan, RateSpec},
    port::{Charge, CounterStore, Settlement, SlotId, UsageStore},
    record::ConsumerId,
    usage::{Granularity, Outcome, Rollup, UsageEvent, UsageQuery},
};

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);

fn clock() -> Arc<ManualClock> {
    let start: DateTime<Utc> = "2026-01-01T00:00:30Z".parse().unwrap();
    Arc::new(ManualClock::at(start.into()))
}

fn consumer(number: usize) -> ConsumerId {
    format!("consumer-{number}").parse().unwrap()
}

fn limits() -> Arc<[Limit]> {
    let plan = Plan::builder("free")
        .limit(Limit::rate("pace", RateSpec::per_minute(60).burst(30)))
        .limit(Limit::quota("hourly", 100, Period::hour()).per_key())
        .build();
    Arc::clone(plan.unwrap().limits())
}

fn charge(counters: &MemoryCounters, limits: &Arc<[Limit]>, number: usize, cost: u64) -> bool {
    let charge = Charge {
        consumer: &consumer(number),
        key: KeyId::random().unwrap(),
        limits,
        cost,
        slot: None,
    };
    let readings = pollster::block_on(counters.charge(&charge)).unwrap();
    readings.iter().all(|reading| reading.within)
}

#[test]
fn counters_of_idle_owners_are_forgotten_by_traffic_of_others() {
    let (clock, limits) = (clock(), limits());
    let counters = MemoryCounters::new(Arc::clone(&clock) as _);
    for number in 0..1_000 {
        assert!(charge(&counters, &limits, number, 1));
    }
    assert_eq!(counters.subjects(), 2_000);
    clock.advance(Duration::from_secs(3_900));
    // Enough consumers that each shard hears of one.
    let some_traffic = 0..2_000;
    for number in some_traffic.clone() {
        charge(&counters, &limits, 10_000 + number, 1);
    }
    assert_eq!(counters.subjects(), 2 * some_traffic.len());
    clock.advance(Duration::from_secs(3_900));
    counters.forget_idle();
    assert_eq!(counters.subjects(), 0);
}

#[test]
fn owners_of_held_slots_are_kept_and_forgotten_once_they_are_free() {
    let plan = Plan::builder("free").limit(Limit::concurrency("parallel", 2)).build();
    let (clock, limits) = (clock(), Arc::clone(plan.unwrap().limits()));
    let counters = MemoryCounters::new(Arc::clone(&clock) as _);
    let (consumer, key) = (consumer(1), KeyId::random().unwrap());
    let slots = [1, 2].map(|number| Some(SlotId::new(7, number)));
    for slot in slots {
        let charge = Charge { consumer: &consumer, key, limits: &limits, cost: 1, slot };
        let _ = pollster::block_on(counters.charge(&charge)).unwrap();
    }
    for slot in slots {
        clock.advance(400 * DAY);
        counters.forget_idle();
        assert_eq!(counters.subjects(), 1, "a request may take its time");
        let (consumer, correction) = (&consumer, Correction::None);
        let limits = &limits;
        let settlement = Settlement { consumer, key, limits, correction, slot };
        pollster::block_on(counters.settle(&settlement));
    }
    counters.forget_idle();
    assert_eq!(counters.subjects(), 0);
}

#[test]
fn what_still_says_something_is_kept() {
    let (clock, limits) = (clock(), limits());
    let counters = MemoryCounters::new(Arc::clone(&clock) as _);
    assert!(charge(&counters, &limits, 1, 30));
    clock.advance(Duration::from_micros(30_000_000 - 1));
    counters.forget_idle();
    assert_eq!(counters.subjects(), 2, "the rate for a microsecond, the quota for most of an hour");
    clock.advance(Duration::from_micros(1));
    counters.forget_idle();
    assert_eq!(counters.subjects(), 1);
}

#[test]
fn refusals_and_charges_of_nothing_leave_nothing_behind() {
    let (clock, limits) = (clock(), limits());
    let counters = MemoryCounters::new(Arc::clone(&clock) as _);
    for number in 0..500 {
        assert!(charge(&counters, &limits, number, 0));
        assert!(!charge(&counters, &limits, number, 1_000));
    }
    counters.forget_idle();
    assert_eq!(counters.subjects(), 0);
}

#[test]
fn a_year_of_new_consumers_stays_small() {
    let (clock, limits) = (clock(), limits());
    let counters = MemoryCounters::new(Arc::clone(&clock) as _);
    let mut most = 0;
    for number in 0..60_000 {
        charge(&counters, &limits, number, 1);
        clock.advance(9 * MINUTE);
        if number % 500 == 0 {
            most = most.max(counters.subjects());
        }
    }
    // A shard hears of one consumer in 64: it may hold on to a few until then.
    assert!(most < 64 * 8, "{most} owners");
}

#[test]
fn a_year_of_usage_stays_within_its_retention() {
    let retention = Retention { minutes: 120, hours: 48, days: 30 };
    let (clock, usage) = (clock(), MemoryUsage::new(retention));
    let (acme, key) = (consumer(1), KeyId::random().unwrap());
    let operations = ["search", "export"].map(|name| Name::parse(name).unwrap());
    for step in 0..365 * 24 * 4_u64 {
        clock.advance(15 * MINUTE);
        for (operation, status) in operations.iter().zip([200, 500]) {
            usage.record(&UsageEvent {
                at: clock.now(),
                key: Some((key, &acme)),
                operation: Some(operation),
                outcome: Outcome::answered(Some(status)),
                cost: step % 3,
                latency_micros: 10,
            });
        }
    }
    assert_eq!(usage.series(), 2);
    for (by, most) in [(Granularity::Minute, 8), (Granularity::Hour, 48), (Granularity::Day, 30)] {
        let rollups = rollups(&usage, by);
        let (given, most) = (rollups.len(), most * 2);
        assert!((most..=most + 2).contains(&given), "{given} rollups by {by:?}");
    }
}

#[test]
fn usage_of_keys_that_come_and_go_is_forgotten() {
    let retention = Retention { days: 3, ..Retention::default() };
    let (clock, usage) = (clock(), MemoryUsage::new(retention));
    let acme = consumer(1);
    let mut most = 0;
    for _ in 0..365 {
        for _ in 0..100 {
            record(&usage, clock.now(), KeyId::random().unwrap(), &acme);
        }
        clock.advance(DAY);
        most = most.max(usage.series());
    }
    assert!((300..=600).contains(&most), "{most} series of 100 keys a day");
}

#[test]
fn the_last_use_of_a_key_is_forgotten_with_its_usage() {
    let (clock, usage) = (clock(), MemoryUsage::default());
    let (acme, key) = (consumer(1), KeyId::random().unwrap());
    let used = clock.now();
    record(&usage, used, key, &acme);
    let last_used = || pollster::block_on(usage.last_used(key)).unwrap();
    assert_eq!(last_used(), Some(used.to_datetime()));
    clock.advance(200 * DAY);
    for _ in 0..2_000 {
        record(&usage, clock.now(), KeyId::random().unwrap(), &acme);
    }
    assert_eq!(last_used(), None);
}

/// A clock that was a year ahead for a moment must not stop the sweeps for a year.
#[test]
fn counters_are_swept_after_the_clock_was_set_back() {
    let (clock, limits) = (clock(), limits());
    let counters = MemoryCounters::new(Arc::clone(&clock) as _);
    let right = clock.now();
    clock.advance(365 * DAY);
    for number in 0..2_000 {
        charge(&counters, &limits, number, 1);
    }
    clock.set(right);
    for number in 0..20_000 {
        charge(&counters, &limits, 10_000 + number, 1);
        clock.advance(9 * MINUTE);
    }
    let from_the_future = 4_000;
    assert!(counters.subjects() < from_the_future + 64 * 8, "{}", counters.subjects());
}

#[test]
fn usage_is_swept_after_the_clock_was_set_back() {
    let (clock, usage) = (clock(), MemoryUsage::default());
    let (acme, right) = (consumer(1), clock.now());
    clock.advance(365 * DAY);
    for _ in 0..2_000 {
        record(&usage, clock.now(), KeyId::random().unwrap(), &acme);
    }
    clock.set(right);
    for _ in 0..200 {
        for _ in 0..100 {
            record(&usage, clock.now(), KeyId::random().unwrap(), &acme);
        }
        clock.advance(DAY);
    }
    // A hundred days of a hundred keys, and a little that waits for its shard's next sweep.
    assert!(usage.series() < 2_000 + 10_500, "{} series", usage.series());
}

#[test]
fn a_clock_that_steps_back_finds_what_was_used() {
    let (clock, limits) = (clock(), limits());
    let counters = MemoryCounters::new(Arc::clone(&clock) as _);
    let quota = Arc::from(&limits[1..]);
    let (acme, key) = (consumer(1), KeyId::random().unwrap());
    let used_up = || {
        let charge = Charge { consumer: &acme, key, limits: &quota, cost: 100, slot: None };
        !pollster::block_on(counters.charge(&charge)).unwrap()[0].within
    };
    clock.advance(Duration::from_secs(3_569));
    assert!(!used_up());
    assert!(used_up());
    let last_second = clock.now();
    clock.advance(2 * MINUTE);
    counters.forget_idle();
    clock.set(last_second);
    assert!(used_up(), "the allowance of one hour was granted twice");
}

fn record(usage: &MemoryUsage, at: Timestamp, key: KeyId, consumer: &ConsumerId) {
    usage.record(&UsageEvent {
        at,
        key: Some((key, consumer)),
        operation: None,
        outcome: Outcome::answered(Some(200)),
        cost: 1,
        latency_micros: 10,
    });
}

fn rollups(usage: &MemoryUsage, by: Granularity) -> Vec<Rollup> {
    pollster::block_on(usage.query(&UsageQuery::by(by))).unwrap()
}
