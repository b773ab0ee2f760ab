use std::num::NonZeroU64;

use super::{Level, MAX_EXACT, RuleError, State, level::Refill};
use crate::clock::Timestamp;

/// The largest numerator: what drains in a second then stays far below 2^63.
const MAX_NUM: u64 = (1 << 32) - 1;

const MICROS_PER_SECOND: u64 = 1_000_000;

/// A count per time with a burst, as an exact fraction; see the [module](super) for the theory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    num: NonZeroU64,
    den: NonZeroU64,
    burst: u64,
    /// How long an exhausted burst takes to come back: worked out once, so that a request divides
    /// less.
    full_seconds: u64,
}

impl Rate {
    /// `count` units per `per_micros` microseconds, at most `burst` of them at once.
    ///
    /// # Errors
    /// [`RuleError::Zero`] if any number is 0; [`RuleError::TooLarge`] if `count` and `per_micros`
    /// in lowest terms leave more than 32 bits for the count, or `burst` is more than can be
    /// counted exactly at this pace.
    pub fn new(count: u64, per_micros: u64, burst: u64) -> Result<Self, RuleError> {
        let (Some(num), Some(den)) = (NonZeroU64::new(count), NonZeroU64::new(per_micros)) else {
            return Err(RuleError::Zero);
        };
        if burst == 0 {
            return Err(RuleError::Zero);
        }
        let (num, den) = reduced(num, den);
        if num.get() > MAX_NUM {
            return Err(RuleError::TooLarge { most: MAX_NUM });
        }
        if den.get() > MAX_EXACT {
            return Err(RuleError::TooLarge { most: MAX_EXACT });
        }
        let most = MAX_EXACT / den;
        if burst > most {
            return Err(RuleError::TooLarge { most });
        }
        Ok(Self::of(num, den, burst))
    }

    fn of(num: NonZeroU64, den: NonZeroU64, burst: u64) -> Self {
        let full_micros = burst.saturating_mul(den.get()).div_ceil(num.get());
        let full_seconds = full_micros.div_ceil(MICROS_PER_SECOND).max(1);
        Self { num, den, burst, full_seconds }
    }

    /// The most that can be charged at once, in units.
    #[must_use]
    pub const fn burst(&self) -> u64 {
        self.burst
    }

    /// Units per microsecond in lowest terms: `(num, den)`.
    #[must_use]
    pub const fn pace(&self) -> (u64, u64) {
        (self.num.get(), self.den.get())
    }

    pub(super) fn share(&self, parts: NonZeroU64) -> Self {
        let burst = (self.burst / parts).max(1);
        let slower = self.den.saturating_mul(parts);
        // Where the slower pace leaves the exact range it is cut to the slowest that does not.
        let den = slower.min(NonZeroU64::new(MAX_EXACT / burst).unwrap_or(self.den)).max(self.den);
        Self::of(self.num, den, burst)
    }

    pub(super) fn level(&self, state: State, now: Timestamp) -> Level {
        let capacity = self.burst.saturating_mul(self.den.get());
        // A part of a unit that another pace left has another denominator: it counts as at most one.
        let part = state.part.min(self.den.get());
        let backlog = state.used.saturating_mul(self.den.get()).saturating_add(part);
        let drained = now.micros_since(state.at).saturating_mul(self.num.get());
        let used = backlog.min(capacity).saturating_sub(drained);
        let beyond = backlog.saturating_sub(drained).saturating_sub(used);
        let delay = state.at.micros_since(now);
        let full_seconds = self.full_seconds;
        let refill = Refill::Flow { num: self.num, delay, beyond, full_seconds };
        Level::new(now, used, self.den, capacity, refill)
    }
}

fn reduced(a: NonZeroU64, b: NonZeroU64) -> (NonZeroU64, NonZeroU64) {
    let divisor = gcd(a, b);
    let by = |n: NonZeroU64| NonZeroU64::new(n.get() / divisor).unwrap_or(NonZeroU64::MIN);
    (by(a), by(b))
}

fn gcd(mut a: NonZeroU64, mut b: NonZeroU64) -> NonZeroU64 {
    while let Some(rest) = NonZeroU64::new(a.get() % b) {
        (a, b) = (b, rest);
    }
    b
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_kept_in_lowest_terms() {
        assert_eq!(Rate::new(10, 1_000_000, 20).unwrap().pace(), (1, 100_000));
        assert_eq!(Rate::new(7, 3, 1).unwrap().pace(), (7, 3));
        assert_eq!(Rate::new(86_400, 86_400_000_000, 1).unwrap().pace(), (1, 1_000_000));
    }

    #[test]
    fn shares_together_are_the_whole() {
        let parts = NonZeroU64::new(3).unwrap();
        let whole = Rate::new(10, 1_000_000, 20).unwrap();
        assert_eq!(whole.share(parts), Rate::new(10, 3_000_000, 6).unwrap());
        assert_eq!(whole.share(NonZeroU64::MIN), whole);
        let slow = Rate::new(1, MAX_EXACT / 2, 2).unwrap();
        assert_eq!(slow.share(parts).pace(), (1, MAX_EXACT));
    }

    #[test]
    fn a_part_left_by_another_pace_weighs_a_unit_at_most() {
        let now = Timestamp::from_micros(1_000);
        let state = State { at: now, used: 1, part: 999_982 };
        let level = Rate::new(1, 10, 3).unwrap().level(state, now);
        assert_eq!(level.remaining(), 1);
        assert_eq!(level.forgotten_at(), Timestamp::from_micros(1_020));
    }

    #[test]
    fn zero_and_overflow_are_refused() {
        assert_eq!(Rate::new(0, 1, 1), Err(RuleError::Zero));
        assert_eq!(Rate::new(1, 0, 1), Err(RuleError::Zero));
        assert_eq!(Rate::new(1, 1, 0), Err(RuleError::Zero));
        assert_eq!(Rate::new(1 << 32, 1, 1), Err(RuleError::TooLarge { most: MAX_NUM }));
        assert_eq!(Rate::new(1, 1 << 53, 1), Err(RuleError::TooLarge { most: MAX_EXACT }));
        let per_day = 86_400_000_000;
        let most = MAX_EXACT / per_day;
        assert!(Rate::new(1, per_day, most).is_ok());
        assert_eq!(Rate::new(1, per_day, most + 1), Err(RuleError::TooLarge { most }));
        // As doubles, 2^53 and one more are the same.
        let most = (1 << 53) - 1;
        assert_eq!(Rate::new(1, 1, 1 << 53), Err(RuleError::TooLarge { most }));
        assert!(Rate::new(1, 1, most).is_ok());
    }
}
