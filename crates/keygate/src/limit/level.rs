use std::{num::NonZeroU64, time::Duration};

use super::{Reading, State};
use crate::{clock::Timestamp, period::Window};

/// How long a window's usage is kept beyond its end: a clock that steps back across it finds it.
const SLACK: Duration = Duration::from_secs(300);

/// How much of a limit is used at one instant: see the [module](super) for what the numbers mean.
#[derive(Clone, Copy, Debug)]
pub struct Level {
    now: Timestamp,
    used: u64,
    unit: NonZeroU64,
    capacity: u64,
    refill: Refill,
}

/// How what was used comes back.
#[derive(Clone, Copy, Debug)]
pub(super) enum Refill {
    /// Bit by bit: `num` parts a microsecond, from `delay` microseconds on, which is now unless the
    /// clock stepped back. An exhausted burst takes `full_seconds` to come back.
    Flow { num: NonZeroU64, delay: u64, full_seconds: u64 },
    /// All at once, at the window's end. `at` is now, or the last charge if the clock stepped back.
    Turn { window: Window, at: Timestamp },
}

impl Level {
    pub(super) const fn new(
        now: Timestamp,
        used: u64,
        unit: NonZeroU64,
        capacity: u64,
        refill: Refill,
    ) -> Self {
        Self { now, used, unit, capacity, refill }
    }

    /// Whether a charge of `cost` units would fit now. A charge of nothing always does.
    #[must_use]
    pub fn fits(&self, cost: u64) -> bool {
        cost == 0 || self.with(cost) <= self.capacity
    }

    /// Whole units left.
    #[must_use]
    pub fn remaining(&self) -> u64 {
        let left = self.capacity.saturating_sub(self.used);
        match self.refill {
            Refill::Flow { .. } => left / self.unit,
            // A quota's unit weighs 1, and a division takes as long as all the rest.
            Refill::Turn { .. } => left,
        }
    }

    /// The state to store after a charge was made.
    #[must_use]
    pub fn state(&self) -> State {
        match self.refill {
            Refill::Flow { delay, .. } => {
                let at = Timestamp::from_micros(self.now.micros().saturating_add(delay));
                State { at, used: self.used / self.unit, part: self.used % self.unit }
            }
            Refill::Turn { at, .. } => State { at, used: self.used, part: 0 },
        }
    }

    /// From this instant on the state means the same as the default.
    #[must_use]
    pub fn forgotten_at(&self) -> Timestamp {
        match self.refill {
            Refill::Flow { num, delay, .. } => {
                let wait = delay.saturating_add(self.used.div_ceil(num.get()));
                Timestamp::from_micros(self.now.micros().saturating_add(wait))
            }
            Refill::Turn { window, .. } => window.end(),
        }
    }

    /// How long a store keeps the state: until it is forgotten, and a window's usage some minutes
    /// longer, so that a clock that steps back across the window's end finds it.
    #[must_use]
    pub fn keep_until(&self) -> Timestamp {
        match self.refill {
            Refill::Flow { .. } => self.forgotten_at(),
            Refill::Turn { .. } => self.forgotten_at().saturating_add(SLACK),
        }
    }

    pub(super) fn charge(&mut self, cost: u64) {
        self.used = self.with(cost);
    }

    /// What to tell about a charge of `cost` that did or did not fit this limit.
    #[must_use]
    pub fn reading(&self, cost: u64, within: bool) -> Reading {
        let remaining = self.remaining();
        Reading {
            within,
            remaining,
            reset_micros: self.reset_micros(remaining),
            retry_micros: if within { Some(0) } else { self.retry_micros(cost) },
            window_seconds: self.window_seconds(),
        }
    }

    fn with(&self, cost: u64) -> u64 {
        self.used.saturating_add(cost.saturating_mul(self.unit.get()))
    }

    fn reset_micros(&self, remaining: u64) -> u64 {
        if self.used == 0 {
            return 0;
        }
        let after_next = remaining.saturating_add(1).saturating_mul(self.unit.get());
        self.until_used(self.capacity.saturating_sub(after_next))
    }

    fn retry_micros(&self, cost: u64) -> Option<u64> {
        let weight = cost.checked_mul(self.unit.get())?;
        let room = self.capacity.checked_sub(weight)?;
        Some(self.until_used(room))
    }

    /// Microseconds until no more than `most` is used.
    fn until_used(&self, most: u64) -> u64 {
        match self.refill {
            Refill::Flow { num, delay, .. } => {
                delay.saturating_add(self.used.saturating_sub(most).div_ceil(num.get()))
            }
            Refill::Turn { window, .. } => window.end().micros_since(self.now),
        }
    }

    fn window_seconds(&self) -> u64 {
        match self.refill {
            Refill::Flow { full_seconds, .. } => full_seconds,
            Refill::Turn { window, .. } => window.seconds(),
        }
    }
}
