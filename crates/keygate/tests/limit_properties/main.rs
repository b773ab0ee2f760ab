//! The arithmetic of limits against models that know nothing of it, over random traces.

#![cfg(test)]

mod corrections;
mod edits;
mod governor;
mod quotas;
mod rates;
mod several;

use keygate::{
    clock::Timestamp,
    limit::{Correction, Reading, Rule, State, decide},
};
use proptest::{prelude::*, test_runner::RngSeed};

/// The same traces every time.
fn fixed(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        rng_seed: RngSeed::Fixed(0x6b65_7967_6174_6500),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// A number below `2^bits`, every magnitude as likely as another.
fn any_magnitude(bits: u32) -> impl Strategy<Value = u64> {
    (0..=bits, any::<u64>()).prop_map(|(bits, number)| number & ((1_u64 << bits) - 1))
}

/// What a charge weighs, told apart by the capacity of the limit it meets.
fn any_cost() -> impl Strategy<Value = Cost> {
    prop_oneof![
        1 => Just(Cost::Nothing),
        3 => Just(Cost::One),
        1 => Just(Cost::Capacity),
        1 => Just(Cost::OverCapacity),
        1 => Just(Cost::Huge),
        3 => (0_u64..=1_000).prop_map(Cost::PerMille),
    ]
}

#[derive(Clone, Copy, Debug)]
enum Cost {
    Nothing,
    One,
    Capacity,
    OverCapacity,
    Huge,
    PerMille(u64),
}

impl Cost {
    fn of(self, capacity: u64) -> u64 {
        match self {
            Self::Nothing => 0,
            Self::One => 1,
            Self::Capacity => capacity,
            Self::OverCapacity => capacity + 1,
            Self::Huge => u64::MAX,
            Self::PerMille(part) => capacity / 1_000 * part + capacity % 1_000 * part / 1_000,
        }
    }
}

/// One limit, charged as a store charges it.
struct Counter {
    rule: Rule,
    state: State,
}

impl Counter {
    fn new(rule: Rule) -> Self {
        Self { rule, state: State::default() }
    }

    /// What a charge would be told, and the state it would leave.
    fn look(&self, now: u64, cost: u64) -> (Reading, State) {
        let mut levels = [self.rule.level(self.state, Timestamp::from_micros(now))];
        let reading = decide(&mut levels, cost)[0];
        (reading, levels[0].state())
    }

    fn charge(&mut self, now: u64, cost: u64) -> Reading {
        let (reading, state) = self.look(now, cost);
        if reading.within && cost > 0 {
            self.state = state;
        }
        reading
    }

    fn correct(&mut self, now: u64, correction: Correction) {
        let mut level = self.rule.level(self.state, Timestamp::from_micros(now));
        level.correct(correction);
        self.state = level.state();
    }

    /// A retry and a reset are right to the microsecond.
    fn tells_the_truth(&self, now: u64, cost: u64, reading: &Reading) {
        if let Some(retry) = reading.retry_micros.filter(|_| !reading.within) {
            assert!(retry > 0);
            assert!(!self.look(now + retry - 1, cost).0.within, "early: {reading:?}");
            assert!(self.look(now + retry, cost).0.within, "on time: {reading:?}");
        }
        let remaining = |later: u64| self.look(now + later, 0).0.remaining;
        if reading.reset_micros == 0 {
            assert_eq!(reading.remaining, self.rule.capacity());
        } else {
            assert_eq!(remaining(reading.reset_micros - 1), reading.remaining);
            assert!(remaining(reading.reset_micros) > reading.remaining);
        }
    }
}
