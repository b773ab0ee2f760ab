use std::num::NonZeroU64;

use super::{Level, MAX_EXACT, RuleError, State, level::Refill};
use crate::clock::Timestamp;

/// How many requests may be under way at once; see the [module](super) for the theory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Concurrency {
    slots: u64,
}

impl Concurrency {
    /// At most `slots` requests at once.
    ///
    /// # Errors
    /// [`RuleError::Zero`] if `slots` is 0, [`RuleError::TooLarge`] if it is beyond
    /// [`MAX_EXACT`].
    pub const fn new(slots: u64) -> Result<Self, RuleError> {
        match slots {
            0 => Err(RuleError::Zero),
            1..=MAX_EXACT => Ok(Self { slots }),
            _ => Err(RuleError::TooLarge { most: MAX_EXACT }),
        }
    }

    /// How many requests may be under way at once.
    #[must_use]
    pub const fn slots(&self) -> u64 {
        self.slots
    }

    pub(super) fn share(&self, parts: NonZeroU64) -> Self {
        Self { slots: (self.slots / parts).max(1) }
    }

    pub(super) const fn level(&self, state: State, now: Timestamp) -> Level {
        Level::new(now, state.used, NonZeroU64::MIN, self.slots, Refill::Return)
    }
}
