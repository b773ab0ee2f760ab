use std::collections::HashMap;

use chrono::{DateTime, Datelike, NaiveDate, Timelike, Weekday};
use chrono_tz::Tz;
use keygate::{
    clock::Timestamp,
    limit::{MAX_EXACT, Quota, Rule},
    period::{AnchorDay, Period},
};
use proptest::{collection::vec, prelude::*, sample::select};

use super::{Cost, Counter, any_cost, any_magnitude, fixed};

/// Whole and half hours, a date skipped, clocks moved by half an hour; none sets its clock back
/// across midnight, where the date that is shown no longer tells the window.
const ZONES: [Tz; 8] = [
    Tz::UTC,
    Tz::Europe__Paris,
    Tz::America__New_York,
    Tz::Asia__Kolkata,
    Tz::Asia__Kathmandu,
    Tz::Australia__Lord_Howe,
    Tz::Pacific__Chatham,
    Tz::Pacific__Apia,
];

/// What tells one calendar window of a plan's author from another: plain dates, by chrono alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Window {
    Hour(NaiveDate, u32, i32),
    Date(NaiveDate),
    Month(i32, u32),
}

#[derive(Clone, Copy, Debug)]
enum Unit {
    Hour,
    Day,
    Week(Weekday),
    Month(u8),
}

fn any_unit() -> impl Strategy<Value = Unit> {
    let weekdays = [Weekday::Mon, Weekday::Wed, Weekday::Sat, Weekday::Sun];
    prop_oneof![
        Just(Unit::Hour),
        Just(Unit::Day),
        select(weekdays.to_vec()).prop_map(Unit::Week),
        (1_u8..=31).prop_map(Unit::Month),
        Just(Unit::Month(31)),
    ]
}

impl Unit {
    fn period(self, zone: Tz) -> Period {
        let period = match self {
            Self::Hour => Period::hour(),
            Self::Day => Period::day(),
            Self::Week(start) => Period::week(start),
            Self::Month(anchor) => Period::month(AnchorDay::new(anchor).unwrap()),
        };
        period.in_zone(zone)
    }

    fn window(self, zone: Tz, micros: u64) -> Window {
        let local = Timestamp::from_micros(micros).to_datetime().with_timezone(&zone);
        let date = local.date_naive();
        match self {
            Self::Hour => {
                let offset = (local.naive_local() - local.naive_utc()).num_seconds();
                Window::Hour(date, local.hour(), offset.try_into().unwrap())
            }
            Self::Day => Window::Date(date),
            Self::Week(start) => {
                let days = date.weekday().days_since(start);
                Window::Date(date - chrono::Days::new(days.into()))
            }
            Self::Month(anchor) => {
                let begun = date.day() >= u32::from(anchor).min(last_day(date));
                let months = date.year() * 12 + date.month0().cast_signed() - i32::from(!begun);
                Window::Month(months.div_euclid(12), months.rem_euclid(12).cast_unsigned())
            }
        }
    }
}

fn last_day(date: NaiveDate) -> u32 {
    let next = if date.month() == 12 {
        NaiveDate::from_ymd_opt(date.year() + 1, 1, 1)
    } else {
        NaiveDate::from_ymd_opt(date.year(), date.month() + 1, 1)
    };
    next.unwrap().pred_opt().unwrap().day()
}

/// From 2009 to 2037, when all of the zones still have rules of their own.
fn any_start() -> impl Strategy<Value = u64> {
    1_230_768_000_000_000_u64..2_114_380_800_000_000
}

/// Up to 70 days, every magnitude as likely.
fn any_span() -> impl Strategy<Value = u64> {
    prop_oneof![any_magnitude(20), any_magnitude(42), Just(3_600_000_000), Just(86_400_000_000)]
}

fn micros(date: &str) -> u64 {
    Timestamp::from(date.parse::<DateTime<chrono::Utc>>().unwrap()).micros()
}

