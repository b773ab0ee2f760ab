//! Windows against what chrono says the local clock shows, by other arithmetic than the room's.

use chrono::{Datelike, Duration, Timelike};

use super::*;

/// Numbers the periods that local dates belong to.
fn number(unit: Unit, date: NaiveDateTime) -> i32 {
    let (year, month) = (date.year(), date.month());
    match unit {
        // Day 1 of the common era was a Monday.
        Unit::Week { start } => {
            let monday = i32::try_from(start.num_days_from_monday()).unwrap();
            (date.num_days_from_ce() - 1 - monday).div_euclid(7)
        }
        Unit::Month { anchor } => {
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let length = match month {
                2 if leap => 29,
                2 => 28,
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            let started = date.day() >= length.min(u32::from(anchor.day()));
            year * 12 + i32::try_from(month).unwrap() - i32::from(!started)
        }
        _ => date.num_days_from_ce(),
    }
}

fn shifted(at: Timestamp, by: Duration) -> Timestamp {
    (at.to_datetime() + by).into()
}

/// Checks that `window` holds one number and is as long as it can be.
#[track_caller]
fn check_dates(period: &Period, window: Window) {
    let Period { unit, zone, .. } = *period;
    let number_at = |at| number(unit, local(zone, at));
    let expected = number_at(window.start);
    assert!(number_at(window.end) > expected, "{period}: ends early");

    // Seven minutes meet every transition at another phase, down to one that lasts a minute.
    let mut back = Duration::microseconds(1);
    while back < Duration::hours(30) && shifted(window.start, -back).micros() > 0 {
        let before = number_at(shifted(window.start, -back));
        assert!(before < expected, "{period}: starts late by {back}");
        back += Duration::minutes(7);
    }
    let step = (window.end.micros() - window.start.micros()) / 200;
    for at in (window.start.micros()..window.end.micros()).step_by(usize::try_from(step).unwrap()) {
        let inside = number_at(micros(at));
        // The one zone of the list whose clock is set back across midnight.
        if zone == Tz::America__St_Johns {
            assert!(inside <= expected, "{period}: ends late");
        } else {
            assert_eq!(inside, expected, "{period}: at {at}");
        }
    }
}

/// Checks that in `window` the hour and the offset stay, and that both of its ends are needed.
#[track_caller]
fn check_hour(period: &Period, window: Window) {
    let zone = period.zone;
    let shown = |at: Timestamp| {
        let second = i64::try_from(at.seconds()).unwrap();
        let local = local(zone, at);
        (local.date(), local.hour(), offset(zone, second))
    };
    let expected = shown(window.start);
    for at in (window.start.micros()..window.end.micros()).step_by(30_000_000) {
        assert_eq!(shown(micros(at)), expected, "{period}");
    }
    assert_eq!(shown(micros(window.end.micros() - 1)), expected, "{period}: ends late");
    assert_ne!(shown(window.end), expected, "{period}: ends early");
    if let Some(before) = window.start.micros().checked_sub(1) {
        assert_ne!(shown(micros(before)), expected, "{period}: starts late");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn windows_hold_what_the_local_clock_shows((period, at) in any_case()) {
        let window = computed(&period, at);
        if period.unit == Unit::Hour {
            check_hour(&period, window);
        } else {
            check_dates(&period, window);
        }
    }
}

#[test]
fn windows_hold_what_the_local_clock_shows_around_every_moved_clock() {
    for (zone, moves) in MOVES.iter() {
        let day = Period::day().in_zone(*zone);
        let hour = Period::hour().in_zone(*zone);
        for moved in moves {
            let moved = u64::try_from(*moved).unwrap() * 1_000_000;
            for at in [moved - 1, moved] {
                check_dates(&day, computed(&day, micros(at)));
                check_hour(&hour, computed(&hour, micros(at)));
            }
        }
    }
}
