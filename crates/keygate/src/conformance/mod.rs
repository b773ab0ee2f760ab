//! The laws of the ports as functions, to be run over any store.
//!
//! Every law that the doc comment of a port names is a function of that name here. One entry
//! function a port runs all of them: [`counter_store`], [`key_store`], [`usage_store`]. A store that
//! breaks a law makes its function panic, with a message that begins with the law's name.
//!
//! What a store cannot do by itself, such as letting time pass, its tests supply as a harness. Each
//! law makes consumers and keys of its own, so several suites may share one store. The suite brings
//! no runtime: its futures are polled by whatever the store needs.
//!
//! ```
//! use std::sync::Arc;
//! use keygate::{conformance::{self, Job, KeyHarness}, memory::MemoryKeys, port::{BoxFuture, KeyStore}};
//!
//! struct Memory(Arc<MemoryKeys>);
//!
//! impl KeyHarness for Memory {
//!     fn store(&self) -> Arc<dyn KeyStore> {
//!         Arc::clone(&self.0) as _
//!     }
//!
//!     fn run_concurrently(&self, jobs: Vec<Job>) -> BoxFuture<'_, ()> {
//!         let threads: Vec<_> =
//!             jobs.into_iter().map(|job| std::thread::spawn(|| pollster::block_on(job))).collect();
//!         threads.into_iter().for_each(|thread| thread.join().unwrap());
//!         Box::pin(std::future::ready(()))
//!     }
//! }
//!
//! let report = pollster::block_on(conformance::key_store(&Memory(Arc::default())));
//! assert!(report.is_whole(), "{report}");
//! ```

pub mod counters;
pub mod keys;
mod random;
pub mod usage;

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

pub use self::{counters::CounterHarness, keys::KeyHarness, usage::UsageHarness};
use crate::port::BoxFuture;

/// A future that a harness runs beside others.
pub type Job = BoxFuture<'static, ()>;

/// Runs every law of [`CounterStore`](crate::port::CounterStore).
///
/// # Panics
/// If the store breaks a law or fails; the message begins with the law's name.
pub async fn counter_store(harness: &(dyn CounterHarness + 'static)) -> Report {
    run(counters::LAWS, harness).await
}

/// Runs every law of [`KeyStore`](crate::port::KeyStore).
///
/// # Panics
/// If the store breaks a law or fails; the message begins with the law's name.
pub async fn key_store(harness: &(dyn KeyHarness + 'static)) -> Report {
    run(keys::LAWS, harness).await
}

/// Runs every law of [`UsageStore`](crate::port::UsageStore).
///
/// # Panics
/// If the store breaks a law or fails; the message begins with the law's name.
pub async fn usage_store(harness: &(dyn UsageHarness + 'static)) -> Report {
    run(usage::LAWS, harness).await
}

/// One law of a port, to be run with a harness of type `H`.
pub struct Law<H: ?Sized> {
    name: &'static str,
    check: for<'h> fn(&'h H) -> BoxFuture<'h, Coverage>,
}

impl<H: ?Sized> Law<H> {
    /// The name: that of its function, and the beginning of its message when it is broken.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Runs the law alone.
    ///
    /// # Panics
    /// If the store breaks it or fails.
    pub fn check<'h>(&self, harness: &'h H) -> BoxFuture<'h, Coverage> {
        (self.check)(harness)
    }
}

impl<H: ?Sized> fmt::Debug for Law<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Law({})", self.name)
    }
}

/// How much of a law a harness let be checked. What was checked, held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Coverage {
    /// All of it.
    Whole,
    /// All but this part.
    Without(&'static str),
    /// Nothing, for this reason.
    Nothing(&'static str),
}

/// Which laws were run, and what of them the harness did not let be checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "a law may have been left out"]
pub struct Report(Vec<(&'static str, Coverage)>);

impl Report {
    /// Every law by name, in the order of the port's doc comment.
    pub fn laws(&self) -> &[(&'static str, Coverage)] {
        &self.0
    }

    /// Whether nothing was left out.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.0.iter().all(|(_, coverage)| *coverage == Coverage::Whole)
    }
}

/// One line a law.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(law, coverage)| match coverage {
            Coverage::Whole => writeln!(f, "{law}: holds"),
            Coverage::Without(part) => writeln!(f, "{law}: holds; not checked: {part}"),
            Coverage::Nothing(reason) => writeln!(f, "{law}: NOT CHECKED: {reason}"),
        })
    }
}

async fn run<H: ?Sized>(laws: &[Law<H>], harness: &H) -> Report {
    let mut report = Report::default();
    for law in laws {
        report.0.push((law.name, law.check(harness).await));
    }
    report
}

/// The one place where a law fails.
#[track_caller]
#[expect(clippy::panic, reason = "a suite reports a broken law as tests do")]
fn broken(law: &str, what: impl fmt::Display) -> ! {
    panic!("{law}: {what}")
}

#[track_caller]
fn require(holds: bool, law: &str, what: impl fmt::Display) {
    if !holds {
        broken(law, what);
    }
}

#[track_caller]
fn require_eq<T: PartialEq + fmt::Debug>(given: &T, right: &T, law: &str, what: &str) {
    if given != right {
        broken(law, format_args!("{what}: given {given:?}, right is {right:?}"));
    }
}

/// What a store or a constructor answered, when it must not fail.
#[track_caller]
fn sound<T, E: fmt::Display>(result: Result<T, E>, law: &str) -> T {
    match result {
        Ok(value) => value,
        Err(error) => broken(law, error),
    }
}

/// What jobs that run beside each other hand back, in any order.
struct Gathered<T>(Arc<Mutex<Vec<T>>>);

impl<T: Send + 'static> Gathered<T> {
    fn new() -> Self {
        Self(Arc::default())
    }

    /// A job that keeps what `work` makes.
    fn job(&self, work: impl Future<Output = Vec<T>> + Send + 'static) -> Job {
        let kept = Arc::clone(&self.0);
        Box::pin(async move {
            let made = work.await;
            let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
            kept.extend(made);
        })
    }

    fn take(&self) -> Vec<T> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut kept)
    }
}
