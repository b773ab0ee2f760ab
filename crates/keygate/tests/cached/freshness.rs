//! How long an answer is given without asking, and what ends that.

use std::time::Duration;

use keygate::{cached::Settings, port::KeyStore, record::KeyRecord};

use crate::{
    bench::{Bench, MAX_AGE, MICRO, SECOND, UNKNOWN_MAX_AGE, answered, next, poll, record},
    rigged::Way,
};

#[test]
fn a_record_is_fresh_for_its_max_age_and_not_a_microsecond_longer() {
    let bench = Bench::new();
    let record = bench.issued();
    assert_eq!(bench.asks(&record), (Some(0), 1));
    bench.changed(&record);
    bench.clock.advance(MAX_AGE - MICRO);
    assert_eq!(bench.asks(&record), (Some(0), 0));
    bench.clock.advance(MICRO);
    assert_eq!(bench.asks(&record), (Some(1), 1));
}

#[test]
fn an_unknown_digest_is_fresh_for_its_own_max_age() {
    let bench = Bench::new();
    let record = record();
    assert_eq!(bench.asks(&record), (None, 1));
    bench.write(&record);
    bench.clock.advance(UNKNOWN_MAX_AGE - MICRO);
    assert_eq!(bench.asks(&record), (None, 0));
    bench.clock.advance(MICRO);
    assert_eq!(bench.asks(&record), (Some(0), 1));
}

#[test]
fn nothing_is_held_without_an_age() {
    let bench = Bench::with(Settings::default().max_age(Duration::ZERO));
    let record = bench.issued();
    for _ in 0..3 {
        assert_eq!(bench.asks(&record), (Some(0), 1));
    }
}

#[test]
fn age_counts_from_when_the_call_began() {
    let bench = Bench::new();
    let record = bench.issued();
    bench.store.finding(Way::Waits);
    let mut find = bench.cached.find(&record.digest);
    assert!(poll(&mut find).is_pending());
    bench.clock.advance(SECOND);
    bench.store.release();
    assert_eq!(answered(&mut find).unwrap().unwrap().revision, 0);
    bench.store.finding(Way::Well);
    bench.clock.advance(MAX_AGE - SECOND - MICRO);
    assert_eq!(bench.asks(&record), (Some(0), 0));
    bench.clock.advance(MICRO);
    assert_eq!(bench.asks(&record), (Some(0), 1));
}

#[test]
fn the_age_of_what_is_unknown_does_too() {
    let bench = Bench::new();
    let record = record();
    bench.store.finding(Way::Waits);
    let mut find = bench.cached.find(&record.digest);
    assert!(poll(&mut find).is_pending());
    bench.clock.advance(UNKNOWN_MAX_AGE);
    bench.store.release();
    assert!(answered(&mut find).unwrap().is_none());
    bench.store.finding(Way::Well);
    assert_eq!(bench.asks(&record), (None, 1));
}

#[test]
fn confirmed_records_are_not_loaded_again() {
    let bench = Bench::new();
    let (known, unknown) = (bench.issued(), record());
    assert_eq!(bench.asks(&known), (Some(0), 1));
    assert_eq!(bench.asks(&unknown), (None, 1));
    for _ in 0..100 {
        let began = bench.now();
        bench.clock.advance(SECOND / 2);
        bench.cached.confirm(began);
        assert_eq!(bench.asks(&known), (Some(0), 0));
        assert_eq!(bench.asks(&unknown), (None, 0));
    }
    bench.clock.advance(MAX_AGE - SECOND / 2 - MICRO);
    assert_eq!(bench.asks(&known), (Some(0), 0));
    bench.clock.advance(MICRO);
    assert_eq!(bench.asks(&known), (Some(0), 1));
}

#[test]
fn an_older_confirmation_does_not_age_what_was_loaded_since() {
    let bench = Bench::new();
    let record = bench.issued();
    let long_ago = bench.now();
    bench.clock.advance(10 * MAX_AGE);
    assert_eq!(bench.asks(&record), (Some(0), 1));
    bench.cached.confirm(long_ago);
    assert_eq!(bench.asks(&record), (Some(0), 0));
}

#[test]
fn what_is_forgotten_is_asked_for() {
    let bench = Bench::new();
    let (first, second, unknown) = (bench.issued(), bench.issued(), record());
    let all = || [&first, &second, &unknown].map(|record| bench.asks(record));
    assert_eq!(all(), [(Some(0), 1), (Some(0), 1), (None, 1)]);
    bench.changed(&first);
    bench.cached.forget(&first.digest);
    assert_eq!(all(), [(Some(1), 1), (Some(0), 0), (None, 0)]);
    bench.write(&unknown);
    bench.cached.forget(&unknown.digest);
    assert_eq!(all(), [(Some(1), 0), (Some(0), 0), (Some(0), 1)]);
    bench.changed(&second);
    bench.cached.forget_all();
    assert_eq!(all(), [(Some(1), 1), (Some(1), 1), (Some(0), 1)]);
}

