//! Calendar windows in a time zone: from an instant to the hour, day, week or month it lies in.
//!
//! The windows of one [`Period`] partition time: every instant lies in exactly one of them, and
//! each starts where the one before ends. Local clocks do not make that easy, so two rules decide:
//!
//! - A day starts at the first instant at which the local clock shows its date **or a later one**,
//!   and never starts again. So a day whose midnight is skipped starts where the clock lands, a
//!   midnight shown twice counts once, a clock set back across midnight does not bring yesterday
//!   back, and a date that a zone skips altogether has no window. Weeks and months start where
//!   their first day does.
//! - An hour ends when the local clock shows the next hour **or is moved**. So an hour shown twice
//!   is two windows, and a move in the middle of an hour cuts a shorter one.
//!
//! Everything here is pure: no clock, no I/O, only integers and calendar values. The zone rules
//! are those compiled into `chrono-tz`; they reach to the end of 2099, after which a zone keeps
//! its last offset. Time starts at the Unix epoch, which cuts the first window of every period
//! short, and the last window on the calendar lasts until the end of time.

mod anchor;
mod cache;
mod calendar;
mod names;
#[cfg(test)]
mod tests;
mod window;

use std::{
    fmt,
    hash::{Hash, Hasher},
};

use chrono::Weekday;
use chrono_tz::Tz;

use crate::clock::Timestamp;

use self::cache::WindowCache;
pub use self::{
    anchor::{AnchorDay, AnchorDayOutOfRange},
    names::{UnknownWeekday, UnknownZone, parse_weekday, parse_zone},
    window::Window,
};

/// What a period is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Unit {
    /// An hour of the local clock.
    Hour,
    /// A local date.
    Day,
    /// Seven local dates.
    Week {
        /// The first of them.
        start: Weekday,
    },
    /// From the anchor day of one month to that of the next.
    Month {
        /// The first day, or the last day of a month that is shorter.
        anchor: AnchorDay,
    },
}

/// A calendar period that repeats in a time zone.
///
/// ```
/// use chrono::{DateTime, Utc};
/// use keygate::period::{AnchorDay, Period, parse_zone};
///
/// let billing = Period::month(AnchorDay::new(31)?).in_zone(parse_zone("Europe/Paris")?);
/// let at: DateTime<Utc> = "2024-03-30T12:00:00Z".parse()?;
///
/// let window = billing.window(at.into());
/// assert_eq!(window.start().to_datetime().to_string(), "2024-02-28 23:00:00 UTC");
/// assert_eq!(window.end().to_datetime().to_string(), "2024-03-30 23:00:00 UTC");
/// assert_eq!(billing.to_string(), "month from day 31 in Europe/Paris");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Period {
    unit: Unit,
    zone: Tz,
    last: WindowCache,
}

impl Period {
    /// Hours in UTC.
    #[must_use]
    pub const fn hour() -> Self {
        Self::new(Unit::Hour, Tz::UTC)
    }

    /// Days in UTC.
    #[must_use]
    pub const fn day() -> Self {
        Self::new(Unit::Day, Tz::UTC)
    }

    /// Weeks in UTC that start on `start`.
    #[must_use]
    pub const fn week(start: Weekday) -> Self {
        Self::new(Unit::Week { start }, Tz::UTC)
    }

    /// Months in UTC that start on `anchor`; [`AnchorDay::FIRST`] makes them calendar months.
    #[must_use]
    pub const fn month(anchor: AnchorDay) -> Self {
        Self::new(Unit::Month { anchor }, Tz::UTC)
    }

    /// The same period by the clocks of `zone`.
    #[must_use]
    pub const fn in_zone(self, zone: Tz) -> Self {
        Self::new(self.unit, zone)
    }

    /// The window that `at` lies in.
    ///
    /// It contains `at`, unless `at` is the last instant a [`Timestamp`] can hold: no window can
    /// end after that one.
    #[must_use]
    pub fn window(&self, at: Timestamp) -> Window {
        self.last
            .find(at)
            .unwrap_or_else(|| self.last.keep(calendar::window(self.unit, self.zone, at)))
    }

    /// What the period is made of.
    #[must_use]
    pub const fn unit(&self) -> Unit {
        self.unit
    }

    /// The zone whose clocks count.
    #[must_use]
    pub const fn zone(&self) -> Tz {
        self.zone
    }

    const fn new(unit: Unit, zone: Tz) -> Self {
        let last = WindowCache::empty();
        Self { unit, zone, last }
    }
}

impl Clone for Period {
    fn clone(&self) -> Self {
        Self::new(self.unit, self.zone)
    }
}

impl PartialEq for Period {
    fn eq(&self, other: &Self) -> bool {
        self.unit == other.unit && self.zone == other.zone
    }
}

impl Eq for Period {}

impl Hash for Period {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.unit.hash(state);
        self.zone.hash(state);
    }
}

impl fmt::Debug for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Period({self})")
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {}", self.unit, self.zone)
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hour => f.write_str("hour"),
            Self::Day => f.write_str("day"),
            Self::Week { start } => write!(f, "week from {}", names::weekday(*start)),
            Self::Month { anchor } => write!(f, "month from day {anchor}"),
        }
    }
}
