//! What a request weighs is known late: nobody gets more than if it had been known at the start.

use keygate::{
    clock::Timestamp,
    limit::{Correction, Quota, Rate, Rule, State},
    period::Period,
};
use proptest::{collection::vec, prelude::*};

use super::{
    Cost, Counter, any_cost, any_magnitude, fixed,
    rates::{any_rate, any_span, no_interval_holds_too_much, usual_rate},
};

const SECOND: u64 = 1_000_000;
const DAY: u64 = 86_400 * SECOND;
const START: u64 = 1_767_225_600_000_000;

/// What one step of a trace does.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// A request that weighs this, of which so much in a thousand is given back in the end.
    Ask(Cost, u64),
    /// One of those under way is settled.
    Settle(usize),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (any_cost(), 0_u64..=1_000).prop_map(|(cost, back)| Step::Ask(cost, back)),
        2 => any::<usize>().prop_map(Step::Settle),
    ]
}

/// A clock that steps back, and the time that was lived.
#[derive(Clone, Copy)]
struct Time {
    shown: u64,
    lived: u64,
}

impl Time {
    fn pass(&mut self, span: u64, back: bool) {
        if back {
            self.shown = self.shown.saturating_sub(span);
        } else {
            self.shown += span;
            self.lived += span;
        }
    }
}

/// A counter that is charged what was reserved and refunded later, beside one that is charged right
/// from the start.
struct Pair {
    reserved: Counter,
    right: Counter,
    /// What is under way: when it was charged, and what will be given back.
    open: Vec<(u64, u64)>,
    /// When it was admitted, and what it weighed in the end.
    admitted: Vec<(u64, u64)>,
}

impl Pair {
    fn new(rule: &Rule) -> Self {
        let [reserved, right] = [rule, rule].map(|rule| Counter::new(rule.clone()));
        Self { reserved, right, open: Vec::new(), admitted: Vec::new() }
    }

    fn step(&mut self, step: Step, time: Time) {
        match step {
            Step::Ask(cost, back) => self.ask(time, cost.of(self.reserved.rule.capacity()), back),
            Step::Settle(which) if !self.open.is_empty() => {
                let (charged, units) = self.open.remove(which % self.open.len());
                let after_micros = time.lived - charged;
                self.reserved.correct(time.shown, Correction::Refund { units, after_micros });
                // A write that changes nothing: what had flowed back when a clock stepped back is then
                // the same for both.
                self.right.correct(time.shown, Correction::None);
                self.admitted.push((time.shown, 0));
            }
            Step::Settle(_) => {}
        }
        self.compare(time.shown);
    }

    fn ask(&mut self, time: Time, cost: u64, back: u64) {
        if cost == 0 || !self.reserved.charge(time.shown, cost).within {
            return;
        }
        let units = Cost::PerMille(back).of(cost);
        let reading = self.right.charge(time.shown, cost - units);
        assert!(reading.within, "admitted only because more was reserved");
        self.open.push((time.lived, units));
        self.admitted.push((time.shown, cost - units));
    }

    /// Whatever fits here fits there.
    fn compare(&self, now: u64) {
        let capacity = self.right.rule.capacity();
        let (here, there) = (self.reserved.look(now, 0).0, self.right.look(now, 0).0);
        assert!(here.remaining <= there.remaining, "{here:?} {there:?}");
        assert!(there.remaining <= capacity);
        for cost in [1, capacity / 2, capacity] {
            let (here, there) = (self.reserved.look(now, cost).0, self.right.look(now, cost).0);
            assert!(!here.within || there.within, "cost {cost}: {here:?} {there:?}");
        }
        tells_the_truth(&self.reserved, now);
    }
}

/// When one unit more would fit, and when more than now.
fn tells_the_truth(counter: &Counter, now: u64) {
    counter.tells_the_truth(now, 0, &counter.look(now, 0).0);
    let one = counter.look(now, 1).0;
    if !one.within {
        counter.tells_the_truth(now, 1, &one);
    }
}

/// A token bucket that may be overdrawn, in exact integers. Where its clock steps back behind the
/// instant when something was taken last, time stands still.
struct Overdraft {
    num: i128,
    den: i128,
    capacity: i128,
    level: i128,
    taken: u64,
}

impl Overdraft {
    fn full(rate: &Rate) -> Self {
        let (num, den) = rate.pace();
        let capacity = i128::from(rate.burst()) * i128::from(den);
        Self { num: num.into(), den: den.into(), capacity, level: capacity, taken: 0 }
    }

    fn level(&self, now: u64) -> i128 {
        let span = i128::from(now.saturating_sub(self.taken));
        self.capacity.min(self.level + span * self.num)
    }

    fn fits(&self, now: u64, cost: u64) -> bool {
        cost == 0 || i128::from(cost) * self.den <= self.level(now)
    }

    fn take(&mut self, now: u64, cost: u64) {
        self.level = self.level(now) - i128::from(cost) * self.den;
        self.taken = self.taken.max(now);
    }
}

