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
//! # Rate: a leaky bucket kept as one instant
//!
//! The rule "`count` per `per` with a burst of `burst`" is the Generic Cell Rate Algorithm (ITU-T
//! I.371, annex A; ATM Forum TM 4.1), kept exact by counting in fractions of a unit.
//!
//! | symbol | meaning |
//! |---|---|
//! | `num / den` | units that flow back per microsecond: `count / per`, reduced by their gcd |
//! | `unit` | what one unit weighs: `den` |
//! | `capacity` | `burst * den` |
//! | `tat` | the theoretical arrival time: when the bucket will be empty again, whole µs |
//! | `frac` | what lies beyond `tat`, `0 <= frac < num`, in `1/num` of a µs |
//! | `used` | the backlog at `now`: `max(0, tat - now) * num + frac` |
//!
//! After a charge `used'` is put back as `frac = used' mod num` and
//! `tat = now + (used' - frac) / num`: a division with its remainder, so nothing is ever rounded.
//! The wait until a refused charge fits is `ceil((used + cost*unit - capacity) / num)`: one
//! microsecond earlier it is still refused.
//!
//! Two numbers per limit are stored, and time itself refills the bucket. From `used <= capacity`
//! at every instant follows invariant I2: in any interval `d`, admitted `<= burst + rate * d`.
//!
//! A backlog longer than the rule allows (the burst was lowered, the clock stepped back) counts as
//! a full bucket, so a plan edit never locks a caller out for longer than the new burst takes to
//! drain.
//!
//! # Quota: an allowance per calendar window
//!
//! A quota stores how much was `used` and the instant of the `last` charge. What was used counts
//! iff the last charge does not lie before the window of now: a new window starts at zero without
//! anybody writing. When the clock steps back, the instant of the last charge stands in for now:
//! a window that was left cannot be spent a second time.
//!
//! Neither state names its plan. A key that moves to another plan, or a plan that is edited, keeps
//! what was used under the limit's name, even when the period differs.
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
//!     let readings = decide(&mut levels, 1);
//!     if readings[0].within {
//!         state = levels[0].state();
//!     }
//!     (readings[0].within, readings[0].remaining, readings[0].retry_micros, state.instant, state.amount)
//! };
//! //                  within  remaining  retry   tat  frac
//! assert_eq!(at(100), (true,  1, Some(0), 103, 1)); // used 10 = 3*3 + 1
//! assert_eq!(at(100), (true,  0, Some(0), 106, 2)); // used 20 = 6*3 + 2: full
//! assert_eq!(at(103), (false, 0, Some(1), 106, 2)); // used 11, and 11 + 10 > 20: one µs early
//! assert_eq!(at(104), (true,  0, Some(0), 110, 0)); // used 8, so 18 = 6*3 + 0
//! assert_eq!(at(110), (true,  1, Some(0), 113, 1)); // empty again: as at the start
//! # Ok::<(), keygate::limit::RuleError>(())
//! ```

mod decide;
mod level;
mod quota;
mod rate;

use smallvec::SmallVec;

pub use self::{decide::decide, level::Level, quota::Quota, rate::Rate};
use crate::clock::Timestamp;

/// The largest number any rule may lead to: doubles, and so Lua and JSON, are exact up to here.
pub const MAX_EXACT: u64 = 1 << 53;

/// What a limit counts by.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rule {
    /// A count per time, with a burst.
    Rate(Rate),
    /// An allowance per calendar period.
    Quota(Quota),
}

impl Rule {
    /// The most that can ever be charged at once, in units.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        match self {
            Self::Rate(rate) => rate.burst(),
            Self::Quota(quota) => quota.amount(),
        }
    }

    /// Projects a stored state onto the instant `now`.
    #[must_use]
    pub fn level(&self, state: State, now: Timestamp) -> Level {
        match self {
            Self::Rate(rate) => rate.level(state, now),
            Self::Quota(quota) => quota.level(state, now),
        }
    }

    /// Whether both rules keep the same kind of state, so that one may continue the other's.
    #[must_use]
    pub fn shares_state_with(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

/// What a store keeps for one limit of one subject. The default says that nothing was ever used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Rate: the theoretical arrival time. Quota: the last charge. Microseconds since the epoch.
    pub instant: u64,
    /// Rate: the fraction beyond `instant`, in `1/num` µs. Quota: units used.
    pub amount: u64,
}

/// What one limit says after a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Whether the charge fits this limit, whatever the others said.
    pub within: bool,
    /// Whole units left, after the charge if it was made.
    pub remaining: u64,
    /// Microseconds until more becomes available; 0 when nothing is used.
    pub reset_micros: u64,
    /// Microseconds until the charge would fit: 0 when it does, `None` when it never will.
    pub retry_micros: Option<u64>,
    /// The length the capacity is spread over, in whole seconds, at least 1: a quota's current
    /// window, or the time an exhausted burst takes to come back.
    pub window_seconds: u64,
}

/// The readings of one decision, in the order of its limits.
pub type Readings = SmallVec<[Reading; 3]>;

/// Numbers that no rule can be made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RuleError {
    /// A count, a time span, a burst or an allowance is zero.
    #[error("is 0; give at least 1")]
    Zero,
    /// Counting with these numbers would leave the exact range, 2^53.
    #[error("is too large to count exactly; at most {most} is possible here")]
    TooLarge {
        /// The largest value that would do.
        most: u64,
    },
}
