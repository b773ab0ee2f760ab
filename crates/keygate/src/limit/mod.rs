//! The arithmetic of limits: what fits, what remains, and when more becomes available.
//!
//! Pure integers and calendar windows: no clock, no store, no float. The in-memory backend calls
//! these functions; every other backend must answer as they do (law `agrees_with_limit`).
//!
//! # One shape for every rule
//!
//! A rule and its stored [`State`] are projected at an instant onto a [`Level`]: how much of a
//! capacity is used. For every rule a charge of `cost` *fits* iff
//!
//! ```text
//! used + cost * unit <= capacity
//! ```
//!
//! and charging it adds `cost * unit` to `used`. Several limits are decided together by
//! [`decide`]: first every level is asked, then either all of them are charged or none is. A
//! request that one limit refuses therefore costs nothing anywhere.
//!
//! # One shape for every state
//!
//! A [`State`] says what was used and when it was last charged: `used` whole units and a `part` of
//! one, `at` an instant. It names neither plan nor rule. A key that moves to another plan, or a plan
//! that is edited, keeps what was used under the limit's name, whatever the numbers: a raised limit
//! helps at once, a lowered one has nothing left and comes back at its own pace.
//!
//! # Rate: a leaky bucket
//!
//! The rule "`count` per `per` with a burst of `burst`" is the Generic Cell Rate Algorithm in its
//! form as a continuous-state leaky bucket (ITU-T I.371, annex A; ATM Forum TM 4.1), kept exact by
//! counting in fractions of a unit.
//!
//! | symbol | meaning |
//! |---|---|
//! | `num / den` | units that flow back per microsecond: `count / per`, reduced by their gcd |
//! | `unit` | what one unit weighs: `den` |
//! | `capacity` | `burst * den` |
//! | `backlog` | what the bucket held at the last charge: `used * den + part` |
//! | `drained` | what has flowed back since: `(now - at) * num` |
//! | level | `max(0, min(backlog, capacity) - drained)` |
//!
//! A charge stores `level + cost * den` as whole units and a part, at `now`: a division with its
//! remainder, so nothing is ever rounded. The wait until a refused charge fits is
//! `ceil((level + cost * unit - capacity) / num)`: one microsecond earlier it is still refused.
//!
//! From level `<=` capacity at every instant follows invariant I2: in any interval `d`, admitted
//! `<= burst + rate * d`. Time itself refills the bucket; nobody writes.
//!
//! A backlog beyond the capacity is what a rule with a larger burst left: it counts as a full bucket,
//! so after an edit the first unit comes back at the pace of the new rule. When the clock steps back,
//! nothing drains until it has caught up: time that is lived twice counts once.
//!
//! # Quota: an allowance per calendar window
//!
//! What was used counts iff the last charge does not lie before the window of now: a new window
//! starts at zero without anybody writing. When the clock steps back, the instant of the last charge
//! stands in for now: a window that was left cannot be spent a second time.
//!
//! # Concurrency: slots
//!
//! What was used is the number of requests that hold a slot. A request takes one, whatever it
//! weighs, and [`release`](Level::release)s it when it ends; time gives nothing back. A request of
//! no weight takes none.
//!
//! # Costs known late
//!
//! A request that turns out to weigh something else than it was charged is corrected. More is
//! taken even beyond the capacity: a quota is overdrawn, and a rate is full and stays so until what is
//! beyond it has flowed back at its pace, `ceil(beyond / num)` microseconds during which `at` lies
//! ahead of now. Less is given back only as far as it has not come back by itself:
//! `cost * unit - num * elapsed` of a rate, and nothing in a later window of a quota. So no refund
//! ever makes room that would not be there, had the request been charged rightly at the start.
//!
//! Of a full bucket a refund repays `floor(refund / num)` microseconds of the debt first, and only what
//! is left then makes room. A debt and its refund are each rounded against the client, by less than
//! flows back in a microsecond. A bucket that is not full owes nothing: there, `at` ahead of now is a clock
//! that stepped back, and stays where it is.
//!
//! The rule of a correction is the one that charged, and the plan may have been edited since. A backlog
//! beyond its capacity is therefore not cut off: the bucket holds what is in it,
//! `max(capacity, backlog - drained)`.
//!
//! # A worked trace
//!
//! Three per ten microseconds, burst 2: `num = 3`, `den = 10`, `capacity = 20`. A unit weighs 10
//! and flows back in 3⅓ µs; nothing is lost to the third.
//!
//! ```
//! use keygate::{clock::Timestamp, limit::{Rate, Rule, State, decide}};
//!
//! let rule = Rule::Rate(Rate::new(3, 10, 2)?);
//! let mut state = State::default();
//! let mut at = |now: u64| {
//!     let mut levels = [rule.level(state, Timestamp::from_micros(now))];
//!     let reading = decide(&mut levels, 1)[0];
//!     if reading.within {
//!         state = levels[0].state();
//!     }
//!     (reading.within, reading.remaining, reading.retry_micros, state.used, state.part)
//! };
//! //                  within  remaining  retry  used  part
//! assert_eq!(at(100), (true,  1, Some(0), 1, 0)); // 10
//! assert_eq!(at(100), (true,  0, Some(0), 2, 0)); // 20: full
//! assert_eq!(at(103), (false, 0, Some(1), 2, 0)); // 11, and 11 + 10 > 20: one µs early
//! assert_eq!(at(104), (true,  0, Some(0), 1, 8)); // 8, so 18
//! assert_eq!(at(110), (true,  1, Some(0), 1, 0)); // empty again: as at the start
//! # Ok::<(), keygate::limit::RuleError>(())
//! ```

