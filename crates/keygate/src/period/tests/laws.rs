//! The windows of a period partition time, from the first instant to the last.

use super::*;

/// Checks the partition around `at`, and at `inside` (a share of `u64::MAX`) of its window.
#[track_caller]
fn check(period: &Period, at: Timestamp, inside: u64) {
    let window = computed(period, at);
    let (start, end) = (window.start.micros(), window.end.micros());
    assert!(window.contains(at), "{period}: {window:?} without {at:?}");

    let length = u128::from(end - start);
    let share = (length * u128::from(inside)) >> 64;
    let within = start + u64::try_from(share).unwrap();
    for same in [start, within, end - 1] {
        assert_eq!(computed(period, micros(same)), window, "{period} at {same}");
    }
    if end < u64::MAX {
        assert_eq!(computed(period, window.end).start, window.end, "{period}");
    }
    if start > 0 {
        let before = computed(period, micros(start - 1));
        assert_eq!(before.end, window.start, "{period}");
    }
}

fn every_period() -> impl Iterator<Item = Period> {
    let weeks = (0..7).map(|day| Unit::Week { start: Weekday::try_from(day).unwrap() });
    let months = [1, 15, 29, 30, 31].map(|day| Unit::Month { anchor: anchor(day) });
    let units = [Unit::Hour, Unit::Day].into_iter().chain(weeks);
    units.chain(months).flat_map(|unit| ZONES.map(|zone| Period::new(unit, zone)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn windows_partition_time((period, at) in any_case(), inside: u64) {
        check(&period, at, inside);
    }

    #[test]
    fn windows_partition_all_that_a_timestamp_can_hold(
        unit in any_unit(),
        zone in 0..ZONES.len(),
        at in 0..u64::MAX,
        inside: u64,
    ) {
        check(&Period::new(unit, ZONES[zone]), micros(at), inside);
    }
}

#[test]
fn windows_partition_time_around_every_moved_clock() {
    for (zone, moves) in MOVES.iter() {
        for unit in [Unit::Hour, Unit::Day] {
            let period = Period::new(unit, *zone);
            for moved in moves {
                for near in [-86_400, -3_600, -60, 0, 60, 1_800, 3_600, 86_400] {
                    let at = u64::try_from(moved + near).unwrap() * 1_000_000;
                    check(&period, micros(at), 1 << 63);
                }
            }
        }
    }
}

#[test]
fn windows_partition_both_ends_of_time() {
    let calendar_end = Timestamp::from(DateTime::<Utc>::MAX_UTC).micros();
    for period in every_period() {
        for back in [0, 1, 3_600_000_000, 50_000_000_000, 200_000_000_000] {
            check(&period, micros(back), 1 << 63);
            check(&period, micros(calendar_end - back), 1 << 63);
            check(&period, micros(calendar_end + back), 1 << 63);
            check(&period, micros(u64::MAX - 1 - back), 1 << 63);
        }
        assert_eq!(computed(&period, micros(u64::MAX)), computed(&period, micros(u64::MAX - 1)),);
    }
}
