//! Windows worked out by hand.

use super::*;

/// Checks the window of `period` at each of `inside`; offsets in the texts are the local ones.
#[track_caller]
fn check(period: &Period, inside: &[&str], start: &str, end: &str) {
    let expected = Window { start: instant(start), end: instant(end) };
    let last = micros(expected.end.micros() - 1);
    for at in inside.iter().map(|at| instant(at)).chain([expected.start, last]) {
        let found = computed(period, at);
        assert_eq!(
            (found.start.to_datetime(), found.end.to_datetime()),
            (expected.start.to_datetime(), expected.end.to_datetime()),
            "{period} at {}",
            at.to_datetime(),
        );
    }
}

/// Checks a month in UTC: from `first` to `next`, when asked on `date`.
#[track_caller]
fn check_month(day: u8, date: &str, first: &str, next: &str) {
    let midnight = |date: &str| format!("{date}T00:00:00Z");
    let period = Period::month(anchor(day));
    check(&period, &[&format!("{date}T12:34:56.789Z")], &midnight(first), &midnight(next));
}

fn hours(period: &Period, at: &str) -> u64 {
    computed(period, instant(at)).seconds() / 3600
}

#[test]
fn a_day_runs_from_local_midnight_to_the_next() {
    check(
        &Period::day(),
        &["2024-02-29T12:00:00Z"],
        "2024-02-29T00:00:00Z",
        "2024-03-01T00:00:00Z",
    );
    check(
        &Period::day().in_zone(Tz::Asia__Kathmandu),
        &["2024-02-28T18:20:00Z"],
        "2024-02-29T00:00:00+05:45",
        "2024-03-01T00:00:00+05:45",
    );
}

#[test]
fn a_day_on_which_the_clock_is_moved_is_shorter_or_longer() {
    let paris = Period::day().in_zone(Tz::Europe__Paris);
    assert_eq!(hours(&paris, "2024-03-31T12:00:00Z"), 23);
    assert_eq!(hours(&paris, "2024-10-27T12:00:00Z"), 25);
    let new_york = Period::day().in_zone(Tz::America__New_York);
    assert_eq!(hours(&new_york, "2024-03-10T12:00:00Z"), 23);
    assert_eq!(hours(&new_york, "2024-11-03T12:00:00Z"), 25);
    check(
        &Period::day().in_zone(Tz::Australia__Lord_Howe),
        &["2024-04-07T01:45:00+11:00", "2024-04-07T01:45:00+10:30"],
        "2024-04-07T00:00:00+11:00",
        "2024-04-08T00:00:00+10:30",
    );
}

#[test]
fn a_day_without_midnight_starts_where_the_clock_lands() {
    check(
        &Period::day().in_zone(Tz::Africa__Cairo),
        &[],
        "2024-04-26T01:00:00+03:00",
        "2024-04-27T00:00:00+03:00",
    );
    check(
        &Period::day().in_zone(Tz::Asia__Beirut),
        &[],
        "2024-03-31T01:00:00+03:00",
        "2024-04-01T00:00:00+03:00",
    );
    check(
        &Period::day().in_zone(Tz::Asia__Kathmandu),
        &[],
        "1986-01-01T00:15:00+05:45",
        "1986-01-02T00:00:00+05:45",
    );
}

#[test]
fn a_day_with_two_midnights_starts_at_the_earlier() {
    check(
        &Period::day().in_zone(Tz::America__Havana),
        &["2024-11-03T00:00:00-05:00"],
        "2024-11-03T00:00:00-04:00",
        "2024-11-04T00:00:00-05:00",
    );
}

#[test]
fn a_clock_set_back_at_midnight_repeats_the_last_hour_of_the_day() {
    check(
        &Period::day().in_zone(Tz::Africa__Cairo),
        &["2024-10-31T23:30:00+03:00", "2024-10-31T23:30:00+02:00"],
        "2024-10-31T00:00:00+03:00",
        "2024-11-01T00:00:00+02:00",
    );
}

#[test]
fn a_clock_set_back_across_midnight_does_not_bring_yesterday_back() {
    let day = Period::day().in_zone(Tz::America__St_Johns);
    check(
        &day,
        &["2006-10-28T23:59:59-02:30"],
        "2006-10-28T00:00:00-02:30",
        "2006-10-29T00:00:00-02:30",
    );
    check(
        &day,
        &["2006-10-28T23:01:00-03:30", "2006-10-29T00:00:00-03:30"],
        "2006-10-29T00:00:00-02:30",
        "2006-10-30T00:00:00-03:30",
    );
    check(
        &Period::week(Weekday::Sun).in_zone(Tz::America__St_Johns),
        &["2006-10-28T23:30:00-03:30"],
        "2006-10-29T00:00:00-02:30",
        "2006-11-05T00:00:00-03:30",
    );
    check(
        &Period::month(anchor(29)).in_zone(Tz::America__St_Johns),
        &["2006-10-28T23:30:00-03:30"],
        "2006-10-29T00:00:00-02:30",
        "2006-11-29T00:00:00-03:30",
    );
}

#[test]
fn a_date_that_a_zone_skips_has_no_window() {
    let day = Period::day().in_zone(Tz::Pacific__Apia);
    check(&day, &[], "2011-12-29T00:00:00-10:00", "2011-12-31T00:00:00+14:00");
    check(&day, &[], "2011-12-31T00:00:00+14:00", "2012-01-01T00:00:00+14:00");
    check(
        &Period::week(Weekday::Fri).in_zone(Tz::Pacific__Apia),
        &[],
        "2011-12-31T00:00:00+14:00",
        "2012-01-06T00:00:00+14:00",
    );
}