#[test]
fn what_is_forgotten_on_its_way_is_answered_and_not_held() {
    type Forget = fn(&Bench, &KeyRecord);
    let ways: [Forget; 3] = [
        |bench, record| bench.cached.forget(&record.digest),
        |bench, _| bench.cached.forget_all(),
        |bench, record| {
            let again = next(&next(record));
            let _ = pollster::block_on(bench.cached.commit(&[again])).unwrap();
        },
    ];
    for forget in ways {
        let bench = Bench::new();
        let record = bench.issued();
        bench.store.finding(Way::Waits);
        let mut before = bench.cached.find(&record.digest);
        assert!(poll(&mut before).is_pending());
        bench.changed(&record);
        forget(&bench, &record);
        bench.cached.confirm(bench.now());
        // Whoever asks now does not join the call that began before.
        let mut after = bench.cached.find(&record.digest);
        assert!(poll(&mut after).is_pending());
        bench.store.release();
        assert!(answered(&mut after).unwrap().unwrap().revision > 0);
        assert_eq!(answered(&mut before).unwrap().unwrap().revision, 0);
        bench.store.finding(Way::Well);
        let (revision, asked) = bench.asks(&record);
        assert!(revision > Some(0), "the older answer is held");
        assert_eq!(asked, 0);
    }
}

#[test]
fn what_is_forgotten_on_its_way_is_not_held_when_nobody_asks_again() {
    let bench = Bench::new();
    let (known, unknown) = (bench.issued(), record());
    for record in [&known, &unknown] {
        bench.store.finding(Way::Waits);
        let mut find = bench.cached.find(&record.digest);
        assert!(poll(&mut find).is_pending());
        bench.cached.forget(&record.digest);
        bench.store.release();
        let _ = answered(&mut find).unwrap();
        let stats = bench.cached.stats();
        assert_eq!((stats.records, stats.unknown), (0, 0));
        bench.store.finding(Way::Well);
    }
    bench.write(&unknown);
    assert_eq!(bench.asks(&unknown), (Some(0), 1));
}

#[test]
fn a_digest_is_held_as_known_or_as_unknown() {
    let bench = Bench::new();
    let record = record();
    let held = || (bench.cached.stats().records, bench.cached.stats().unknown);
    assert_eq!(bench.asks(&record), (None, 1));
    assert_eq!(held(), (0, 1));
    bench.write(&record);
    bench.clock.advance(MAX_AGE);
    assert_eq!(bench.asks(&record), (Some(0), 1));
    assert_eq!(held(), (1, 0));
    bench.store.finding(Way::FindsNothing);
    bench.clock.advance(MAX_AGE);
    assert_eq!(bench.asks(&record), (None, 1));
    assert_eq!(held(), (0, 1));
}

#[test]
fn a_clock_that_was_set_back_makes_nothing_fresh() {
    for confirmed in [false, true] {
        let bench = Bench::new();
        let (record, other) = (bench.issued(), bench.issued());
        let start = bench.now();
        bench.clock.advance(3600 * SECOND);
        assert_eq!(bench.asks(&record), (Some(0), 1));
        assert_eq!(bench.asks(&other), (Some(0), 1));
        let loaded = bench.now();
        if confirmed {
            bench.cached.confirm(loaded);
        }
        bench.changed(&record);
        bench.changed(&other);

        bench.clock.set(start);
        assert_eq!(bench.asks(&record), (Some(1), 1), "loaded in the future");
        bench.changed(&next(&record));
        bench.clock.advance(MAX_AGE);
        assert_eq!(bench.asks(&record), (Some(2), 1), "it grows old again");
        // When the clock has come to where it was, what was loaded then is not fresh again.
        bench.clock.set(loaded);
        assert_eq!(bench.asks(&other), (Some(1), 1));
    }
}

#[test]
fn the_watcher_notices_a_clock_that_was_set_back_too() {
    let bench = Bench::new();
    let record = bench.issued();
    assert_eq!(bench.asks(&record), (Some(0), 1));
    let loaded = bench.now();
    bench.changed(&record);
    bench.rewind(3600 * SECOND);
    bench.cached.confirm(bench.now());
    bench.clock.set(loaded);
    assert_eq!(bench.asks(&record), (Some(1), 1));
}

#[test]
fn after_a_clock_was_set_back_things_are_held_as_ever() {
    let bench = Bench::new();
    let (first, second) = (bench.issued(), bench.issued());
    assert_eq!(bench.asks(&first), (Some(0), 1));
    bench.cached.confirm(bench.now());
    let confirmed = bench.now();
    bench.rewind(3600 * SECOND);
    assert_eq!(bench.asks(&first), (Some(0), 1));
    assert_eq!(bench.asks(&second), (Some(0), 1));
    assert_eq!(bench.asks(&first), (Some(0), 0));
    bench.clock.set(confirmed);
    assert_eq!(bench.asks(&first), (Some(0), 1), "confirmed by a clock that was wrong");
}

#[test]
fn a_clock_that_was_set_back_a_little_costs_one_call() {
    let bench = Bench::new();
    let record = bench.issued();
    assert_eq!(bench.asks(&record), (Some(0), 1));
    bench.cached.confirm(bench.now());
    bench.rewind(SECOND / 2);
    assert_eq!(bench.asks(&record), (Some(0), 1));
    assert_eq!(bench.asks(&record), (Some(0), 0));
}

#[test]
fn a_confirmation_from_the_future_confirms_nothing() {
    let bench = Bench::new();
    let record = bench.issued();
    assert_eq!(bench.asks(&record), (Some(0), 1));
    let future = bench.now().saturating_add(3600 * SECOND);
    bench.cached.confirm(future);
    bench.clock.advance(MAX_AGE);
    assert_eq!(bench.asks(&record), (Some(0), 1));
    bench.clock.set(future);
    assert_eq!(bench.asks(&record), (Some(0), 1));
}
