use std::{sync::Arc, time::Duration};

use super::{
    CounterHarness,
    scene::{Scene, calm_period, fits, limits},
};
use crate::{
    clock::Timestamp,
    conformance::{Coverage, random::Random, require},
    limit::{Level, Reading, Readings, State, decide},
    period::{AnchorDay, Period},
    plan::{Limit, Partition, RateSpec},
};

/// Seeds of the traces that are always run.
const SEEDS: [u64; 4] = [1, 2, 3, 4];

/// Readings are those of the [`limit`](crate::limit) arithmetic, over random traces.
///
/// The store's instant of a charge lies between two looks at its clock, so the model is asked at
/// both and every reading must lie between. Where time stands still the two are one, and the
/// readings must be equal.
pub async fn agrees_with_limit(harness: &dyn CounterHarness) -> Coverage {
    let law = "agrees_with_limit";
    let moves = harness.stands_still() && harness.patience() >= Duration::from_secs(100 * 86_400);
    for seed in SEEDS {
        let plans = if moves { moving_plans(law) } else { calm_plans(law, harness).await };
        for limits in plans {
            trace(law, harness, &limits, seed, if moves { 300 } else { 60 }).await;
        }
    }
    if moves {
        Coverage::Whole
    } else {
        Coverage::Without("long traces over many windows, which need a clock that can be moved")
    }
}

fn moving_plans(law: &str) -> Vec<Arc<[Limit]>> {
    let month = Period::month(AnchorDay::FIRST).in_zone(chrono_tz::Tz::Europe__Paris);
    let rate =
        |count, per, burst| Limit::rate("pace", RateSpec::per_micros(count, per).burst(burst));
    vec![
        limits(law, [rate(7, 3_000_000, 5)]),
        limits(law, [rate(4_294_967_291, 1_000_003, 9)]),
        limits(law, [Limit::quota("hourly", 9, Period::hour())]),
        limits(
            law,
            [
                rate(10, 1_000_000, 20),
                Limit::quota("daily", 40, Period::day()).per_key(),
                Limit::quota("monthly", 300, month),
            ],
        ),
    ]
}

/// Nothing flows back quickly: the model must know the instant better than a unit takes.
async fn calm_plans(law: &str, harness: &dyn CounterHarness) -> Vec<Arc<[Limit]>> {
    let period = calm_period(harness).await;
    let pace = Limit::rate("pace", RateSpec::per_day(700).burst(20));
    let per_key = Limit::rate("own", RateSpec::per_day(300).burst(15)).per_key();
    vec![
        limits(law, [pace.clone()]),
        limits(law, [pace, Limit::quota("daily", 40, period), per_key]),
    ]
}

async fn trace(
    law: &'static str,
    harness: &dyn CounterHarness,
    limits: &[Limit],
    seed: u64,
    steps: u32,
) {
    let mut random = Random::new(seed);
    let first = Scene::new(law, harness);
    let mut keys = [first.other_key(), first].map(|scene| (scene, Model::new(limits)));
    for step in 0..steps {
        if harness.stands_still() {
            harness.pass(Duration::from_micros(span(&mut random))).await;
        }
        keys.rotate_left(usize::from(random.below(2) == 1));
        let cost = random.one_of(&[0, 1, 1, 1, 2, 3, 5, 50]);
        let [(scene, model), (_, other)] = &mut keys;
        let before = harness.now().await;
        let readings = scene.charge(limits, cost).await;
        let between = (before, harness.now().await);
        let Some((least, most)) = model.judge(cost, between) else {
            // The edge of this decision lies between the two looks at the clock.
            return;
        };
        for ((reading, least), most) in readings.iter().zip(&least).zip(&most) {
            require(
                lies_between(reading, least, most),
                law,
                format_args!(
                    "seed {seed}, step {step}, cost {cost}: {reading:?} is not between {least:?} and {most:?}"
                ),
            );
        }
        if fits(&readings) && cost > 0 {
            model.charge(cost, between);
            other.share(model);
        }
    }
}

/// Mostly short, sometimes none at all, now and then past the end of some window.
fn span(random: &mut Random) -> u64 {
    let (second, day) = (1_000_000, 86_400_000_000);
    let most = random.one_of(&[1, 2, 1_000, second, second, 3_600 * second, day, 30 * day]);
    random.below(most)
}

/// The states that one key sees, as they would be had each charge been made at the earliest and at
/// the latest instant it can have been made.
struct Model<'l> {
    limits: &'l [Limit],
    earliest: Vec<State>,
    latest: Vec<State>,
}

impl<'l> Model<'l> {
    fn new(limits: &'l [Limit]) -> Self {
        let fresh = vec![State::default(); limits.len()];
        Self { limits, earliest: fresh.clone(), latest: fresh }
    }

    /// The least and the most that the store may say; `None` if the one fits and the other does
    /// not.
    fn judge(
        &self,
        cost: u64,
        (before, after): (Timestamp, Timestamp),
    ) -> Option<(Readings, Readings)> {
        let least = decide(&mut self.levels(&self.latest, before), cost);
        let most = decide(&mut self.levels(&self.earliest, after), cost);
        (fits(&least) == fits(&most)).then_some((least, most))
    }

    fn charge(&mut self, cost: u64, (before, after): (Timestamp, Timestamp)) {
        let charged = |states: &[State], now| -> Vec<State> {
            let mut levels = self.levels(states, now);
            let _ = decide(&mut levels, cost);
            levels.iter().map(Level::state).collect()
        };
        let earliest = charged(&self.earliest, before);
        self.latest = charged(&self.latest, after);
        self.earliest = earliest;
    }

    /// Takes over the counters of the consumer, which another key of it has moved.
    fn share(&mut self, from: &Self) {
        let shared = self.limits.iter().map(|limit| limit.partition() == Partition::Consumer);
        let own = self.earliest.iter_mut().zip(&mut self.latest);
        let theirs = from.earliest.iter().zip(&from.latest);
        for ((shared, own), theirs) in shared.zip(own).zip(theirs) {
            if shared {
                (*own.0, *own.1) = (*theirs.0, *theirs.1);
            }
        }
    }

    fn levels(&self, states: &[State], now: Timestamp) -> Vec<Level> {
        let pairs = self.limits.iter().zip(states);
        pairs.map(|(limit, state)| limit.rule().level(*state, now)).collect()
    }
}

fn lies_between(given: &Reading, least: &Reading, most: &Reading) -> bool {
    if least == most {
        return given == least;
    }
    let retry = |reading: &Reading| reading.retry_micros.unwrap_or(u64::MAX);
    given.within >= least.within
        && given.within <= most.within
        && (least.remaining..=most.remaining).contains(&given.remaining)
        && (retry(most)..=retry(least)).contains(&retry(given))
        && (least.remaining != most.remaining
            || (most.reset_micros..=least.reset_micros).contains(&given.reset_micros))
        && given.window_seconds == least.window_seconds
}
