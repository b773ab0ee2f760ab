use std::num::NonZeroU64;

use super::{Level, MAX_EXACT, RuleError, State, level::Refill};
use crate::{clock::Timestamp, period::Period};

/// An allowance per calendar period; see the [module](super) for the theory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quota {
    amount: u64,
    period: Period,
}

impl Quota {
    /// `amount` units in each window of `period`.
    ///
    /// # Errors
    /// [`RuleError::Zero`] if `amount` is 0, [`RuleError::TooLarge`] if it is beyond
    /// [`MAX_EXACT`].
    pub fn new(amount: u64, period: Period) -> Result<Self, RuleError> {
        match amount {
            0 => Err(RuleError::Zero),
            1..=MAX_EXACT => Ok(Self { amount, period }),
            _ => Err(RuleError::TooLarge { most: MAX_EXACT }),
        }
    }

    /// Units per window.
    #[must_use]
    pub const fn amount(&self) -> u64 {
        self.amount
    }

    /// The calendar period.
    #[must_use]
    pub const fn period(&self) -> &Period {
        &self.period
    }

    pub(super) fn share(&self, parts: NonZeroU64) -> Self {
        Self { amount: (self.amount / parts).max(1), period: self.period.clone() }
    }

    pub(super) fn level(&self, state: State, now: Timestamp) -> Level {
        let at = now.max(state.at);
        let window = self.period.window(at);
        let used = if state.at < window.start() { 0 } else { state.used };
        let refill = Refill::Turn { window, at };
        Level::new(now, used, NonZeroU64::MIN, self.amount, refill)
    }
}
