use keygate::limit::{MAX_EXACT, Rate, Rule};
use proptest::{collection::vec, prelude::*};

use super::{Cost, Counter, any_cost, any_magnitude, fixed};

/// Every rate there can be, up to the bounds of exactness.
pub(crate) fn any_rate() -> impl Strategy<Value = Rate> {
    let bounded = (any_magnitude(32), any_magnitude(53), any_magnitude(53), 0_u8..8);
    bounded.prop_map(|(count, per, burst, edge)| {
        let (count, per) = (count.max(1), per.max(1));
        let (_, den) = Rate::new(count, per, 1).unwrap().pace();
        let most = MAX_EXACT / den;
        let burst = if edge == 0 { most } else { burst.clamp(1, most) };
        Rate::new(count, per, burst).unwrap()
    })
}

/// Rates of the kind people write, which fill and drain within a trace.
pub(crate) fn usual_rate() -> impl Strategy<Value = Rate> {
    let per = prop_oneof![Just(1_000_000), Just(60_000_000), 1_u64..50];
    (1_u64..100, per, 1_u64..40)
        .prop_map(|(count, per, burst)| Rate::new(count, per, burst).unwrap())
}

pub(crate) fn any_span() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), any_magnitude(8), any_magnitude(24), any_magnitude(50)]
}

/// A token bucket in exact integers: `level` of `capacity`, in `1/den` of a unit.
struct Bucket {
    num: u128,
    den: u128,
    capacity: u128,
    level: u128,
}

impl Bucket {
    fn full(rate: &Rate) -> Self {
        let (num, den) = rate.pace();
        let capacity = u128::from(rate.burst()) * u128::from(den);
        Self { num: num.into(), den: den.into(), capacity, level: capacity }
    }

    fn pass(&mut self, micros: u64) {
        self.level = self.capacity.min(self.level + u128::from(micros) * self.num);
    }

    /// Whether it was admitted, what remains, and when more does or it would be.
    fn take(&mut self, cost: u64) -> (bool, u64, u64, Option<u64>) {
        let weight = u128::from(cost) * self.den;
        let fits = weight <= self.level;
        let lacking = weight.saturating_sub(self.level);
        if fits {
            self.level -= weight;
        }
        let remaining = self.level / self.den;
        let next_unit = (remaining + 1) * self.den - self.level;
        let reset = if self.level == self.capacity { 0 } else { next_unit.div_ceil(self.num) };
        let retry = (weight <= self.capacity).then(|| lacking.div_ceil(self.num));
        let retry = retry.map(|micros| micros.try_into().unwrap());
        (fits, remaining.try_into().unwrap(), reset.try_into().unwrap(), retry)
    }
}

fn agrees_with_a_bucket(rate: Rate, start: u64, steps: &[(u64, Cost)]) {
    let (mut bucket, mut counter) = (Bucket::full(&rate), Counter::new(Rule::Rate(rate)));
    let mut now = start;
    for (span, cost) in steps {
        now += span;
        bucket.pass(*span);
        let cost = cost.of(rate.burst());
        let reading = counter.charge(now, cost);
        let told = (reading.within, reading.remaining, reading.reset_micros, reading.retry_micros);
        assert_eq!(told, bucket.take(cost), "at {now}, cost {cost}");
        counter.tells_the_truth(now, cost, &reading);
    }
}

/// In every interval, by the order of the admissions, what was admitted is at most the burst and
/// what flows back. Time that is lived twice counts once, so an interval ends at the latest instant.
pub(crate) fn no_interval_holds_too_much(rate: Rate, admitted: &[(u64, u64)]) {
    let (num, den) = rate.pace();
    let capacity = i128::from(rate.burst()) * i128::from(den);
    let mut latest = 0;
    for (from, (begin, _)) in admitted.iter().enumerate() {
        latest = latest.max(*begin);
        let (begin, mut end, mut weight) = (latest, latest, 0);
        for (at, cost) in &admitted[from..] {
            end = end.max(*at);
            weight += i128::from(*cost) * i128::from(den);
            let flown_back = (i128::from(end) - i128::from(begin)) * i128::from(num);
            assert!(weight <= capacity + flown_back, "from {begin} to {end}");
        }
    }
}

