use std::num::NonZeroU64;

use super::{Reading, State};
use crate::{clock::Timestamp, period::Window};

const MICROS_PER_SECOND: u64 = 1_000_000;

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
    /// Bit by bit: `num` parts a microsecond.
    Flow { num: NonZeroU64 },
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
        self.capacity.saturating_sub(self.used) / self.unit
    }

    /// The state to store.
    #[must_use]
    pub fn state(&self) -> State {
        match self.refill {
            Refill::Flow { num } => State {
                instant: self.now.micros().saturating_add(self.used / num),
                amount: self.used % num,
            },
            Refill::Turn { at, .. } => State { instant: at.micros(), amount: self.used },
        }
    }

    /// From this instant on the state equals the default: a store may forget it.
    #[must_use]
    pub fn forgotten_at(&self) -> Timestamp {
        match self.refill {
            Refill::Flow { num } => {
                let drained = self.used.div_ceil(num.get());
                Timestamp::from_micros(self.now.micros().saturating_add(drained))
            }
            Refill::Turn { window, .. } => window.end(),
        }
    }

    pub(super) fn charge(&mut self, cost: u64) {
        self.used = self.with(cost);
    }

    /// What to tell about a charge of `cost` that did or did not fit this limit.
    pub(super) fn reading(&self, cost: u64, within: bool) -> Reading {
        Reading {
            within,
            remaining: self.remaining(),
            reset_micros: self.reset_micros(),
            retry_micros: if within { Some(0) } else { self.retry_micros(cost) },
            window_seconds: self.window_seconds(),
        }
    }

    fn with(&self, cost: u64) -> u64 {
        self.used.saturating_add(cost.saturating_mul(self.unit.get()))
    }

    fn reset_micros(&self) -> u64 {
        match self.refill {
            Refill::Flow { num } => {
                let after_next_unit = self.remaining().saturating_add(1);
                let target =
                    self.capacity.saturating_sub(after_next_unit.saturating_mul(self.unit.get()));
                self.used.saturating_sub(target).min(self.used).div_ceil(num.get())
            }
            Refill::Turn { .. } if self.used == 0 => 0,
            Refill::Turn { window, .. } => window.end().micros_since(self.now),
        }
    }

    fn retry_micros(&self, cost: u64) -> Option<u64> {
        let weight = cost.checked_mul(self.unit.get())?;
        if weight > self.capacity {
            return None;
        }
        Some(match self.refill {
            Refill::Flow { num } => {
                self.with(cost).saturating_sub(self.capacity).div_ceil(num.get())
            }
            Refill::Turn { window, .. } => window.end().micros_since(self.now),
        })
    }

    fn window_seconds(&self) -> u64 {
        match self.refill {
            Refill::Flow { num } => {
                self.capacity.div_ceil(num.get()).div_ceil(MICROS_PER_SECOND).max(1)
            }
            Refill::Turn { window, .. } => window.seconds(),
        }
    }
}
