//! Harnesses and helpers that several tests share.
#![allow(dead_code, clippy::allow_attributes, reason = "each test uses what it needs of this")]

use std::{
    future::poll_fn,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
    thread,
    time::Duration,
};

use chrono::{DateTime, Utc};
use keygate::{
    clock::{Clock, ManualClock, Timestamp},
    conformance::{CounterHarness, Job, KeyHarness, UsageHarness},
    memory::MemoryCounters,
    port::{BoxFuture, CounterStore, KeyStore, UsageStore},
};

/// How a harness runs jobs beside each other.
#[derive(Clone, Copy)]
pub(crate) enum Together {
    /// Each in a thread.
    Threads,
    /// Round robin, one poll each: an interleaving that is the same every time.
    RoundRobin,
}

/// Any counter store by a manual clock.
pub(crate) struct Counters {
    pub(crate) store: Arc<dyn CounterStore>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) together: Together,
    pub(crate) owners: Box<dyn Fn() -> Option<usize> + Send + Sync>,
}

/// Any key store.
pub(crate) struct Keys(pub(crate) Arc<dyn KeyStore>, pub(crate) Together);

/// Any usage store.
pub(crate) struct Usage(pub(crate) Arc<dyn UsageStore>);

pub(crate) fn instant(text: &str) -> Timestamp {
    date(text).into()
}

pub(crate) fn date(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// A clock before a leap day, a change of the clocks, and the ends of several months.
pub(crate) fn manual_clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at(instant("2028-02-27T21:14:05.678901Z")))
}

/// Counters in memory by a manual clock.
pub(crate) fn memory_counters() -> Counters {
    let clock = manual_clock();
    let store = Arc::new(MemoryCounters::new(Arc::clone(&clock) as _));
    let counted = Arc::clone(&store);
    let owners = move || {
        counted.forget_idle();
        Some(counted.subjects())
    };
    Counters { store, clock, together: Together::Threads, owners: Box::new(owners) }
}

impl CounterHarness for Counters {
    fn store(&self) -> Arc<dyn CounterStore> {
        Arc::clone(&self.store)
    }

    fn now(&self) -> BoxFuture<'_, Timestamp> {
        ready(self.clock.now())
    }

    fn pass(&self, span: Duration) -> BoxFuture<'_, ()> {
        self.clock.advance(span);
        ready(())
    }

    fn stands_still(&self) -> bool {
        true
    }

    fn patience(&self) -> Duration {
        Duration::MAX
    }

    fn run_concurrently(&self, jobs: Vec<Job>) -> BoxFuture<'_, ()> {
        self.together.run(jobs)
    }

    fn owners(&self) -> BoxFuture<'_, Option<usize>> {
        ready((self.owners)())
    }
}

impl KeyHarness for Keys {
    fn store(&self) -> Arc<dyn KeyStore> {
        Arc::clone(&self.0)
    }

    fn run_concurrently(&self, jobs: Vec<Job>) -> BoxFuture<'_, ()> {
        self.1.run(jobs)
    }
}

impl UsageHarness for Usage {
    fn store(&self) -> Arc<dyn UsageStore> {
        Arc::clone(&self.0)
    }

    fn now(&self) -> Timestamp {
        instant("2028-03-01T00:47:31.000250Z")
    }

    fn flush(&self) -> BoxFuture<'_, ()> {
        ready(())
    }

    fn run_concurrently(&self, jobs: Vec<Job>) -> BoxFuture<'_, ()> {
        Together::Threads.run(jobs)
    }
}

impl Together {
    pub(crate) fn run(self, jobs: Vec<Job>) -> BoxFuture<'static, ()> {
        match self {
            Self::Threads => {
                let run = |job| thread::spawn(move || pollster::block_on(job));
                let threads: Vec<_> = jobs.into_iter().map(run).collect();
                threads.into_iter().for_each(|thread| thread.join().unwrap());
                ready(())
            }
            Self::RoundRobin => Box::pin(round_robin(jobs)),
        }
    }
}

async fn round_robin(mut jobs: Vec<Job>) {
    poll_fn(|context| {
        jobs.retain_mut(|job| job.as_mut().poll(context).is_pending());
        if jobs.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// Lets every other job have its turn once.
pub(crate) fn others_first() -> Pin<Box<dyn Future<Output = ()> + Send>> {
    let waited = AtomicBool::new(false);
    Box::pin(poll_fn(move |context| {
        if waited.swap(true, Ordering::Relaxed) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }))
}

pub(crate) fn ready<T: Send + 'static>(value: T) -> BoxFuture<'static, T> {
    Box::pin(std::future::ready(value))
}
