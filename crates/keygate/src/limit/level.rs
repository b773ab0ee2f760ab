use std::{num::NonZeroU64, time::Duration};

use super::{MAX_EXACT, Reading, State};
use crate::{clock::Timestamp, period::Window};

/// How long a window's usage is kept beyond its end: a clock that steps back across it finds it.
const SLACK: Duration = Duration::from_secs(300);

/// When to try again for a slot: nobody can tell when a request ends.
const RETRY_FOR_A_SLOT_MICROS: u64 = 1_000_000;

/// How much of a limit is used at one instant: see the [module](super) for what the numbers mean.
#[derive(Clone, Copy, Debug)]
pub struct Level {
    now: Timestamp,
    used: u64,
    unit: NonZeroU64,
    capacity: u64,
    refill: Refill,
}

/// What was charged too much or too little, once that is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Correction {
    /// Just right.
    #[default]
    None,
    /// So many units more were used. They count even beyond the capacity, and deny what comes next.
    Extra(u64),
    /// So many units were not used.
    Refund {
        /// Units of those that were charged.
        units: u64,
        /// Microseconds since they were charged, at least, as of when this is said: what came back by itself meanwhile, with
        /// the pace of a rate or a new window of a quota, is not given back again.
        after_micros: u64,
    },
}

/// How what was used comes back.
#[derive(Clone, Copy, Debug)]
pub(super) enum Refill {
    /// Bit by bit: `num` parts a microsecond, from `delay` microseconds on, which is now unless the
    /// clock stepped back or something is owed. `beyond` the capacity is what a rule with a larger
    /// burst left. An exhausted burst takes `full_seconds` to come back.
    Flow { num: NonZeroU64, delay: u64, beyond: u64, full_seconds: u64 },
    /// All at once, at the window's end. `at` is now, or the last charge if the clock stepped back.
    Turn { window: Window, at: Timestamp },
    /// One by one, whenever a request ends.
    Return,
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
            // Their unit weighs 1, and a division takes as long as all the rest.
            Refill::Turn { .. } | Refill::Return => left,
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
            Refill::Return => State { at: self.now, used: self.used, part: 0 },
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
            Refill::Return if self.used > 0 => Timestamp::from_micros(u64::MAX),
            Refill::Return => self.now,
        }
    }

    /// How long a store keeps the state: until it is forgotten, and a window's usage some minutes
    /// longer, so that a clock that steps back across the window's end finds it.
    #[must_use]
    pub fn keep_until(&self) -> Timestamp {
        match self.refill {
            Refill::Flow { .. } | Refill::Return => self.forgotten_at(),
            Refill::Turn { .. } => self.forgotten_at().saturating_add(SLACK),
        }
    }

    pub(super) fn charge(&mut self, cost: u64) {
        self.used = self.with(cost);
    }

    /// Corrects an earlier charge, once it is known what the request weighed. No slot is given back:
    /// that is [`release`](Self::release).
    pub fn correct(&mut self, correction: Correction) {
        self.widen();
        match correction {
            Correction::None => {}
            Correction::Extra(units) => self.exceed(units),
            Correction::Refund { units, after_micros } => self.refund(units, after_micros),
        }
    }

    /// A request has ended: its slot, if this counts slots, is free again.
    pub fn release(&mut self) {
        if matches!(self.refill, Refill::Return) {
            self.used = self.used.saturating_sub(1);
        }
    }

    /// A plan may have been edited since the charge. A correction by the rule of then must not cut off
    /// what a rule with a larger burst has counted, so the bucket holds what is in it.
    fn widen(&mut self) {
        if let Refill::Flow { beyond, .. } = &mut self.refill {
            self.used = self.used.saturating_add(std::mem::take(beyond));
            self.capacity = self.capacity.max(self.used);
        }
    }

    /// Takes more, whether or not it fits. What is beyond the capacity of a rate is owed: a delay
    /// before anything flows back.
    fn exceed(&mut self, units: u64) {
        let weight = self.weight(units);
        match &mut self.refill {
            Refill::Flow { num, delay, .. } => {
                let used = self.used.saturating_add(weight);
                self.used = used.min(self.capacity);
                let owed = used.saturating_sub(self.capacity).div_ceil(num.get());
                let most = MAX_EXACT.saturating_sub(self.now.micros());
                *delay = delay.saturating_add(owed).min(most);
            }
            Refill::Turn { .. } => self.used = self.used.saturating_add(weight).min(MAX_EXACT),
            Refill::Return => {}
        }
    }

    /// Gives back what was charged, as far as it has not come back by itself.
    fn refund(&mut self, units: u64, after_micros: u64) {
        let weight = self.weight(units);
        match &mut self.refill {
            Refill::Flow { num, delay, .. } => {
                let mut left = weight.saturating_sub(after_micros.saturating_mul(num.get()));
                // Only a full bucket may be in debt. Otherwise the clock stepped back.
                if self.used >= self.capacity {
                    let repaid = (left / *num).min(*delay);
                    *delay = delay.saturating_sub(repaid);
                    left = left.saturating_sub(repaid.saturating_mul(num.get()));
                    if *delay > 0 {
                        return;
                    }
                }
                self.used = self.used.saturating_sub(left);
            }
            Refill::Turn { window, .. } => {
                let charged = self.now.micros().saturating_sub(after_micros);
                if window.start().micros() <= charged {
                    self.used = self.used.saturating_sub(weight);
                }
            }
            Refill::Return => {}
        }
    }

    /// What so many units weigh, whatever the capacity, but within the exact range.
    fn weight(&self, units: u64) -> u64 {
        units.min(MAX_EXACT / self.unit).saturating_mul(self.unit.get())
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
        let weight = match self.refill {
            // A request takes one slot, whatever it weighs; one that weighs nothing is not counted.
            Refill::Return => cost.min(1),
            _ => cost.saturating_mul(self.unit.get()),
        };
        self.used.saturating_add(weight)
    }

    fn reset_micros(&self, remaining: u64) -> u64 {
        if self.used == 0 || matches!(self.refill, Refill::Return) {
            return 0;
        }
        let after_next = remaining.saturating_add(1).saturating_mul(self.unit.get());
        self.until_used(self.capacity.saturating_sub(after_next))
    }

    fn retry_micros(&self, cost: u64) -> Option<u64> {
        if matches!(self.refill, Refill::Return) {
            return Some(RETRY_FOR_A_SLOT_MICROS);
        }
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
            Refill::Return => 0,
        }
    }

    fn window_seconds(&self) -> u64 {
        match self.refill {
            Refill::Flow { full_seconds, .. } => full_seconds,
            Refill::Turn { window, .. } => window.seconds(),
            Refill::Return => 0,
        }
    }
}
