//! The same arithmetic twice, in Lua and in Rust, over the same random decisions.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use futures_util::future::join_all;
use keygate::{
    clock::Timestamp,
    limit::{Correction, Level, Readings, Rule, State, decide},
    period::{AnchorDay, Period, parse_zone},
    plan::{Limit, LimitBuilder, Partition, RateSpec},
    record::ConsumerId,
};
use keygate_tests::RedisServer;

use super::support::{Customer, limits, set_clock, unforgetting_replica};
use crate::{counters::RedisCounters, testing::Random};

const DECISIONS: usize = 100_000;
const AT_ONCE: usize = 50;

/// Who pays, for what, how much, and what is settled after that.
type Decision = (Customer, Arc<[Limit]>, u64, Correction);

/// What the core says.
#[derive(Default)]
struct Model(HashMap<(String, String, bool), State>);

impl Model {
    fn charge(&mut self, who: &Customer, limits: &[Limit], cost: u64, now: Timestamp) -> Readings {
        let states = limits.iter().map(|limit| self.0.get(&counter(who, limit)).copied());
        let states = states.map(Option::unwrap_or_default);
        let levels = limits.iter().zip(states).map(|(limit, state)| limit.rule().level(state, now));
        let mut levels: Vec<Level> = levels.collect();
        let readings = decide(&mut levels, cost);
        if cost > 0 && readings.iter().all(|reading| reading.within) {
            for (limit, level) in limits.iter().zip(&levels) {
                self.0.insert(counter(who, limit), level.state());
            }
        }
        readings
    }
}

impl Model {
    fn settle(&mut self, who: &Customer, limits: &[Limit], correction: Correction, now: Timestamp) {
        for limit in limits {
            let state = self.0.get(&counter(who, limit)).copied();
            let mut level = limit.rule().level(state.unwrap_or_default(), now);
            let before = level.state();
            level.correct(correction);
            let refunds = matches!(correction, Correction::Refund { .. });
            // A quota that is left alone is not written by a window that may be another by now.
            if !(refunds && matches!(limit.rule(), Rule::Quota(_)) && level.state() == before) {
                self.0.insert(counter(who, limit), level.state());
            }
        }
    }
}

fn counter(who: &Customer, limit: &Limit) -> (String, String, bool) {
    let owner = match limit.partition() {
        Partition::Key => format!("{}/{}", who.consumer, who.key),
        _ => who.consumer.to_string(),
    };
    (owner, limit.name().to_string(), matches!(limit.rule(), Rule::Rate(_)))
}

fn random_limit(random: &mut Random, name: &str) -> LimitBuilder {
    let limit = if random.below(2) == 0 {
        let per =
            *random.one_of(&[1, 7, 10, 1_000, 999_983, 1_000_000, 60_000_000, 86_400_000_000]);
        let count = *random.one_of(&[1, 3, 10, 1_000, 4_294_967_291]);
        let burst = 1 + random.below(random_bound(per));
        Limit::rate(name, RateSpec::per_micros(count, per).burst(burst))
    } else {
        let zone =
            random.one_of(&["UTC", "Europe/Paris", "America/New_York", "Australia/Lord_Howe"]);
        let anchor = AnchorDay::new(1 + u8::try_from(random.below(31)).unwrap()).unwrap();
        let periods = [Period::hour(), Period::day(), Period::month(anchor)];
        let period = random.one_of(&periods).clone();
        let amount = 1 + random.below(random_bound(1));
        Limit::quota(name, amount, period.in_zone(parse_zone(zone).unwrap()))
    };
    if random.below(3) == 0 { limit.per_key() } else { limit }
}

/// Small numbers are where things happen; large ones are where precision ends.
fn random_bound(unit: u64) -> u64 {
    if unit.is_multiple_of(7) { 30 } else { ((1 << 53) / unit).min(40) }
}

fn random_plan(random: &mut Random) -> Arc<[Limit]> {
    let mut names = vec!["burst", "daily", "monthly", "search", "b", "x.y_z-0"];
    let wanted = 1 + random.below(4);
    let chosen = (0..wanted).map(|_| {
        let place = usize::try_from(random.below(names.len() as u64)).unwrap();
        random_limit(random, names.swap_remove(place))
    });
    let chosen: Vec<_> = chosen.collect();
    limits(chosen)
}

