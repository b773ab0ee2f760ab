use std::{sync::Arc, time::Duration};

use chrono_tz::Tz;

use super::CounterHarness;
use crate::{
    clock::Timestamp,
    conformance::{broken, require, sound},
    key::{KeyId, random_u64},
    limit::{Correction, Reading, Readings},
    period::Period,
    plan::{Limit, LimitBuilder, Partition, Plan, PlanBuilder, RateSpec},
    port::{Charge, CounterStore, Owner, Settlement, SlotId},
    record::ConsumerId,
};

/// One unit of a rate that laws about time wait for. Long enough for a few calls to a server.
pub(super) const INTERVAL: Duration = Duration::from_millis(250);

/// A consumer with one key that nobody else knows, at a store.
#[derive(Clone)]
pub(super) struct Scene {
    pub(super) law: &'static str,
    store: Arc<dyn CounterStore>,
    consumer: ConsumerId,
    key: KeyId,
}

impl Scene {
    pub(super) fn new(law: &'static str, harness: &dyn CounterHarness) -> Self {
        let key = sound(KeyId::random(), law);
        let consumer = sound(ConsumerId::parse(&format!("{law}-{key}")), law);
        let store = harness.store();
        Self { law, store, consumer, key }
    }

    /// Another key of the same consumer.
    pub(super) fn other_key(&self) -> Self {
        let key = sound(KeyId::random(), self.law);
        Self { key, ..self.clone() }
    }

    /// Another consumer, whose id is this one's with something after it.
    pub(super) fn consumer_with(&self, suffix: &str) -> Self {
        let id = format!("{}{suffix}", self.consumer);
        let consumer = sound(ConsumerId::parse(&id), self.law);
        Self { consumer, ..self.other_key() }
    }

    pub(super) async fn charge(&self, limits: &Arc<[Limit]>, cost: u64) -> Readings {
        self.take(limits, cost).await.0
    }

    /// Charges, and names the slot that the request has if the charge fits.
    pub(super) async fn take(
        &self,
        limits: &Arc<[Limit]>,
        cost: u64,
    ) -> (Readings, Option<SlotId>) {
        let takes_slot = cost > 0 && limits.iter().any(Limit::is_concurrency);
        let slot = takes_slot.then(|| SlotId::new(sound(random_u64(), self.law), 0));
        let readings = self.charge_as(limits, cost, slot).await;
        let slot = slot.filter(|_| fits(&readings));
        (readings, slot)
    }

    /// Charges without a name for the slot.
    pub(super) async fn charge_nameless(&self, limits: &Arc<[Limit]>, cost: u64) -> Readings {
        self.charge_as(limits, cost, None).await
    }

    async fn charge_as(&self, limits: &Arc<[Limit]>, cost: u64, slot: Option<SlotId>) -> Readings {
        let charge = Charge { consumer: &self.consumer, key: self.key, limits, cost, slot };
        let readings = sound(self.store.charge(&charge).await, self.law);
        let (given, right) = (readings.len(), limits.len());
        require(given == right, self.law, format_args!("{given} readings of {right} limits"));
        readings
    }

    /// Charges what must fit, and names the slot that is held since.
    pub(super) async fn hold(&self, limits: &Arc<[Limit]>, cost: u64) -> SlotId {
        match self.take(limits, cost).await {
            (_, Some(slot)) => slot,
            (readings, None) => broken(
                self.law,
                format_args!("a request of cost {cost} has no slot though it fits: {readings:?}"),
            ),
        }
    }

    /// Gives back a slot.
    pub(super) async fn release(&self, limits: &Arc<[Limit]>, slot: SlotId) {
        self.settle(limits, Correction::None, Some(slot)).await;
    }

    /// Corrects what was charged.
    pub(super) async fn correct(&self, limits: &Arc<[Limit]>, correction: Correction) {
        self.settle(limits, correction, None).await;
    }

    pub(super) async fn settle(
        &self,
        limits: &Arc<[Limit]>,
        correction: Correction,
        slot: Option<SlotId>,
    ) {
        let (consumer, key) = (&self.consumer, self.key);
        self.store.settle(&Settlement { consumer, key, limits, correction, slot }).await;
    }

    /// The reading of a single limit.
    pub(super) async fn charge_one(&self, limits: &Arc<[Limit]>, cost: u64) -> Reading {
        match self.charge(limits, cost).await.as_slice() {
            [reading] => *reading,
            readings => broken(self.law, format_args!("{readings:?} of one limit")),
        }
    }

    /// What remains of each limit, read by a charge of nothing.
    pub(super) async fn remaining(&self, limits: &Arc<[Limit]>) -> Vec<u64> {
        let readings = self.charge(limits, 0).await;
        readings.iter().map(|reading| reading.remaining).collect()
    }

    /// Resets what the consumer used, or what the key used.
    pub(super) async fn reset(&self, partition: Partition) {
        let consumer = &self.consumer;
        let owner = match partition {
            Partition::Consumer => Owner::Consumer(consumer),
            Partition::Key => Owner::Key { consumer, key: self.key },
        };
        sound(self.store.reset(owner).await, self.law);
    }

    /// Charges what must fit.
    pub(super) async fn spend(&self, limits: &Arc<[Limit]>, cost: u64) -> Readings {
        let readings = self.charge(limits, cost).await;
        require(
            fits(&readings),
            self.law,
            format_args!("a charge of {cost} is refused though it fits: {readings:?}"),
        );
        readings
    }

    /// Charges what must not fit.
    pub(super) async fn overspend(&self, limits: &Arc<[Limit]>, cost: u64) -> Readings {
        let readings = self.charge(limits, cost).await;
        require(
            !fits(&readings),
            self.law,
            format_args!("a charge of {cost} is admitted though it does not fit: {readings:?}"),
        );
        readings
    }
}

pub(super) fn fits(readings: &[Reading]) -> bool {
    readings.iter().all(|reading| reading.within)
}

pub(super) fn limits<const N: usize>(law: &str, builders: [LimitBuilder; N]) -> Arc<[Limit]> {
    let plan = Plan::builder("conformance");
    let plan = builders.into_iter().fold(plan, PlanBuilder::limit);
    Arc::clone(sound(plan.build(), law).limits())
}

/// A rate of which nothing flows back while a law runs.
pub(super) fn still_rate(burst: u64) -> RateSpec {
    RateSpec::per_day(1).burst(burst)
}

/// A rate of one unit per [`INTERVAL`].
pub(super) fn quick_rate(burst: u64) -> RateSpec {
    RateSpec::per_micros(1, micros(INTERVAL)).burst(burst)
}

/// A period that does not turn over within the next hours: at any time one of two days is young.
pub(super) async fn calm_period(harness: &dyn CounterHarness) -> Period {
    let now = harness.now().await;
    let days = [Period::day(), Period::day().in_zone(Tz::Etc__GMTMinus12)];
    let left = |day: &Period| day.window(now).end().micros_since(now);
    days.into_iter().max_by_key(left).unwrap_or(Period::day())
}

/// Lets time pass until the store's clock shows `then`, or a later instant.
pub(super) async fn wait_until(harness: &dyn CounterHarness, then: Timestamp) {
    loop {
        let now = harness.now().await;
        if then <= now {
            return;
        }
        let left = then.micros_since(now);
        harness.pass(Duration::from_micros(left)).await;
    }
}

pub(super) fn after(instant: Timestamp, micros: u64) -> Timestamp {
    instant.saturating_add(Duration::from_micros(micros))
}

pub(super) fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}
