//! The circuit breaker: a state machine in one word, which is told the time.
//!
//! ```text
//!     three of four of at least 20 calls in two seconds failed
//!   closed ──────────────────────────────────────────────────► open
//!      ▲                                                        │ a jittered pause is over,
//!      │ it succeeds                                            ▼ and somebody calls
//!      └──────────────────────────────────────────────────── half open: that one call
//!                                          it fails: open again, for twice as long
//! ```
//!
//! A probe that is given up has no outcome: the next call is the probe then.
//!
//! Not half of them: while one master of a Cluster is down, the calls to the others must go on, of
//! which some fail too, for the client asks who serves the slots now.

use std::{
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
    time::Duration,
};

use super::{health::Circuit, window::Window};

/// Fewer calls say nothing about a ratio.
pub(super) const LEAST_CALLS: u64 = 20;

const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

const CLOSED: u64 = 0;
const PROBING: u64 = 1;

/// Decides who may call.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    /// `CLOSED`; or twice the millisecond at which the pause is over, plus `PROBING`.
    state: AtomicU64,
    failed_probes: AtomicU32,
    window: Window,
}

/// The permission to call, to be given back with an outcome, or given up.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Pass {
    Call,
    Probe,
}

/// What an outcome led to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Change {
    Opened,
    Closed,
}

impl Breaker {
    pub(super) fn admit(&self, millis: u64) -> Option<Pass> {
        let state = self.state.load(Ordering::Acquire);
        if state == CLOSED {
            return Some(Pass::Call);
        }
        if state & PROBING != 0 || millis < state >> 1 {
            return None;
        }
        let taken = self.exchange(state, state | PROBING);
        taken.then_some(Pass::Probe)
    }

    pub(super) fn report(
        &self,
        pass: Pass,
        failed: bool,
        millis: u64,
        jitter: impl FnOnce(Duration) -> Duration,
    ) -> Option<Change> {
        match (pass, failed) {
            (Pass::Call, _) => {
                self.window.record(failed, millis);
                let opens = failed && self.fails_too_often(millis) && self.open(millis, jitter);
                opens.then_some(Change::Opened)
            }
            (Pass::Probe, false) => {
                self.window.clear();
                self.failed_probes.store(0, Ordering::Relaxed);
                self.state.store(CLOSED, Ordering::Release);
                Some(Change::Closed)
            }
            (Pass::Probe, true) => {
                let failed_probes = self.failed_probes.fetch_add(1, Ordering::Relaxed);
                let pause = pause(failed_probes.saturating_add(1));
                self.state.store(until(millis, jitter(pause)), Ordering::Release);
                None
            }
        }
    }

    /// The probe has no outcome.
    pub(super) fn give_up_probe(&self) {
        self.state.fetch_and(!PROBING, Ordering::AcqRel);
    }

    pub(super) fn circuit(&self, millis: u64) -> Circuit {
        match self.state.load(Ordering::Acquire) {
            CLOSED => Circuit::Closed,
            state if state & PROBING == 0 || millis < state >> 1 => Circuit::Open,
            _ => Circuit::HalfOpen,
        }
    }

    fn fails_too_often(&self, millis: u64) -> bool {
        let tally = self.window.tally(millis);
        tally.calls >= LEAST_CALLS
            && tally.failures.saturating_mul(4) >= tally.calls.saturating_mul(3)
    }

    fn open(&self, millis: u64, jitter: impl FnOnce(Duration) -> Duration) -> bool {
        self.exchange(CLOSED, until(millis, jitter(pause(0))))
    }

    fn exchange(&self, from: u64, to: u64) -> bool {
        self.state.compare_exchange(from, to, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }
}

fn pause(failed_probes: u32) -> Duration {
    let factor = 1_u32.checked_shl(failed_probes).unwrap_or(u32::MAX);
    FIRST_PAUSE.saturating_mul(factor).min(LONGEST_PAUSE)
}

/// The state that is open until then. It is never `CLOSED`, for a pause takes time.
fn until(millis: u64, pause: Duration) -> u64 {
    let pause = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX).max(1);
    millis.saturating_add(pause).saturating_mul(2) & !PROBING
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exact(pause: Duration) -> Duration {
        pause
    }