proptest! {
    #![proptest_config(fixed(1_000))]

    #[test]
    fn any_rate_decides_as_a_token_bucket_in_exact_integers(
        rate in any_rate(),
        start in any_magnitude(55),
        steps in vec((any_span(), any_cost()), 1..40),
    ) {
        agrees_with_a_bucket(rate, start, &steps);
    }

    #[test]
    fn usual_rates_decide_as_a_token_bucket_in_exact_integers(
        rate in usual_rate(),
        start in any_magnitude(55),
        steps in vec((any_magnitude(23), any_cost()), 1..60),
    ) {
        agrees_with_a_bucket(rate, start, &steps);
    }

    #[test]
    fn no_interval_admits_more_than_burst_and_rate(
        rate in prop_oneof![any_rate(), usual_rate()],
        start in any_magnitude(55),
        steps in vec((any_span(), any_cost()), 1..60),
    ) {
        let (mut counter, mut now, mut admitted) = (Counter::new(Rule::Rate(rate)), start, Vec::new());
        for (span, cost) in steps {
            now += span;
            let cost = cost.of(rate.burst());
            if counter.charge(now, cost).within && cost > 0 {
                admitted.push((now, cost));
            }
        }
        no_interval_holds_too_much(rate, &admitted);
    }

    #[test]
    fn a_clock_that_steps_back_admits_nothing_more(
        rate in prop_oneof![any_rate(), usual_rate()],
        start in any_magnitude(55),
        steps in vec((any_span(), any::<bool>(), any_cost()), 1..60),
    ) {
        let (mut counter, mut now, mut admitted) = (Counter::new(Rule::Rate(rate)), start, Vec::new());
        for (span, back, cost) in steps {
            now = if back { now.saturating_sub(span) } else { now + span };
            let cost = cost.of(rate.burst());
            if counter.charge(now, cost).within && cost > 0 {
                admitted.push((now, cost));
            }
        }
        no_interval_holds_too_much(rate, &admitted);
    }

    #[test]
    fn a_refusal_and_a_charge_of_nothing_change_nothing(
        rate in prop_oneof![any_rate(), usual_rate()],
        start in any_magnitude(55),
        steps in vec((any_span(), any_cost()), 1..40),
    ) {
        let mut counter = Counter::new(Rule::Rate(rate));
        let mut now = start;
        for (span, cost) in steps {
            now += span;
            let cost = cost.of(rate.burst());
            let (before, _) = counter.look(now, 0);
            let (reading, left_behind) = counter.look(now, cost);
            let taken = if reading.within { cost } else { 0 };
            prop_assert_eq!(before.remaining - taken, reading.remaining);
            if taken == 0 {
                // Even if a store wrote it: the state means the same.
                let rewritten = Counter { state: left_behind, rule: counter.rule.clone() };
                let (kept, rewritten) = (counter.look(now + span, 1).0, rewritten.look(now + span, 1).0);
                prop_assert_eq!(kept, rewritten);
            }
            counter.charge(now, cost);
        }
    }

    #[test]
    fn any_state_at_any_time_is_taken_without_panic(
        rate in any_rate(),
        (at, used, part) in any::<(u64, u64, u64)>(),
        (now, cost) in any::<(u64, u64)>(),
    ) {
        let mut counter = Counter::new(Rule::Rate(rate));
        counter.state = keygate::limit::State { at: keygate::clock::Timestamp::from_micros(at), used, part };
        let reading = counter.charge(now, cost);
        prop_assert!(reading.remaining <= rate.burst());
        prop_assert!(reading.window_seconds >= 1);
        prop_assert_eq!(reading.retry_micros.is_none(), cost > rate.burst());
    }
}
