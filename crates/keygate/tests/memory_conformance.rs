//! The memory backend keeps every law of its ports, and so does a cache before it.

#![cfg(test)]

mod common;

use std::{sync::Arc, time::Duration};

use common::{Counters, Keys, Together, Usage, manual_clock, memory_counters, ready};
use keygate::{
    cached::{CachedKeys, Settings},
    clock::{Clock, ManualClock, Timestamp},
    conformance::{self, CounterHarness, Coverage, Job, Report, counters, keys, usage},
    memory::{MemoryCounters, MemoryKeys, MemoryUsage},
    port::{BoxFuture, CounterStore},
};

const PORTS: &str = include_str!("../src/port.rs");
const TWO_SECONDS: Duration = Duration::from_secs(2);

#[test]
fn memory_counters_keep_every_law() {
    let report = pollster::block_on(conformance::counter_store(&memory_counters()));
    print(&report);
    assert!(report.is_whole(), "{report}");
    assert_eq!(names(&report), documented("CounterStore"));
}

#[test]
fn memory_keys_keep_every_law() {
    for together in [Together::Threads, Together::RoundRobin] {
        let harness = Keys(Arc::new(MemoryKeys::default()), together);
        let report = pollster::block_on(conformance::key_store(&harness));
        print(&report);
        assert!(report.is_whole(), "{report}");
        assert_eq!(names(&report), documented("KeyStore"));
    }
}

#[test]
fn keys_in_a_cache_before_memory_keep_every_law() {
    let settings = Settings::default();
    for settings in [settings, settings.records(4).unknown(4), settings.max_age(Duration::ZERO)] {
        for together in [Together::Threads, Together::RoundRobin] {
            let memory = Arc::new(MemoryKeys::default());
            let cached = CachedKeys::new(memory, manual_clock(), settings);
            let report =
                pollster::block_on(conformance::key_store(&Keys(Arc::new(cached), together)));
            print(&report);
            assert!(report.is_whole(), "{report}");
            assert_eq!(names(&report), documented("KeyStore"));
        }
    }
}

#[test]
fn memory_usage_keeps_every_law() {
    let harness = Usage(Arc::new(MemoryUsage::default()));
    let report = pollster::block_on(conformance::usage_store(&harness));
    print(&report);
    assert!(report.is_whole(), "{report}");
    assert_eq!(names(&report), documented("UsageStore"));
}

/// A store that owns its time, as a server does, is held to the same laws, and what cannot be
/// checked without moving its clock is said.
#[test]
fn counters_by_a_running_clock_keep_the_laws_that_can_be_waited_for() {
    let report = pollster::block_on(conformance::counter_store(&Running::new(TWO_SECONDS)));
    print(&report);
    assert_eq!(names(&report), documented("CounterStore"));
    let partly =
        |(law, coverage): &(&'static str, Coverage)| (*coverage != Coverage::Whole).then_some(*law);
    let partly: Vec<_> = report.laws().iter().filter_map(partly).collect();
    let need_a_movable_clock = [
        "retry_is_honest",
        "period_turns_over",
        "reset_never_lies",
        "extra_is_owed",
        "refund_is_bounded",
        "agrees_with_limit",
    ];
    assert_eq!(partly, need_a_movable_clock);
}

#[test]
fn counters_by_a_running_clock_keep_every_law_if_windows_can_be_waited_for() {
    let report = pollster::block_on(conformance::counter_store(&Running::new(Duration::MAX)));
    print(&report);
    assert_eq!(names(&report), documented("CounterStore"));
}

#[test]
fn every_law_can_be_run_alone() {
    for law in counters::LAWS {
        let coverage = pollster::block_on(law.check(&memory_counters() as &Counters));
        assert_eq!(coverage, Coverage::Whole, "{law:?}");
    }
    for law in keys::LAWS {
        let harness = Keys(Arc::new(MemoryKeys::default()), Together::Threads);
        assert_eq!(pollster::block_on(law.check(&harness)), Coverage::Whole, "{law:?}");
    }
    for law in usage::LAWS {
        let harness = Usage(Arc::new(MemoryUsage::default()));
        assert_eq!(pollster::block_on(law.check(&harness)), Coverage::Whole, "{law:?}");
    }
}

/// A clock that goes on whenever it is read: time that nobody owns, without a wait.
#[derive(Debug)]
struct Ticking(ManualClock);

impl Clock for Ticking {
    fn now(&self) -> Timestamp {
        self.0.advance(Duration::from_micros(137));
        self.0.now()
    }
}

/// Memory by a clock that does not stand still.
struct Running {
    store: Arc<MemoryCounters>,
    clock: Arc<Ticking>,
    patience: Duration,
}

impl Running {
    fn new(patience: Duration) -> Self {
        let clock = Arc::new(Ticking(ManualClock::at(manual_clock().now())));
        let store = Arc::new(MemoryCounters::new(Arc::clone(&clock) as _));
        Self { store, clock, patience }
    }
}

impl CounterHarness for Running {
    fn store(&self) -> Arc<dyn CounterStore> {
        Arc::clone(&self.store) as _
    }

    fn now(&self) -> BoxFuture<'_, Timestamp> {
        ready(self.clock.now())
    }

    fn pass(&self, span: Duration) -> BoxFuture<'_, ()> {
        assert!(span <= self.patience, "{span:?} is more than was agreed");
        self.clock.0.advance(span + Duration::from_micros(211));
        ready(())
    }

    fn stands_still(&self) -> bool {
        false
    }

    fn patience(&self) -> Duration {
        self.patience
    }

    fn run_concurrently(&self, jobs: Vec<Job>) -> BoxFuture<'_, ()> {
        Together::Threads.run(jobs)
    }

    fn owners(&self) -> BoxFuture<'_, Option<usize>> {
        self.store.forget_idle();
        ready(Some(self.store.subjects()))
    }
}

fn names(report: &Report) -> Vec<String> {
    let names = report.laws().iter().map(|(law, _)| (*law).to_owned());
    names.collect()
}

/// The laws that the doc comment of a port lists, in its order.
fn documented(port: &str) -> Vec<String> {
    let (before, _) = PORTS.split_once(&format!("pub trait {port}:")).unwrap();
    let (_, laws) = before.rsplit_once("# Laws").unwrap();
    let lines = laws.lines().filter_map(|line| line.strip_prefix("/// - `"));
    let names = lines.map(|line| line.split_once('`').unwrap().0.to_owned());
    names.collect()
}

fn print(report: &Report) {
    print!("{report}");
}
