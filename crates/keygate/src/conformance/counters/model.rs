use std::{sync::Arc, time::Duration};

use super::{
    CounterHarness,
    scene::{Scene, calm_period, fits, limits},
};
use crate::{
    clock::Timestamp,
    conformance::{Coverage, random::Random, require},
    limit::{Correction, Level, Reading, Readings, State, decide},
    period::{AnchorDay, Period},
    plan::{Limit, Partition, RateSpec},
    port::SlotId,
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
            Trace::new(law, harness, &limits, seed).run(if moves { 300 } else { 60 }).await;
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
        limits(law, [Limit::concurrency("parallel", 4), rate(7, 3_000_000, 50)]),
    ]
}

/// Nothing flows back quickly: the model must know the instant better than a unit takes.
async fn calm_plans(law: &str, harness: &dyn CounterHarness) -> Vec<Arc<[Limit]>> {
    let period = calm_period(harness).await;
    let pace = Limit::rate("pace", RateSpec::per_day(700).burst(20));
    let per_key = Limit::rate("own", RateSpec::per_day(300).burst(15)).per_key();
    vec![
        limits(law, [pace.clone()]),
        limits(law, [pace.clone(), Limit::quota("daily", 40, period), per_key]),
        limits(
            law,
            [pace, Limit::concurrency("parallel", 4), Limit::concurrency("own", 3).per_key()],
        ),
    ]
}

/// Charges of two keys of one consumer, settlements among them.
struct Trace<'l> {
    law: &'static str,
    harness: &'l dyn CounterHarness,
    limits: &'l Arc<[Limit]>,
    seed: u64,
    random: Random,
    /// The key at hand, and the other one.
    keys: [(Scene, Model<'l>, Vec<SlotId>); 2],
}

impl<'l> Trace<'l> {
    fn new(
        law: &'static str,
        harness: &'l dyn CounterHarness,
        limits: &'l Arc<[Limit]>,
        seed: u64,
    ) -> Self {
        let first = Scene::new(law, harness);
        let keys = [first.other_key(), first];
        let keys = keys.map(|scene| (scene, Model::new(limits), Vec::new()));
        Self { law, harness, limits, seed, random: Random::new(seed), keys }
    }

    async fn run(mut self, steps: u32) {
        for step in 0..steps {
            if self.harness.stands_still() {
                self.harness.pass(Duration::from_micros(self.span())).await;
            }
            self.keys.rotate_left(usize::from(self.random.below(2) == 1));
            if self.random.below(4) == 0 {
                self.settle().await;
            } else if !self.charge(step).await {
                return;
            }
        }
    }

    /// Mostly short, sometimes none at all, now and then past the end of some window; but a store
    /// need not wait a day for a slot.
    fn span(&mut self) -> u64 {
        let (second, day) = (1_000_000, 86_400_000_000);
        let slots = self.limits.iter().any(Limit::is_concurrency);
        let far = if slots { [second; 3] } else { [3_600 * second, day, 30 * day] };
        let [hour, day, month] = far;
        let most = self.random.one_of(&[1, 2, 1_000, second, second, hour, day, month]);
        self.random.below(most)
    }

    /// Whether the trace can go on.
    async fn charge(&mut self, step: u32) -> bool {
        let (law, seed) = (self.law, self.seed);
        let cost = self.random.one_of(&[0, 1, 1, 1, 2, 3, 5, 50]);
        let [(scene, model, held), (_, other, _)] = &mut self.keys;
        let before = self.harness.now().await;
        let (readings, slot) = scene.take(self.limits, cost).await;
        let between = (before, self.harness.now().await);
        let Some((least, most)) = model.judge(cost, between) else {
            // The edge of this decision lies between the two looks at the clock.
            return false;
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
        held.extend(slot);
        if fits(&readings) && cost > 0 {
            model.charge(cost, between);
            other.share(model);
        }
        true
    }

    /// Corrects what nobody need have charged, and gives back the slot that was taken last.
    async fn settle(&mut self) {
        let units = self.random.one_of(&[0, 1, 1, 2, 3, 5, 50]);
        let after_micros = self.random.one_of(&[0, 1, 1_000, 1_000_000, 90_000_000_000]);
        let correction = match self.random.below(3) {
            0 => Correction::None,
            1 => Correction::Extra(units),
            _ => Correction::Refund { units, after_micros },
        };
        let [(scene, model, held), (_, other, _)] = &mut self.keys;
        let slot = held.pop();
        let before = self.harness.now().await;
        scene.settle(self.limits, correction, slot).await;
        model.settle(correction, slot, (before, self.harness.now().await));
        other.share(model);
    }
}

/// The states that one key sees, as they would be had each charge been made at the earliest and at
/// the latest instant it can have been made.
struct Model<'l> {
    limits: &'l Arc<[Limit]>,
    earliest: Vec<State>,
    latest: Vec<State>,
}

impl<'l> Model<'l> {
    fn new(limits: &'l Arc<[Limit]>) -> Self {
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

    fn settle(
        &mut self,
        correction: Correction,
        slot: Option<SlotId>,
        (before, after): (Timestamp, Timestamp),
    ) {
        let settled = |states: &[State], correction, now| -> Vec<State> {
            let mut levels = self.levels(states, now);
            for level in &mut levels {
                level.correct(correction);
                slot.into_iter().for_each(|_| level.release());
            }
            levels.iter().map(Level::state).collect()
        };
        let earliest = settled(&self.earliest, correction, before);
        // What came back while it was settled may count as come back.
        let later = later(correction, after.micros_since(before));
        self.latest = settled(&self.latest, later, after);
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

fn later(correction: Correction, micros: u64) -> Correction {
    match correction {
        Correction::Refund { units, after_micros } => {
            Correction::Refund { units, after_micros: after_micros.saturating_add(micros) }
        }
        other => other,
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