    fn call(breaker: &Breaker, failed: bool, millis: u64) -> Option<Change> {
        let pass = breaker.admit(millis).expect("the circuit is closed");
        breaker.report(pass, failed, millis, exact)
    }

    /// A breaker that opened at millisecond 0.
    fn opened() -> Breaker {
        let breaker = Breaker::default();
        let changes: Vec<_> = (0..LEAST_CALLS).filter_map(|_| call(&breaker, true, 0)).collect();
        assert_eq!(changes, [Change::Opened]);
        breaker
    }

    #[test]
    fn few_calls_and_few_failures_open_nothing() {
        let breaker = Breaker::default();
        (1..LEAST_CALLS).for_each(|_| assert_eq!(call(&breaker, true, 0), None));
        let breaker = Breaker::default();
        for turn in 0..1_000 {
            assert_eq!(call(&breaker, turn % 3 > 0, 0), None, "two of three at turn {turn}");
        }
    }

    #[test]
    fn three_of_four_calls_failing_open_it_once() {
        let breaker = Breaker::default();
        let change = |turn: u64| call(&breaker, !turn.is_multiple_of(4), 0);
        assert_eq!((0..LEAST_CALLS).filter_map(change).collect::<Vec<_>>(), [Change::Opened]);
        assert_eq!(breaker.admit(0), None);
    }

    #[test]
    fn failures_of_long_ago_do_not_count() {
        let breaker = Breaker::default();
        (1..LEAST_CALLS).for_each(|_| assert_eq!(call(&breaker, true, 0), None));
        assert_eq!(call(&breaker, true, 6_000), None);
    }

    #[test]
    fn after_the_pause_exactly_one_call_is_let_through() {
        let breaker = opened();
        assert_eq!(breaker.admit(249), None);
        assert_eq!(breaker.circuit(249), Circuit::Open);
        assert_eq!(breaker.admit(250), Some(Pass::Probe));
        assert_eq!(breaker.circuit(250), Circuit::HalfOpen);
        assert_eq!(breaker.admit(250), None);
        assert_eq!(breaker.admit(1_000_000), None);
    }

    #[test]
    fn a_probe_that_succeeds_closes_it_with_a_clean_slate() {
        let breaker = opened();
        let probe = breaker.admit(300).unwrap();
        assert_eq!(breaker.report(probe, false, 300, exact), Some(Change::Closed));
        assert_eq!(breaker.circuit(300), Circuit::Closed);
        assert_eq!(call(&breaker, true, 300), None);
    }

    #[test]
    fn pauses_double_with_each_probe_that_fails_up_to_an_end() {
        let breaker = opened();
        let mut millis = 250;
        for pause in [500, 1_000, 1_000] {
            let probe = breaker.admit(millis).unwrap();
            assert_eq!(breaker.report(probe, true, millis, exact), None);
            assert_eq!(breaker.admit(millis + pause - 1), None);
            millis += pause;
        }
        assert_eq!(breaker.admit(millis), Some(Pass::Probe));
    }

    #[test]
    fn a_probe_given_up_is_anothers_turn() {
        let breaker = opened();
        assert_eq!(breaker.admit(250), Some(Pass::Probe));
        breaker.give_up_probe();
        assert_eq!(breaker.admit(250), Some(Pass::Probe));
    }

    #[test]
    fn calls_from_before_it_opened_change_nothing_after() {
        let breaker = Breaker::default();
        let late = breaker.admit(0).unwrap();
        assert_eq!((0..LEAST_CALLS).filter_map(|_| call(&breaker, true, 0)).count(), 1);
        assert_eq!(breaker.report(late, true, 10, exact), None);
        assert_eq!(breaker.admit(250), Some(Pass::Probe));
    }

    #[test]
    fn racing_callers_get_one_probe() {
        let breaker = opened();
        let probes = std::thread::scope(|scope| {
            let callers: Vec<_> = (0..8).map(|_| scope.spawn(|| breaker.admit(250))).collect();
            callers.into_iter().filter_map(|caller| caller.join().unwrap()).count()
        });
        assert_eq!(probes, 1);
    }
}
