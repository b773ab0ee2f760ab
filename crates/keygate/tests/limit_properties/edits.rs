//! A plan is edited while its counters run.

use keygate::{
    limit::{Quota, Rate, Rule},
    period::Period,
};
use proptest::{collection::vec, prelude::*};

use super::{Counter, any_magnitude, fixed};

const SECOND: u64 = 1_000_000;
const START: u64 = 1_767_225_600_000_000;

fn rate(count: u64, burst: u64) -> Rule {
    Rule::Rate(Rate::new(count, SECOND, burst).unwrap())
}

fn quota(amount: u64) -> Rule {
    Rule::Quota(Quota::new(amount, Period::day()).unwrap())
}

proptest! {
    #![proptest_config(fixed(1_000))]

    /// What was used stays used to the last fraction of a unit, whatever bursts come and go.
    #[test]
    fn an_edit_of_the_burst_keeps_what_was_used(
        (count, per) in (1_u64..50, 1_u64..3_000_000),
        steps in vec((any_magnitude(22), 1_u64..30, 0_u64..40), 1..60),
    ) {
        let with_burst = |burst| Rate::new(count, per, burst).unwrap();
        let (num, den) = with_burst(1).pace();
        let mut counter = Counter::new(Rule::Rate(with_burst(1)));
        // What was used and has not flown back, and since when it does.
        let (mut backlog, mut last) = (0_u64, START);
        let mut now = START;
        for (span, burst, cost) in steps {
            now += span;
            let flown_back = (now - last) * num;
            counter.rule = Rule::Rate(with_burst(burst));
            let capacity = burst * den;
            let used = backlog.min(capacity).saturating_sub(flown_back);
            let fits = cost == 0 || used + cost * den <= capacity;
            let reading = counter.charge(now, cost);
            prop_assert_eq!(reading.within, fits);
            let mut left = capacity - used;
            if fits && cost > 0 {
                backlog = used + cost * den;
                last = now;
                left -= cost * den;
            }
            prop_assert_eq!(reading.remaining, left / den);
            counter.tells_the_truth(now, cost, &reading);
        }
    }

    #[test]
    fn an_edit_of_the_amount_keeps_what_was_used(
        steps in vec((any_magnitude(36), 1_u64..30, 0_u64..40), 1..60),
    ) {
        let mut counter = Counter::new(quota(1));
        let (mut now, mut used, mut day) = (START, 0, 0);
        for (span, amount, cost) in steps {
            now += span;
            let today = now / (86_400 * SECOND);
            if std::mem::replace(&mut day, today) != today {
                used = 0;
            }
            counter.rule = quota(amount);
            let fits = cost == 0 || used + cost <= amount;
            let reading = counter.charge(now, cost);
            prop_assert_eq!(reading.within, fits);
            if fits {
                used += cost;
            }
            prop_assert_eq!(reading.remaining, amount.saturating_sub(used));
            counter.tells_the_truth(now, cost, &reading);
        }
    }

    /// Numbers of one plan, read by another: never a panic, never more than the new capacity.
    #[test]
    fn any_edit_of_a_rate_leaves_a_bucket_in_bounds(
        steps in vec((any_magnitude(40), super::rates::any_rate(), super::any_cost()), 1..40),
    ) {
        let mut counter = Counter::new(rate(1, 1));
        let mut now = START;
        for (span, rate, cost) in steps {
            now += span;
            counter.rule = Rule::Rate(rate);
            let cost = cost.of(rate.burst());
            let reading = counter.charge(now, cost);
            prop_assert!(reading.remaining <= rate.burst());
            prop_assert_eq!(reading.retry_micros.is_none(), cost > rate.burst());
        }
    }
}

#[test]
fn a_quota_goes_on_when_its_period_is_edited() {
    let mut counter = Counter::new(quota(10));
    counter.charge(START + 1, 6);
    counter.rule = Rule::Quota(Quota::new(10, Period::hour()).unwrap());
    assert_eq!(counter.look(START + 2, 0).0.remaining, 4);
    let next_hour = START + 3_600 * SECOND;
    assert_eq!(counter.look(next_hour, 0).0.remaining, 10);
    counter.rule = quota(10);
    assert_eq!(counter.look(next_hour, 0).0.remaining, 4);
}

#[test]
fn a_lowered_burst_comes_back_at_the_pace_of_the_new_rule() {
    let mut counter = Counter::new(rate(1, 100));
    counter.charge(START, 100);
    counter.rule = rate(1, 10);
    let (reading, _) = counter.look(START, 1);
    assert_eq!((reading.remaining, reading.retry_micros), (0, Some(SECOND)));
    for second in 1..=50 {
        let reading = counter.charge(START + second * SECOND, 1);
        assert_eq!((reading.within, reading.remaining), (true, 0), "second {second}");
    }
    assert_eq!(counter.look(START + 60 * SECOND, 0).0.remaining, 10, "ten idle seconds later");
}

#[test]
fn a_raised_pace_takes_nothing_away() {
    let mut counter = Counter::new(rate(10, 100));
    assert_eq!(counter.charge(START, 50).remaining, 50);
    counter.rule = rate(20, 100);
    assert_eq!(counter.look(START, 0).0.remaining, 50);
    assert_eq!(counter.look(START + SECOND, 0).0.remaining, 70);
}

#[test]
fn a_lowered_pace_gives_nothing_back() {
    let mut counter = Counter::new(rate(20, 100));
    assert_eq!(counter.charge(START, 100).remaining, 0);
    counter.rule = rate(1, 100);
    assert_eq!(counter.look(START, 0).0.remaining, 0);
}

#[test]
fn a_clock_that_steps_back_does_not_make_a_retry_lie() {
    let mut counter = Counter::new(rate(10, 10));
    counter.charge(START, 10);
    let stepped_back = START - 3_600 * SECOND;
    let (reading, _) = counter.look(stepped_back, 1);
    counter.tells_the_truth(stepped_back, 1, &reading);
    assert_eq!(reading.retry_micros, Some(3_600 * SECOND + SECOND / 10));
}

#[test]
fn nothing_flows_back_until_a_clock_that_stepped_back_has_caught_up() {
    let mut counter = Counter::new(rate(10, 10));
    counter.charge(START, 8);
    let stepped_back = START - 3_600 * SECOND;
    assert_eq!(counter.charge(stepped_back, 1).remaining, 1);
    assert_eq!(counter.look(START, 0).0.remaining, 1);
    assert_eq!(counter.look(START + SECOND / 10, 0).0.remaining, 2);
}