#[test]
fn an_hour_follows_the_local_clock() {
    check(
        &Period::hour().in_zone(Tz::Asia__Kathmandu),
        &["2024-01-01T04:30:00Z"],
        "2024-01-01T10:00:00+05:45",
        "2024-01-01T11:00:00+05:45",
    );
}

#[test]
fn an_hour_shown_twice_is_two_windows() {
    let hour = Period::hour().in_zone(Tz::Europe__Paris);
    check(&hour, &[], "2024-10-27T02:00:00+02:00", "2024-10-27T03:00:00+02:00");
    check(&hour, &[], "2024-10-27T02:00:00+01:00", "2024-10-27T03:00:00+01:00");
}

#[test]
fn an_hour_is_cut_where_the_clock_is_moved() {
    let lord_howe = Period::hour().in_zone(Tz::Australia__Lord_Howe);
    check(&lord_howe, &[], "2024-04-07T01:30:00+10:30", "2024-04-07T02:00:00+10:30");
    check(&lord_howe, &[], "2024-10-06T02:30:00+11:00", "2024-10-06T03:00:00+11:00");
    let st_johns = Period::hour().in_zone(Tz::America__St_Johns);
    check(&st_johns, &[], "2006-10-29T00:00:00-02:30", "2006-10-29T00:01:00-02:30");
    check(&st_johns, &[], "2006-10-28T23:01:00-03:30", "2006-10-29T00:00:00-03:30");
}

#[test]
fn a_week_starts_on_its_weekday() {
    check(
        &Period::week(Weekday::Mon).in_zone(Tz::Europe__Paris),
        &["2024-03-31T23:59:59+02:00"],
        "2024-03-25T00:00:00+01:00",
        "2024-04-01T00:00:00+02:00",
    );
    check(
        &Period::week(Weekday::Sun).in_zone(Tz::America__New_York),
        &["2024-11-03T12:00:00-05:00"],
        "2024-11-03T00:00:00-04:00",
        "2024-11-10T00:00:00-05:00",
    );
    check(
        &Period::week(Weekday::Fri).in_zone(Tz::Africa__Cairo),
        &[],
        "2024-04-26T01:00:00+03:00",
        "2024-05-03T00:00:00+03:00",
    );
}

#[test]
fn a_month_starts_on_its_anchor_day() {
    check_month(1, "2024-01-31", "2024-01-01", "2024-02-01");
    check_month(1, "2024-12-01", "2024-12-01", "2025-01-01");
    check_month(15, "2024-01-14", "2023-12-15", "2024-01-15");
    check_month(15, "2024-01-15", "2024-01-15", "2024-02-15");
    check_month(28, "2023-02-28", "2023-02-28", "2023-03-28");
}

#[test]
fn a_month_too_short_for_its_anchor_starts_on_its_last_day() {
    check_month(29, "2023-02-28", "2023-02-28", "2023-03-29");
    check_month(29, "2024-02-28", "2024-01-29", "2024-02-29");
    check_month(30, "2024-03-29", "2024-02-29", "2024-03-30");
    check_month(31, "2024-01-31", "2024-01-31", "2024-02-29");
    check_month(31, "2024-03-01", "2024-02-29", "2024-03-31");
    check_month(31, "2024-04-30", "2024-04-30", "2024-05-31");
    check_month(31, "2024-05-30", "2024-04-30", "2024-05-31");
    check_month(31, "2024-12-31", "2024-12-31", "2025-01-31");
}

#[test]
fn a_century_is_a_leap_year_only_every_fourth_time() {
    check_month(31, "2000-02-29", "2000-02-29", "2000-03-31");
    check_month(31, "2100-02-28", "2100-02-28", "2100-03-31");
    check_month(29, "2100-03-01", "2100-02-28", "2100-03-29");
    check(&Period::day(), &[], "2100-02-28T00:00:00Z", "2100-03-01T00:00:00Z");
}

#[test]
fn an_anchor_is_a_day_from_1_to_31() {
    assert_eq!(AnchorDay::new(1), Ok(AnchorDay::FIRST));
    assert_eq!(anchor(31).day(), 31);
    for wrong in [0, 32, 255] {
        let error = AnchorDay::new(wrong).unwrap_err().to_string();
        assert_eq!(error, format!("a month starts on a day from 1 to 31, not {wrong}"));
    }
}

#[test]
fn a_period_says_what_it_is() {
    let month = Period::month(anchor(15)).in_zone(Tz::Europe__Paris);
    assert_eq!(month.to_string(), "month from day 15 in Europe/Paris");
    assert_eq!(Period::week(Weekday::Mon).to_string(), "week from Monday in UTC");
    assert_eq!(Period::hour().to_string(), "hour in UTC");
    assert_eq!(
        format!("{:?}", Period::day().in_zone(Tz::Asia__Kathmandu)),
        "Period(day in Asia/Kathmandu)"
    );
}

#[test]
fn a_window_counts_its_seconds_up() {
    let seconds = |start, end| {
        let (start, end) = (micros(start), micros(end));
        Window { start, end }.seconds()
    };
    assert_eq!(seconds(5, 5), 1);
    assert_eq!(seconds(0, 1_000_000), 1);
    assert_eq!(seconds(0, 1_000_001), 2);
    assert_eq!(seconds(0, u64::MAX), 18_446_744_073_710);
}
