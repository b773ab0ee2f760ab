//! Times as an operator writes and reads them.

use std::{str::FromStr, time::Duration};

use chrono::{DateTime, Datelike, NaiveDate, SecondsFormat, TimeDelta, Utc};

use crate::error::Failure;

/// RFC 3339 writes years with four digits.
const LAST_YEAR: i32 = 9999;

/// An instant, or a span from now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    At(DateTime<Utc>),
    Span(Duration),
}

impl When {
    /// The instant, where a span reaches into the future. `flag` is named where there is none.
    pub(crate) fn hence(self, now: DateTime<Utc>, flag: &str) -> Result<DateTime<Utc>, Failure> {
        self.resolve(flag, |span| now.checked_add_signed(span))
    }

    /// The instant, where a span reaches into the past. `flag` is named where there is none.
    pub(crate) fn ago(self, now: DateTime<Utc>, flag: &str) -> Result<DateTime<Utc>, Failure> {
        self.resolve(flag, |span| now.checked_sub_signed(span))
    }

    fn resolve(
        self,
        flag: &str,
        from_span: impl FnOnce(TimeDelta) -> Option<DateTime<Utc>>,
    ) -> Result<DateTime<Utc>, Failure> {
        let at = match self {
            Self::At(at) => Some(at),
            Self::Span(span) => TimeDelta::from_std(span).ok().and_then(from_span),
        };
        at.filter(|at| (0..=LAST_YEAR).contains(&at.year())).ok_or_else(|| {
            Failure::Usage(format!("{flag}: this is beyond the calendar; give a shorter span"))
        })
    }
}

impl FromStr for When {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(at) = DateTime::parse_from_rfc3339(text) {
            return Ok(Self::At(at.to_utc()));
        }
        if let Ok(date) = text.parse::<NaiveDate>() {
            return Ok(Self::At(date.and_time(chrono::NaiveTime::MIN).and_utc()));
        }
        humantime::parse_duration(text).map(Self::Span).map_err(|_| {
            "write a span such as 90d, 24h or 30m, or an instant such as 2027-01-01T00:00:00Z"
                .into()
        })
    }
}

/// Reads a span.
pub(crate) fn span(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|_| "write a span such as 24h, 30m or 0s".into())
}

/// An instant for people: to the second.
pub(crate) fn instant(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// An instant for people, where there may be none.
pub(crate) fn instant_or(at: Option<DateTime<Utc>>, none: &str) -> String {
    at.map_or_else(|| none.to_owned(), instant)
}

/// A span for people.
pub(crate) fn seconds(seconds: u64) -> String {
    humantime::format_duration(Duration::from_secs(seconds)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-03-01T12:00:00Z";

    #[track_caller]
    fn hence(text: &str) -> String {
        let when: When = text.parse().unwrap();
        instant(when.hence(NOW.parse().unwrap(), "--expires").unwrap())
    }

    #[test]
    fn spans_and_instants_are_understood() {
        assert_eq!(hence("90d"), "2026-05-30T12:00:00Z");
        assert_eq!(hence("24h"), "2026-03-02T12:00:00Z");
        assert_eq!(hence("30m"), "2026-03-01T12:30:00Z");
        assert_eq!(hence("2w"), "2026-03-15T12:00:00Z");
        assert_eq!(hence("2027-01-01T00:00:00Z"), "2027-01-01T00:00:00Z");
        assert_eq!(hence("2027-01-01T00:00:00+02:00"), "2026-12-31T22:00:00Z");
        assert_eq!(hence("2027-01-01"), "2027-01-01T00:00:00Z");
    }

    #[test]
    fn a_span_can_reach_back() {
        let day = When::Span(Duration::from_secs(86_400));
        let then = day.ago(NOW.parse().unwrap(), "--since").unwrap();
        assert_eq!(instant(then), "2026-02-28T12:00:00Z");
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for bad in ["", "90", "d", "-1d", "90 parsecs", "2027-13-01", "2027-01-01T00:00:00", "🕐"]
        {
            assert!(bad.parse::<When>().is_err(), "{bad}");
        }
    }

    #[test]
    fn what_leaves_the_calendar_is_refused() {
        for far in ["9000y", "500000000000y", "18446744073709551615s", "+012345-01-01"] {
            let when: When = far.parse().unwrap();
            assert!(when.hence(NOW.parse().unwrap(), "--expires").is_err(), "{far}");
        }
    }
}
