//! Zones and weekdays by their names.

use chrono::Weekday;
use chrono_tz::Tz;
use thiserror::Error;

/// A name that the IANA time zone database does not hold.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("unknown time zone {given:?}: use an IANA name such as \"Europe/Paris\"")]
pub struct UnknownZone {
    given: String,
}

/// A name that is no day of the week.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("unknown weekday {given:?}: use an English name such as \"monday\" or \"mon\"")]
pub struct UnknownWeekday {
    given: String,
}

/// The time zone called `name` in the IANA database, upper and lower case as there.
///
/// # Errors
/// When there is no such zone.
///
/// ```
/// use keygate::period::parse_zone;
///
/// assert!(parse_zone("Europe/Paris").is_ok());
/// let error = parse_zone("Paris").unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     r#"unknown time zone "Paris": use an IANA name such as "Europe/Paris""#
/// );
/// ```
pub fn parse_zone(name: &str) -> Result<Tz, UnknownZone> {
    name.parse().map_err(|_| UnknownZone { given: name.into() })
}

/// The weekday called `name` in English: `monday` or `mon`, in upper or lower case.
///
/// # Errors
/// When there is no such weekday.
///
/// ```
/// use chrono::Weekday;
/// use keygate::period::parse_weekday;
///
/// assert_eq!(parse_weekday("Sun"), Ok(Weekday::Sun));
/// assert!(parse_weekday("dimanche").is_err());
/// ```
pub fn parse_weekday(name: &str) -> Result<Weekday, UnknownWeekday> {
    name.parse().map_err(|_| UnknownWeekday { given: name.into() })
}

/// The full English name, which chrono writes only as part of a date.
pub(super) const fn weekday(day: Weekday) -> &'static str {
    match day {
        Weekday::Mon => "Monday",
        Weekday::Tue => "Tuesday",
        Weekday::Wed => "Wednesday",
        Weekday::Thu => "Thursday",
        Weekday::Fri => "Friday",
        Weekday::Sat => "Saturday",
        Weekday::Sun => "Sunday",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weekdays_are_read_long_and_short_in_any_case() {
        let mut day = Weekday::Mon;
        for _ in 0..7 {
            let long = weekday(day);
            let short = day.to_string();
            for name in [long, &short, &long.to_lowercase(), &short.to_uppercase()] {
                assert_eq!(parse_weekday(name), Ok(day));
            }
            day = day.succ();
        }
    }

    #[test]
    fn a_wrong_weekday_is_named_with_an_example() {
        for wrong in ["", "m", "mond", "monday ", "lundi", "1", "日曜日"] {
            let error = parse_weekday(wrong).unwrap_err().to_string();
            assert!(error.contains(&format!("{wrong:?}")), "{error}");
            assert!(error.contains("\"monday\""), "{error}");
        }
    }

    #[test]
    fn a_wrong_zone_is_named_with_an_example() {
        for wrong in ["", "Paris", "europe/paris", "+02:00", "Europe/Paris\n"] {
            let error = parse_zone(wrong).unwrap_err().to_string();
            assert!(error.contains(&format!("{wrong:?}")), "{error}");
            assert!(error.contains("\"Europe/Paris\""), "{error}");
        }
    }
}