proptest! {
    #![proptest_config(fixed(500))]

    #[test]
    fn a_refund_of_a_rate_makes_no_room_that_a_right_charge_would_not_have_left(
        rate in prop_oneof![any_rate(), usual_rate()],
        start in any_magnitude(50),
        steps in vec((any_span(), prop::bool::weighted(0.2), any_step()), 1..60),
    ) {
        let mut pair = Pair::new(&Rule::Rate(rate));
        let mut time = Time { shown: start, lived: 0 };
        for (span, back, step) in steps {
            time.pass(span, back);
            pair.step(step, time);
        }
        no_interval_holds_too_much(rate, &pair.admitted);
    }

    #[test]
    fn a_refund_of_a_usual_rate_makes_no_room_either(
        rate in usual_rate(),
        start in any_magnitude(50),
        steps in vec((any_magnitude(23), prop::bool::weighted(0.1), any_step()), 1..80),
    ) {
        let mut pair = Pair::new(&Rule::Rate(rate));
        let mut time = Time { shown: start, lived: 0 };
        for (span, back, step) in steps {
            time.pass(span, back);
            pair.step(step, time);
        }
        no_interval_holds_too_much(rate, &pair.admitted);
    }

    #[test]
    fn a_refund_of_a_quota_makes_no_room_that_a_right_charge_would_not_have_left(
        amount in 1_u64..1_000,
        steps in vec((any_magnitude(37), any_step()), 1..60),
    ) {
        let mut pair = Pair::new(&Rule::Quota(Quota::new(amount, Period::day()).unwrap()));
        let mut time = Time { shown: START, lived: 0 };
        for (span, step) in steps {
            time.pass(span, false);
            pair.step(step, time);
        }
    }

    /// What was taken beyond a rate is waited for, to the microsecond that each correction may cost.
    #[test]
    fn a_debt_of_a_rate_flows_back_as_from_an_overdrawn_bucket(
        rate in usual_rate(),
        start in any_magnitude(50),
        steps in vec((any_magnitude(23), prop::bool::weighted(0.1), 0_u64..4, 0_u64..60), 1..60),
    ) {
        let (mut counter, mut bucket) = (Counter::new(Rule::Rate(rate)), Overdraft::full(&rate));
        let (mut now, mut rounded) = (start, 0);
        for (span, back, kind, units) in steps {
            now = if back { now.saturating_sub(span) } else { now + span };
            let reading = counter.look(now, units).0;
            prop_assert!(!reading.within || bucket.fits(now, units), "ahead of the pace: {reading:?}");
            let caught_up = bucket.taken.max(now);
            let late = counter.look(caught_up + rounded, units).0;
            let due = bucket.fits(caught_up, units);
            prop_assert!(late.within || !due, "behind the pace: {late:?}");
            tells_the_truth(&counter, now);
            if kind == 0 {
                counter.correct(now, Correction::Extra(units));
                bucket.take(now, units);
                rounded += 1;
            } else if counter.charge(now, units).within && units > 0 {
                bucket.take(now, units);
            }
        }
    }

    #[test]
    fn extra_is_taken_from_a_quota_whatever_is_left(
        amount in 1_u64..50,
        steps in vec((any_magnitude(36), any::<bool>(), 0_u64..40), 1..60),
    ) {
        let mut counter = Counter::new(Rule::Quota(Quota::new(amount, Period::day()).unwrap()));
        let (mut now, mut used, mut day) = (START, 0, 0);
        for (span, extra, units) in steps {
            now += span;
            let today = now / DAY;
            if std::mem::replace(&mut day, today) != today {
                used = 0;
            }
            let fits = units == 0 || used + units <= amount;
            if extra {
                counter.correct(now, Correction::Extra(units));
            } else {
                prop_assert_eq!(counter.charge(now, units).within, fits);
            }
            if extra || fits {
                used += units;
            }
            prop_assert_eq!(counter.look(now, 0).0.remaining, amount.saturating_sub(used));
        }
    }

    /// But for what flows back in two microseconds at most, and that never in favour of the client.
    #[test]
    fn extra_and_a_refund_of_the_same_are_neutral_where_nothing_flowed(
        rate in prop_oneof![any_rate(), usual_rate()],
        start in any_magnitude(50),
        (charged, units) in (any_cost(), any_magnitude(20)),
        back in any_span(),
    ) {
        let mut counter = Counter::new(Rule::Rate(rate));
        counter.charge(start, charged.of(rate.burst()));
        let now = start.saturating_sub(back);
        let before = Counter { rule: counter.rule.clone(), state: counter.state };
        counter.correct(now, Correction::Extra(units));
        counter.correct(now, Correction::Refund { units, after_micros: 0 });
        for cost in [1, rate.burst() / 2, rate.burst()] {
            let (was, is) = (before.look(now, cost).0, counter.look(now, cost).0);
            prop_assert!(was.within || !is.within, "{was:?} {is:?}");
            let (was, soon) = (before.look(start, cost).0, counter.look(start + 2, cost).0);
            prop_assert!(soon.within || !was.within, "{was:?} {soon:?}");
        }
    }

    #[test]
    fn extra_and_a_refund_of_the_same_leave_a_quota_as_it_was(
        amount in 1_u64..100, used in 0_u64..100, units in any_magnitude(40),
    ) {
        let mut counter = Counter::new(Rule::Quota(Quota::new(amount, Period::hour()).unwrap()));
        counter.charge(START, used);
        let before = counter.look(START, 1).0;
        counter.correct(START, Correction::Extra(units));
        counter.correct(START, Correction::Refund { units, after_micros: 0 });
        prop_assert_eq!(counter.look(START, 1).0, before);
    }

    #[test]
    fn any_correction_of_any_state_at_any_time_stays_in_bounds(
        rule in prop_oneof![
            any_rate().prop_map(Rule::Rate),
            any_magnitude(53).prop_map(|n| Rule::Quota(Quota::new(n.max(1), Period::day()).unwrap())),
        ],
        (at, used, part) in any::<(u64, u64, u64)>(),
        (now, units, after_micros, extra) in any::<(u64, u64, u64, bool)>(),
    ) {
        let mut counter = Counter::new(rule);
        // More than the capacity is what a wider rule counted.
        let used = if extra { used } else { used % counter.rule.capacity() };
        counter.state = State { at: Timestamp::from_micros(at), used, part };
        let before = counter.look(now, 0).0.remaining;
        let refund = Correction::Refund { units, after_micros };
        counter.correct(now, if extra { Correction::Extra(units) } else { refund });
        let after = counter.look(now, 0).0.remaining;
        prop_assert!(after <= counter.rule.capacity());
        let (least, most) = if extra { (after, before) } else { (before, after) };
        prop_assert!(least <= most, "{least} > {most}");
        counter.charge(now, units);
    }
}