/// Charges a plain counter of calendar windows alongside.
fn agrees_with_a_calendar(unit: Unit, zone: Tz, amount: u64, start: u64, steps: &[(u64, Cost)]) {
    let quota = Quota::new(amount, unit.period(zone)).unwrap();
    let mut counter = Counter::new(Rule::Quota(quota));
    let mut admitted: HashMap<Window, u64> = HashMap::new();
    let mut now = start;
    for (span, cost) in steps {
        now += span;
        let cost = cost.of(amount);
        let window = unit.window(zone, now);
        let used = admitted.entry(window).or_default();
        let fits = cost <= amount - *used;
        let reading = counter.charge(now, cost);
        assert_eq!(reading.within, fits, "{window:?}, {used} used, cost {cost}");
        if fits {
            *used += cost;
        }
        assert!(*used <= amount);
        assert_eq!(reading.remaining, amount - *used, "{window:?}");
        assert_eq!(reading.retry_micros.is_none(), cost > amount);
        counter.tells_the_truth(now, cost, &reading);
        for wait in [reading.reset_micros, reading.retry_micros.unwrap_or(0)] {
            if wait > 0 {
                assert_eq!(unit.window(zone, now + wait - 1), window, "the last instant");
                assert_ne!(unit.window(zone, now + wait), window, "the first of the next");
            }
        }
    }
}

/// The days around which a calendar is easily wrong: clocks that change, short months, leap days.
const EDGES: [&str; 8] = [
    "2024-02-28T20:00:00Z",
    "2023-02-27T20:00:00Z",
    "2026-03-28T20:00:00Z",
    "2026-10-24T20:00:00Z",
    "2026-03-07T20:00:00Z",
    "2026-10-31T20:00:00Z",
    "2026-04-04T08:00:00Z",
    "2011-12-28T20:00:00Z",
];

proptest! {
    #![proptest_config(fixed(250))]

    #[test]
    fn any_quota_decides_as_a_plain_calendar_counter(
        unit in any_unit(),
        zone in select(&ZONES[..]),
        amount in prop_oneof![1_u64..30, Just(MAX_EXACT), any_magnitude(53).prop_map(|n| n.max(1))],
        start in any_start(),
        steps in vec((any_span(), any_cost()), 1..40),
    ) {
        agrees_with_a_calendar(unit, zone, amount, start, &steps);
    }

    #[test]
    fn around_a_change_of_the_clocks_windows_are_counted_apart(
        unit in prop_oneof![Just(Unit::Hour), Just(Unit::Day), Just(Unit::Month(31)), Just(Unit::Month(29))],
        zone in select(&ZONES[..]),
        edge in select(&EDGES[..]),
        steps in vec((any_magnitude(33), any_cost()), 1..60),
    ) {
        agrees_with_a_calendar(unit, zone, 5, micros(edge), &steps);
    }

    #[test]
    fn a_clock_that_steps_back_grants_no_second_allowance(
        unit in any_unit(),
        zone in select(&ZONES[..]),
        amount in 1_u64..30,
        start in any_start(),
        steps in vec((any_span(), any::<bool>(), any_cost()), 1..60),
    ) {
        let quota = Quota::new(amount, unit.period(zone)).unwrap();
        let mut counter = Counter::new(Rule::Quota(quota));
        let mut admitted: HashMap<Window, u64> = HashMap::new();
        let (mut now, mut latest_charge) = (start, 0);
        for (span, back, cost) in steps {
            now = if back { now - span } else { now + span };
            let cost = cost.of(amount);
            let reading = counter.charge(now, cost);
            if reading.within && cost > 0 {
                latest_charge = now.max(latest_charge);
                let used = admitted.entry(unit.window(zone, latest_charge)).or_default();
                *used += cost;
                prop_assert!(*used <= amount, "{used} of {amount}");
            }
            counter.tells_the_truth(now, cost, &reading);
        }
    }

    #[test]
    fn any_state_at_any_time_is_taken_without_panic(
        unit in any_unit(),
        zone in select(&ZONES[..]),
        amount in 1_u64..=MAX_EXACT,
        (at, used, now, cost) in any::<(u64, u64, u64, u64)>(),
    ) {
        let quota = Quota::new(amount, unit.period(zone)).unwrap();
        let mut counter = Counter::new(Rule::Quota(quota));
        counter.state = keygate::limit::State { at: Timestamp::from_micros(at), used, part: 0 };
        let reading = counter.charge(now, cost);
        prop_assert!(reading.remaining <= amount);
        prop_assert_eq!(reading.retry_micros.is_none(), cost > amount);
    }
}