use std::num::NonZeroU64;

mod concurrency;
mod decide;
mod level;
mod quota;
mod rate;

pub use self::{
    concurrency::Concurrency,
    decide::decide,
    level::{Correction, Level},
    quota::Quota,
    rate::Rate,
};
use crate::clock::Timestamp;

/// The largest number any rule may lead to: doubles, and so Lua and JSON, tell it from all that are larger.
/// Of 2^53 they do not: to them one more is the same, and a limit of as many would never be used up.
pub const MAX_EXACT: u64 = (1 << 53) - 1;

/// What a limit counts by.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rule {
    /// A count per time, with a burst.
    Rate(Rate),
    /// An allowance per calendar period.
    Quota(Quota),
    /// A number of requests at once.
    Concurrency(Concurrency),
}

/// What a rule is, its numbers aside: states of different kinds mean different things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Rate,
    Quota,
    Concurrency,
}

impl Rule {
    pub(crate) const fn kind(&self) -> Kind {
        match self {
            Self::Rate(_) => Kind::Rate,
            Self::Quota(_) => Kind::Quota,
            Self::Concurrency(_) => Kind::Concurrency,
        }
    }

    /// The most that can ever be charged at once, in units; for a concurrency, its slots.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        match self {
            Self::Rate(rate) => rate.burst(),
            Self::Quota(quota) => quota.amount(),
            Self::Concurrency(concurrency) => concurrency.slots(),
        }
    }

    /// Whether a charge of so many units could fit if nothing were used.
    #[must_use]
    pub fn can_hold(&self, cost: u64) -> bool {
        // A slot is a slot, whatever the request weighs.
        matches!(self, Self::Concurrency(_)) || cost <= self.capacity()
    }

    /// The same rule over an equal part of its numbers, so that `parts` of them together allow what
    /// this one does; but each allows at least one unit at a time.
    #[must_use]
    pub fn share(&self, parts: NonZeroU64) -> Self {
        match self {
            Self::Rate(rate) => Self::Rate(rate.share(parts)),
            Self::Quota(quota) => Self::Quota(quota.share(parts)),
            Self::Concurrency(concurrency) => Self::Concurrency(concurrency.share(parts)),
        }
    }

    /// Projects a stored state onto the instant `now`.
    #[must_use]
    pub fn level(&self, state: State, now: Timestamp) -> Level {
        match self {
            Self::Rate(rate) => rate.level(state, now),
            Self::Quota(quota) => quota.level(state, now),
            Self::Concurrency(concurrency) => concurrency.level(state, now),
        }
    }
}

/// What a store keeps for one limit of one subject. The default says that nothing was ever used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// The last charge.
    pub at: Timestamp,
    /// Whole units used, as of then, or slots held.
    pub used: u64,
    /// A rate's part of a unit beyond them, as a multiple of `1 / den`; 0 for all others.
    pub part: u64,
}

/// What one limit says after a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Whether the charge fits this limit, whatever the others said.
    pub within: bool,
    /// Whole units left, after the charge if it was made.
    pub remaining: u64,
    /// Microseconds until more becomes available; 0 when nothing is used, and for slots, which
    /// come back when a request ends.
    pub reset_micros: u64,
    /// Microseconds until the charge would fit: 0 when it does, `None` when it never will. For a slot
    /// nobody can know; a second is said.
    pub retry_micros: Option<u64>,
    /// The length the capacity is spread over, in whole seconds, at least 1: a quota's current
    /// window, or the time an exhausted burst takes to come back. 0 for slots.
    pub window_seconds: u64,
}

/// The readings of one decision, in the order of its limits.
pub type Readings = Vec<Reading>;

/// Numbers that no rule can be made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RuleError {
    /// A count, a time span, a burst or an allowance is zero.
    #[error("is 0; give at least 1")]
    Zero,
    /// Counting with these numbers would leave the exact range, below 2^53.
    #[error("is too large to count exactly; at most {most} is possible here")]
    TooLarge {
        /// The largest value that would do.
        most: u64,
    },
}
