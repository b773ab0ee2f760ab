//! What the tests share: zones with odd clocks, the instants around their moves, and strategies.

mod examples;
mod last_window;
mod laws;
mod oracle;

use std::sync::LazyLock;

use chrono::{DateTime, NaiveDateTime, Offset, TimeZone, Utc, Weekday};
use chrono_tz::Tz;
use proptest::prelude::*;

use super::{AnchorDay, Period, Unit, Window, calendar};
use crate::clock::Timestamp;

const ZONES: [Tz; 14] = [
    Tz::UTC,
    Tz::Europe__Paris,
    Tz::America__New_York,
    Tz::America__St_Johns,
    Tz::America__Havana,
    Tz::America__Sao_Paulo,
    Tz::Africa__Cairo,
    Tz::Africa__Casablanca,
    Tz::Africa__Monrovia,
    Tz::Asia__Beirut,
    Tz::Asia__Kathmandu,
    Tz::Australia__Lord_Howe,
    Tz::Pacific__Apia,
    Tz::Pacific__Kwajalein,
];

/// 2099-12-31, where the compiled zone rules end.
const LAST_SECOND: i64 = 4_102_358_400;

/// The seconds from which a zone has a new offset, found by stepping through the days.
static MOVES: LazyLock<Vec<(Tz, Vec<i64>)>> =
    LazyLock::new(|| ZONES.iter().map(|zone| (*zone, moves(*zone))).collect());

fn moves(zone: Tz) -> Vec<i64> {
    let mut moves = Vec::new();
    for day in (0..LAST_SECOND).step_by(86_400) {
        let (mut before, mut after) = (day, day + 86_400);
        if offset(zone, before) == offset(zone, after) {
            continue;
        }
        while after - before > 1 {
            let middle = before.midpoint(after);
            if offset(zone, middle) == offset(zone, before) {
                before = middle;
            } else {
                after = middle;
            }
        }
        moves.push(after);
    }
    moves
}

fn offset(zone: Tz, second: i64) -> i32 {
    let at = DateTime::from_timestamp(second, 0).unwrap();
    let offset = zone.offset_from_utc_datetime(&at.naive_utc());
    offset.fix().local_minus_utc()
}

fn local(zone: Tz, at: Timestamp) -> NaiveDateTime {
    at.to_datetime().with_timezone(&zone).naive_local()
}

fn instant(text: &str) -> Timestamp {
    let at: DateTime<Utc> = text.parse().unwrap();
    at.into()
}

fn micros(micros: u64) -> Timestamp {
    Timestamp::from_micros(micros)
}

fn computed(period: &Period, at: Timestamp) -> Window {
    calendar::window(period.unit, period.zone, at)
}

fn anchor(day: u8) -> AnchorDay {
    AnchorDay::new(day).unwrap()
}

fn any_unit() -> impl Strategy<Value = Unit> {
    prop_oneof![
        Just(Unit::Hour),
        Just(Unit::Day),
        (0_u8..7).prop_map(|day| Unit::Week { start: Weekday::try_from(day).unwrap() }),
        (1_u8..=31).prop_map(|day| Unit::Month { anchor: anchor(day) }),
    ]
}

/// A period and an instant: half of them anywhere, half within two days of a moved clock.
fn any_case() -> impl Strategy<Value = (Period, Timestamp)> {
    let anywhere = 0..LAST_SECOND * 1_000_000;
    let near = -172_800_000_000..172_800_000_000_i64;
    let zone = 0..ZONES.len();
    (any_unit(), zone, anywhere, near, any::<(bool, usize)>()).prop_map(
        |(unit, zone, anywhere, near, (moved, pick))| {
            let (zone, moves) = &MOVES[zone];
            let at = match moves.len() {
                1.. if moved => moves[pick % moves.len()] * 1_000_000 + near,
                _ => anywhere,
            };
            (Period::new(unit, *zone), micros(at.try_into().unwrap_or(0)))
        },
    )
}
