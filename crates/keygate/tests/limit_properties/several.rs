use chrono_tz::Tz;
use keygate::{
    clock::Timestamp,
    limit::{Quota, Rate, Rule, State, decide},
    period::{AnchorDay, Period},
};
use proptest::{collection::vec, prelude::*};

use super::{Counter, any_magnitude, fixed};

fn any_rule() -> impl Strategy<Value = Rule> {
    let period = prop_oneof![
        Just(Period::hour()),
        Just(Period::day().in_zone(Tz::Europe__Paris)),
        Just(Period::month(AnchorDay::FIRST)),
    ];
    prop_oneof![
        (1_u64..20, 1_u64..3_000_000, 1_u64..20)
            .prop_map(|(count, per, burst)| Rule::Rate(Rate::new(count, per, burst).unwrap())),
        (1_u64..40, period)
            .prop_map(|(amount, period)| Rule::Quota(Quota::new(amount, period).unwrap())),
    ]
}

proptest! {
    #![proptest_config(fixed(1_000))]

    /// Each limit is also counted alone, and charged there only what all of them admitted.
    #[test]
    fn several_limits_are_charged_all_or_none(
        rules in vec(any_rule(), 1..5),
        start in 1_700_000_000_000_000_u64..1_800_000_000_000_000,
        steps in vec((any_magnitude(35), 0_u64..8), 1..60),
    ) {
        let mut alone: Vec<Counter> = rules.iter().cloned().map(Counter::new).collect();
        let mut states = vec![State::default(); rules.len()];
        let mut now = start;
        for (span, cost) in steps {
            now += span;
            let at = Timestamp::from_micros(now);
            let pairs = rules.iter().zip(&states);
            let mut levels: Vec<_> = pairs.map(|(rule, state)| rule.level(*state, at)).collect();
            let readings = decide(&mut levels, cost);
            let expected: Vec<bool> = alone.iter().map(|one| one.look(now, cost).0.within).collect();
            let all = expected.iter().all(|within| *within);
            for ((one, reading), within) in alone.iter_mut().zip(&readings).zip(&expected) {
                prop_assert_eq!(reading.within, *within);
                let charged = one.charge(now, if all { cost } else { 0 });
                prop_assert_eq!(charged.remaining, reading.remaining);
                prop_assert_eq!(charged.reset_micros, reading.reset_micros);
            }
            if all && cost > 0 {
                states = levels.iter().map(keygate::limit::Level::state).collect();
            }
        }
    }

    #[test]
    fn a_state_may_be_forgotten_when_it_says_so(
        rule in any_rule(),
        start in 1_700_000_000_000_000_u64..1_800_000_000_000_000,
        steps in vec((any_magnitude(35), 0_u64..8), 1..20),
    ) {
        let mut counter = Counter::new(rule);
        let mut now = start;
        for (span, cost) in steps {
            now += span;
            counter.charge(now, cost);
            let level = counter.rule.level(counter.state, Timestamp::from_micros(now));
            let forgotten = level.forgotten_at().micros().max(now);
            let fresh = Counter::new(counter.rule.clone());
            for cost in [0, 1, counter.rule.capacity()] {
                prop_assert_eq!(counter.look(forgotten, cost).0, fresh.look(forgotten, cost).0);
            }
            if counter.look(now, 0).0.reset_micros > 0 {
                prop_assert_ne!(counter.look(forgotten - 1, 0).0, fresh.look(forgotten - 1, 0).0);
            }
        }
    }
}
