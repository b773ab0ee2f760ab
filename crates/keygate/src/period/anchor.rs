//! The day of the month that a month starts on.

use std::fmt;

use chrono::{Datelike, Months, NaiveDate};
use thiserror::Error;

/// The day of the month on which a month starts: 1 to 31.
///
/// In a month that is shorter it means that month's last day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AnchorDay(u8);

/// A number that is no day of any month.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a month starts on a day from 1 to 31, not {given}")]
pub struct AnchorDayOutOfRange {
    given: u8,
}

impl AnchorDay {
    /// The first of the month.
    pub const FIRST: Self = Self(1);

    /// Day `day` of the month.
    ///
    /// # Errors
    /// When `day` is not 1 to 31.
    pub const fn new(day: u8) -> Result<Self, AnchorDayOutOfRange> {
        match day {
            1..=31 => Ok(Self(day)),
            given => Err(AnchorDayOutOfRange { given }),
        }
    }

    /// The number of the day.
    #[must_use]
    pub const fn day(self) -> u8 {
        self.0
    }

    /// The latest anchor date that is not after `date`.
    pub(super) fn on_or_before(self, date: NaiveDate) -> NaiveDate {
        let this_month = self.in_month_of(date);
        if this_month <= date {
            return this_month;
        }
        let last_month = date.checked_sub_months(Months::new(1));
        last_month.map_or(date, |month| self.in_month_of(month))
    }

    /// The anchor date in the month after `date`'s, if the calendar goes that far.
    pub(super) fn in_month_after(self, date: NaiveDate) -> Option<NaiveDate> {
        let next_month = date.checked_add_months(Months::new(1))?;
        Some(self.in_month_of(next_month))
    }

    fn in_month_of(self, date: NaiveDate) -> NaiveDate {
        let day = self.0.min(date.num_days_in_month());
        date.with_day(day.into()).unwrap_or(date)
    }
}

impl TryFrom<u8> for AnchorDay {
    type Error = AnchorDayOutOfRange;

    fn try_from(day: u8) -> Result<Self, Self::Error> {
        Self::new(day)
    }
}

impl fmt::Display for AnchorDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
