//! What is answered while the store fails.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use keygate::{cached::Settings, port::KeyStore, record::KeyRecord};
use tracing::{Event, Level, Metadata, Subscriber, span};

use crate::{
    bench::{Bench, IF_UNAVAILABLE, MAX_AGE, MICRO, SECOND, answered, poll, record},
    rigged::Way,
};

const PAUSE: Duration = Duration::from_millis(100);

/// A record that was loaded now.
fn held(bench: &Bench) -> KeyRecord {
    let record = bench.issued();
    assert_eq!(bench.asks(&record), (Some(0), 1));
    record
}

#[test]
fn a_record_outlives_its_age_while_the_store_fails_and_not_longer() {
    let bench = Bench::new();
    let record = held(&bench);
    bench.store.finding(Way::Fails);
    bench.clock.advance(MAX_AGE);
    assert_eq!(bench.asks(&record), (Some(0), 1));
    bench.clock.advance(IF_UNAVAILABLE - MICRO);
    assert_eq!(bench.asks(&record), (Some(0), 1));
    bench.clock.advance(MICRO);
    assert!(bench.find(&record.digest).is_err(), "not in the pause after a fault either");
}

#[test]
fn confirmation_counts_for_how_long_a_record_outlives_its_age() {
    let bench = Bench::new();
    let record = held(&bench);
    bench.clock.advance(1000 * SECOND);
    bench.cached.confirm(bench.now());
    bench.store.finding(Way::Fails);
    bench.clock.advance(MAX_AGE + IF_UNAVAILABLE - MICRO);
    assert_eq!(bench.asks(&record), (Some(0), 1));
    bench.clock.advance(MICRO);
    assert!(bench.find(&record.digest).is_err());
}

#[test]
fn outliving_can_be_turned_off() {
    let bench = Bench::with(Settings::default().if_unavailable(Duration::ZERO));
    let record = held(&bench);
    bench.store.finding(Way::Fails);
    bench.clock.advance(MAX_AGE - MICRO);
    assert_eq!(bench.asks(&record), (Some(0), 0));
    bench.clock.advance(MICRO);
    assert!(bench.find(&record.digest).is_err());
}

#[test]
fn what_was_forgotten_is_not_answered_when_the_store_fails() {
    let bench = Bench::new();
    let record = held(&bench);
    bench.clock.advance(MAX_AGE);
    bench.store.finding(Way::FailsLate);
    let mut find = bench.cached.find(&record.digest);
    assert!(poll(&mut find).is_pending());
    bench.cached.forget(&record.digest);
    bench.store.release();
    assert!(answered(&mut find).is_err());
}

#[test]
fn that_a_digest_is_unknown_is_not_said_past_its_age() {
    let bench = Bench::new();
    let record = record();
    assert_eq!(bench.asks(&record), (None, 1));
    bench.store.finding(Way::Fails);
    bench.clock.advance(SECOND - MICRO);
    assert_eq!(bench.asks(&record), (None, 0));
    bench.clock.advance(MICRO);
    assert!(bench.find(&record.digest).is_err());
}

#[test]
fn a_store_that_failed_is_left_in_peace_for_a_moment() {
    let bench = Bench::new();
    let record = held(&bench);
    bench.clock.advance(MAX_AGE);
    bench.store.finding(Way::Fails);
    assert_eq!(bench.asks(&record), (Some(0), 1));
    for _ in 0..1000 {
        assert_eq!(bench.asks(&record), (Some(0), 0));
    }
    bench.changed(&record);
    bench.store.finding(Way::Well);
    bench.clock.advance(PAUSE - MICRO);
    assert_eq!(bench.asks(&record), (Some(0), 0));
    bench.clock.advance(MICRO);
    assert_eq!(bench.asks(&record), (Some(1), 1), "it is back, and that is noticed");
}

#[test]
fn one_request_finds_out_while_the_others_are_answered() {
    let bench = Bench::new();
    let record = held(&bench);
    bench.clock.advance(MAX_AGE);
    bench.store.finding(Way::Fails);
    assert_eq!(bench.asks(&record), (Some(0), 1));
    bench.clock.advance(PAUSE);
    bench.store.finding(Way::Hangs);
    let mut scout = bench.cached.find(&record.digest);
    assert!(poll(&mut scout).is_pending());
    for _ in 0..10 {
        assert_eq!(bench.asks(&record), (Some(0), 0));
    }
}

#[test]
fn a_fault_over_one_record_makes_no_other_older() {
    let bench = Bench::new();
    let (one, other) = (held(&bench), held(&bench));
    bench.changed(&other);
    bench.clock.advance(MAX_AGE);
    bench.store.finding(Way::Fails);
    assert_eq!(bench.asks(&one), (Some(0), 1));
    bench.store.finding(Way::Well);
    assert_eq!(bench.asks(&other), (Some(1), 1));
}

#[test]
fn a_pause_ends_when_the_clock_is_set_back() {
    let bench = Bench::new();
    let record = held(&bench);
    bench.clock.advance(MAX_AGE + SECOND / 2);
    bench.store.finding(Way::Fails);
    assert_eq!(bench.asks(&record), (Some(0), 1));
    bench.store.finding(Way::Well);
    bench.rewind(SECOND / 2);
    assert_eq!(bench.asks(&record), (Some(0), 1));
}

#[test]
fn an_outage_is_logged_now_and_then() {
    let lines = Arc::new(AtomicUsize::new(0));
    tracing::subscriber::with_default(Warnings(Arc::clone(&lines)), || {
        let bench = Bench::new();
        let record = held(&bench);
        bench.clock.advance(MAX_AGE);
        bench.store.finding(Way::Fails);
        for _ in 0..300 {
            bench.clock.advance(PAUSE);
            assert_eq!(bench.asks(&record), (Some(0), 1));
        }
    });
    assert_eq!(lines.load(SeqCst), 3, "half a minute, a line every ten seconds");
}

/// Counts lines of log that warn.
struct Warnings(Arc<AtomicUsize>);

impl Subscriber for Warnings {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::WARN
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, _: &Event<'_>) {
        self.0.fetch_add(1, SeqCst);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}
