//! From an instant to its window, by way of local dates.

use std::ops::Range;

use chrono::{DateTime, Days, NaiveDate, NaiveDateTime, NaiveTime, Offset, TimeZone, Utc};
use chrono_tz::Tz;

use crate::clock::Timestamp;

use super::{Unit, window::Window};

const HOUR_SECONDS: i64 = 3_600;
const DAY_SECONDS: i64 = 86_400;
const END_OF_TIME: Timestamp = Timestamp::from_micros(u64::MAX);

/// The window of `unit`, by the clocks of `zone`, that `at` lies in.
pub(super) fn window(unit: Unit, zone: Tz, at: Timestamp) -> Window {
    let date = latest_date(zone, at);
    let (first, next) = match unit {
        Unit::Hour => return hour(zone, at),
        Unit::Day => (date, date.succ_opt()),
        Unit::Week { start } => {
            let first = date.week(start).checked_first_day().unwrap_or(date);
            (first, first.checked_add_days(Days::new(7)))
        }
        Unit::Month { anchor } => {
            let first = anchor.on_or_before(date);
            (first, anchor.in_month_after(first))
        }
    };
    Window {
        start: start_of(zone, first),
        end: next.map_or(END_OF_TIME, |next| start_of(zone, next)),
    }
}

/// The part of a local clock hour around `at` in which the clock runs unmoved.
fn hour(zone: Tz, at: Timestamp) -> Window {
    let second = at.seconds().cast_signed();
    let offset = offset_seconds(zone, second);
    let start = second - (second + offset).rem_euclid(HOUR_SECONDS);
    let unmoved = |second| offset_seconds(zone, second) == offset;
    Window {
        start: instant(first_second(start..second, unmoved)),
        end: instant(first_second(second..start + HOUR_SECONDS, |s| !unmoved(s))),
    }
}

/// The latest date the local clock has shown by `at`. It is not always the one it shows, because a
/// clock may be set back across midnight; no zone sets it back by more than a day.
fn latest_date(zone: Tz, at: Timestamp) -> NaiveDate {
    let shown = local(zone, at.to_datetime()).date();
    let next = shown.succ_opt();
    next.filter(|next| start_of(zone, *next) <= at).unwrap_or(shown)
}

/// The first instant at which the local clock shows `date` or a later one.
fn start_of(zone: Tz, date: NaiveDate) -> Timestamp {
    let midnight = date.and_time(NaiveTime::MIN);
    if let Some(shown) = zone.from_local_datetime(&midnight).earliest() {
        return shown.to_utc().into();
    }
    // A midnight that is never shown is passed once, in one leap, so bisecting is sound; offsets
    // are shorter than a day.
    let around = midnight.and_utc().timestamp();
    instant(first_second(around - DAY_SECONDS..around + DAY_SECONDS, |second| {
        local(zone, utc(second)) >= midnight
    }))
}

/// What the local clock shows, or the end of the calendar for anything beyond it.
fn local(zone: Tz, at: DateTime<Utc>) -> NaiveDateTime {
    let at = at.naive_utc();
    let offset = zone.offset_from_utc_datetime(&at).fix();
    at.checked_add_offset(offset).unwrap_or(NaiveDateTime::MAX)
}

fn offset_seconds(zone: Tz, second: i64) -> i64 {
    let at = utc(second).naive_utc();
    let offset = zone.offset_from_utc_datetime(&at).fix();
    offset.local_minus_utc().into()
}

fn utc(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(second, 0).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

fn instant(second: i64) -> Timestamp {
    let second = u64::try_from(second).unwrap_or(0);
    Timestamp::from_micros(second.saturating_mul(1_000_000))
}

/// The first second in `seconds` at which `holds`, or the end if there is none. Once it holds it
/// must hold until the end.
fn first_second(seconds: Range<i64>, holds: impl Fn(i64) -> bool) -> i64 {
    let Range { mut start, mut end } = seconds;
    while start < end {
        let middle = start + (end - start) / 2;
        if holds(middle) {
            end = middle;
        } else {
            start = middle + 1;
        }
    }
    start
}