fn random_cost(random: &mut Random) -> u64 {
    *random.one_of(&[0, 1, 1, 1, 1, 1, 2, 3, 7, 41, 1 << 53, u64::MAX])
}

fn random_correction(random: &mut Random) -> Correction {
    let units = *random.one_of(&[1, 2, 3, 40, 1_000, 1 << 53, u64::MAX]);
    let after_micros = *random.one_of(&[0, 1, 1_000, 2_000_000, 4_000_000_000]);
    match random.below(12) {
        0 => Correction::Extra(units),
        1 => Correction::Refund { units, after_micros },
        _ => Correction::None,
    }
}

/// Customers that differ in what confuses keys.
fn customers() -> Vec<Customer> {
    let ids = ["acme", "acme2", "{acme}", "a:b", "%", "a{b}c", "😀"].map(|id| {
        let id: String = id.chars().map(|c| if c.is_ascii() { c } else { '~' }).collect();
        Customer::new(&id)
    });
    let mut customers: Vec<_> = ids.to_vec();
    customers.push(Customer { key: Customer::new("other").key, ..customers[0].clone() });
    customers
}

/// Decisions of one consumer, one after the other: consumers are strangers to each other, and wait for
/// Redis together.
async fn charge_all(replica: &RedisCounters, decisions: &[Decision]) -> Vec<Readings> {
    let mut answers = Vec::new();
    for (who, limits, cost, correction) in decisions {
        answers.push(who.charge(replica, limits, *cost).await.unwrap());
        if *correction != Correction::None {
            who.settle(replica, limits, *correction).await;
        }
    }
    answers
}

async fn step(
    replica: &RedisCounters,
    model: &mut Model,
    now: Timestamp,
    decisions: &BTreeMap<ConsumerId, Vec<Decision>>,
) {
    let asked = decisions.values().map(|decisions| charge_all(replica, decisions));
    let answers = join_all(asked).await.into_iter().flatten();
    for ((who, limits, cost, correction), answer) in decisions.values().flatten().zip(answers) {
        let right = model.charge(who, limits, *cost, now);
        if *correction != Correction::None {
            model.settle(who, limits, *correction, now);
        }
        assert_eq!(answer, right, "{who:?} {limits:#?} cost {cost} at {now:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lua_and_rust_decide_alike() {
    let server = RedisServer::start();
    let (customers, mut random) = (customers(), Random(1));
    let mut now = 2_000_000_000_000_000;
    let (mut decided, mut admitted) = (0, 0);
    while decided < DECISIONS {
        // A world of plans that are edited while time goes on, then one in which the clock steps back.
        let steps_back = random.below(4) == 0;
        let mut model = Model::default();
        server.cli(&["flushall"]);
        let mut plans: Vec<_> = (0..3).map(|_| random_plan(&mut random)).collect();
        let replica = unforgetting_replica(&server);
        let mut fresh = unforgetting_replica(&server);
        for round in 0..AT_ONCE {
            now += *random.one_of(&[
                0,
                1,
                3,
                999,
                100_000,
                1_000_000,
                61_000_000,
                3_700_000_000,
                90_000_000_000,
            ]);
            if steps_back && random.below(5) == 0 {
                now -= *random.one_of(&[1, 1_000, 1_000_000, 200_000_000]);
            }
            let at = Timestamp::from_micros(now);
            set_clock(&replica, at).await;
            if !steps_back && round % 7 == 6 {
                plans = (0..3).map(|_| random_plan(&mut random)).collect();
            }
            // One that has seen nothing yet must say the same as one that remembers.
            let asked = if random.below(10) == 0 { &fresh } else { &replica };
            let mut decisions: BTreeMap<_, Vec<Decision>> = BTreeMap::new();
            for _ in 0..AT_ONCE {
                let plan = if steps_back { &plans[0] } else { random.one_of(&plans) };
                let who = random.one_of(&customers).clone();
                let of_consumer = decisions.entry(who.consumer.clone()).or_default();
                let (cost, correction) = (random_cost(&mut random), random_correction(&mut random));
                of_consumer.push((who, Arc::clone(plan), cost, correction));
            }
            step(asked, &mut model, at, &decisions).await;
            decided += AT_ONCE;
            if round % 10 == 9 {
                fresh = unforgetting_replica(&server);
            }
        }
        admitted += model.0.len();
    }
    println!("{decided} decisions, {admitted} counters, no mismatch");
    assert!(admitted > 0);
}