fn rate(count: u64, burst: u64) -> Rule {
    Rule::Rate(Rate::new(count, SECOND, burst).unwrap())
}

const fn refund(units: u64) -> Correction {
    Correction::Refund { units, after_micros: 0 }
}

#[test]
fn a_correction_does_not_take_a_clock_that_stepped_back_for_a_debt() {
    for (correction, left) in [(refund(1), 10), (Correction::Extra(1), 8), (Correction::None, 9)] {
        let mut counter = Counter::new(rate(10, 10));
        counter.charge(START, 1);
        let stepped_back = START - 3_600 * SECOND;
        counter.correct(stepped_back, correction);
        assert_eq!(counter.look(stepped_back, 0).0.remaining, left, "{correction:?}");
    }
}

#[test]
fn a_refund_to_a_full_bucket_counts_once_the_clock_has_caught_up() {
    let mut counter = Counter::new(rate(1, 10));
    counter.charge(START, 10);
    counter.correct(START - 3_600 * SECOND, refund(4));
    assert_eq!(counter.look(START - 3_600 * SECOND, 0).0.remaining, 0);
    assert_eq!(counter.look(START, 0).0.remaining, 4);
}

/// At a pace of thousands a microsecond, the years of a clock that was set back are more parts than
/// there are numbers.
#[test]
fn a_debt_does_not_shrink_by_overflow() {
    let quick = Rule::Rate(Rate::new(1 << 31, 1, 4).unwrap());
    let mut counter = Counter::new(quick);
    counter.charge(START, 4);
    counter.correct(0, refund(1));
    assert_eq!(counter.look(START - 1, 0).0.remaining, 0);
}

#[test]
fn a_narrow_rule_does_not_cut_off_what_a_wide_one_counted() {
    for (correction, left) in [(refund(1), 201), (Correction::None, 200)] {
        let mut counter = Counter::new(rate(1, 1_000));
        counter.charge(START, 800);
        counter.rule = rate(1, 10);
        counter.correct(START, correction);
        assert_eq!(counter.look(START, 0).0.remaining, 0, "{correction:?}");
        counter.rule = rate(1, 1_000);
        assert_eq!(counter.look(START, 0).0.remaining, left, "{correction:?}");
    }
}

#[test]
fn a_refund_under_a_lowered_burst_makes_no_room_until_it_is_below_it() {
    let mut counter = Counter::new(rate(1, 10));
    counter.charge(START, 8);
    counter.rule = rate(1, 4);
    for (units, left) in [(1, 0), (3, 0), (1, 1), (9, 4)] {
        counter.correct(START, refund(units));
        assert_eq!(counter.look(START, 0).0.remaining, left);
    }
}

#[test]
fn slots_are_neither_corrected_nor_given_back_by_time() {
    let rule = Rule::Concurrency(keygate::limit::Concurrency::new(3).unwrap());
    let mut counter = Counter::new(rule);
    counter.charge(START, 7);
    for correction in [Correction::Extra(2), refund(2)] {
        counter.correct(START + DAY, correction);
        assert_eq!(counter.look(START + 400 * DAY, 0).0.remaining, 2);
    }
    let mut level = counter.rule.level(counter.state, Timestamp::from_micros(START));
    for left in [3, 3] {
        level.release();
        assert_eq!(level.remaining(), left);
    }
}
