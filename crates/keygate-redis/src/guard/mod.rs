//! Stands between a request and Redis: what waits, for how long, and what is not even tried.
//!
//! A decision has a deadline, so a Redis that hangs costs a request that much and no more. The number
//! of calls under way is bounded; beyond it a call is refused at once. And a circuit breaker stops
//! calling a Redis that fails too often (see [`breaker`]). Each costs the hot path a few atomics.

mod breaker;
mod health;
mod window;

use std::{
    future::Future,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    time::Duration,
};

use tokio::time::Instant;

pub use self::health::{Circuit, Health};
use self::{
    breaker::{Breaker, Change, Pass},
    health::Faults,
};
use crate::{
    clock::{after, jittered, now},
    fault::Fault,
};

/// How long a call may take, and how many may be under way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) deadline: Duration,
    pub(crate) in_flight: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { deadline: Duration::from_millis(25), in_flight: 4_096 }
    }
}

/// Lets calls through, or refuses them.
#[derive(Debug)]
pub(crate) struct Guard {
    bounds: Bounds,
    breaker: Breaker,
    epoch: Instant,
    in_flight: AtomicUsize,
    calls: AtomicU64,
    faults: Faults,
}

impl Guard {
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            breaker: Breaker::default(),
            epoch: now(),
            in_flight: AtomicUsize::new(0),
            calls: AtomicU64::new(0),
            faults: Faults::default(),
        }
    }

    /// Does `work`, which is told its deadline and must end by then: whatever it asks of a link ends by it,
    /// and a second timer would cost every decision.
    ///
    /// # Errors
    ///
    /// What `work` fails with; `Overloaded` and `Paused` when it was not begun.
    pub(crate) async fn run<T, F>(&self, work: impl FnOnce(Instant) -> F) -> Result<T, Fault>
    where
        F: Future<Output = Result<T, Fault>>,
    {
        let done = match self.begin() {
            Ok((call, deadline)) => call.end(work(deadline).await),
            Err(refused) => Err(refused),
        };
        done.inspect_err(|fault| self.faults.count(fault.kind()))
    }

    /// How it is now.
    pub(crate) fn health(&self) -> Health {
        Health {
            circuit: self.breaker.circuit(self.millis_at(now())),
            in_flight: self.in_flight.load(Ordering::Relaxed),
            calls: self.calls.load(Ordering::Relaxed),
            faults: self.faults.clone(),
        }
    }

    fn begin(&self) -> Result<(Call<'_>, Instant), Fault> {
        let at = now();
        // Made first: whatever follows, its end gives the place back.
        let mut call = Call { guard: self, pass: None };
        if self.in_flight.fetch_add(1, Ordering::Relaxed) >= self.bounds.in_flight {
            return Err(Fault::Overloaded);
        }
        call.pass = Some(self.breaker.admit(self.millis_at(at)).ok_or(Fault::Paused)?);
        self.calls.fetch_add(1, Ordering::Relaxed);
        Ok((call, after(at, self.bounds.deadline)))
    }

    fn millis_at(&self, at: Instant) -> u64 {
        u64::try_from(at.duration_since(self.epoch).as_millis()).unwrap_or(u64::MAX)
    }
}

/// A call under way. Dropped before its end it has no outcome.
struct Call<'a> {
    guard: &'a Guard,
    pass: Option<Pass>,
}

impl Call<'_> {
    fn end<T>(mut self, done: Result<T, Fault>) -> Result<T, Fault> {
        if let Some(pass) = self.pass.take() {
            let failed = done.as_ref().is_err_and(Fault::is_failure);
            match self.guard.breaker.report(pass, failed, self.guard.millis_at(now()), jittered) {
                Some(Change::Opened) => {
                    let cause = done.as_ref().err().map(tracing::field::display);
                    tracing::warn!(cause, "Redis fails too often: calls are paused");
                }
                Some(Change::Closed) => tracing::info!("Redis answers again: calls go on"),
                None => {}
            }
        }
        done
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.guard.in_flight.fetch_sub(1, Ordering::Relaxed);
        if self.pass == Some(Pass::Probe) {
            self.guard.breaker.give_up_probe();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{future::pending, sync::Arc};

    use super::*;
    use crate::fault::FaultKind;

    fn guard(in_flight: usize) -> Arc<Guard> {
        Arc::new(Guard::new(Bounds { in_flight, ..Bounds::default() }))
    }

    async fn ends(guard: &Guard, with: Result<(), Fault>) -> Result<(), Fault> {
        guard.run(|_| async { with }).await
    }

    #[tokio::test(start_paused = true)]
    async fn work_is_told_its_deadline_and_its_faults_are_counted() {
        let guard = guard(1);
        let hung = guard.run(async |deadline| {
            assert_eq!(deadline.duration_since(now()), Duration::from_millis(25));
            Err::<(), _>(Fault::Timeout)
        });
        assert!(matches!(hung.await, Err(Fault::Timeout)));
        assert_eq!(guard.health().faults(FaultKind::Timeout), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_that_nobody_lives_to_see_is_none_that_is_over() {
        let guard = Guard::new(Bounds { deadline: Duration::MAX, ..Bounds::default() });
        let left = guard.run(async |deadline| Ok(deadline.duration_since(now()))).await.unwrap();
        assert!(left > Duration::from_secs(86_400), "{left:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn beyond_the_bound_a_call_is_refused_at_once_and_places_come_back() {
        let guard = guard(2);
        let held: Vec<_> = (0..2)
            .map(|_| {
                let guard = Arc::clone(&guard);
                tokio::spawn(async move { guard.run(|_| pending::<Result<(), _>>()).await })
            })
            .collect();
        tokio::task::yield_now().await;
        assert_eq!(guard.health().in_flight(), 2);
        assert!(matches!(ends(&guard, Ok(())).await, Err(Fault::Overloaded)));
        held.iter().for_each(tokio::task::JoinHandle::abort);
        for task in held {
            task.await.unwrap_err();
        }
        assert_eq!(guard.health().in_flight(), 0);
        ends(&guard, Ok(())).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn failures_open_the_circuit_and_a_probe_closes_it() {
        let guard = guard(10);
        for _ in 0..breaker::LEAST_CALLS {
            ends(&guard, Err(Fault::Timeout)).await.unwrap_err();
        }
        assert!(matches!(ends(&guard, Ok(())).await, Err(Fault::Paused)));
        assert_eq!(guard.health().circuit(), Circuit::Open);
        tokio::time::advance(Duration::from_secs(1)).await;
        ends(&guard, Ok(())).await.unwrap();
        assert_eq!(guard.health().circuit(), Circuit::Closed);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_about_one_key_opens_no_circuit() {
        let guard = guard(10);
        for _ in 0..1_000 {
            ends(&guard, Err(Fault::Foreign("a list".to_owned()))).await.unwrap_err();
        }
        ends(&guard, Ok(())).await.unwrap();
        assert_eq!(guard.health().faults(FaultKind::Foreign), 1_000);
        assert_eq!(guard.health().calls(), 1_001);
    }
}
