use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::UsageHarness;
use crate::{
    clock::Timestamp,
    conformance::sound,
    key::KeyId,
    plan::Name,
    port::UsageStore,
    record::ConsumerId,
    usage::{Granularity, Outcome, Rollup, UsageEvent, UsageQuery},
};

/// A consumer and an operation that nobody else knows, at a store.
#[derive(Clone)]
pub(super) struct Scene {
    pub(super) law: &'static str,
    pub(super) consumer: ConsumerId,
    pub(super) operation: Name,
    store: Arc<dyn UsageStore>,
    now: Timestamp,
}

/// An event that owns what it names.
#[derive(Clone, Debug)]
pub(super) struct Fact {
    pub(super) minutes_ago: u64,
    pub(super) key: Option<KeyId>,
    pub(super) operation: Option<Name>,
    pub(super) outcome: Outcome,
    pub(super) cost: u64,
    pub(super) latency_micros: u64,
}

/// What rollups, or events, come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sum {
    requests: u64,
    cost: u64,
    latency_micros: u64,
}

impl Scene {
    pub(super) fn new(law: &'static str, harness: &dyn UsageHarness) -> Self {
        let unique = sound(KeyId::random(), law).to_string();
        Self {
            law,
            consumer: sound(ConsumerId::parse(&format!("{law}-{unique}")), law),
            operation: sound(Name::parse(&unique), law),
            store: harness.store(),
            now: harness.now(),
        }
    }

    pub(super) fn key(&self) -> KeyId {
        sound(KeyId::random(), self.law)
    }

    /// An answered request of one unit, by this key.
    pub(super) fn fact(&self, key: KeyId, minutes_ago: u64) -> Fact {
        Fact {
            minutes_ago,
            key: Some(key),
            operation: Some(self.operation.clone()),
            outcome: Outcome::answered(Some(200)),
            cost: 1,
            latency_micros: 1_000,
        }
    }

    pub(super) fn record(&self, fact: &Fact) {
        self.store.record(&UsageEvent {
            at: self.at(fact.minutes_ago),
            key: fact.key.map(|key| (key, &self.consumer)),
            operation: fact.operation.as_ref(),
            outcome: fact.outcome,
            cost: fact.cost,
            latency_micros: fact.latency_micros,
        });
    }

    pub(super) async fn query(&self, query: &UsageQuery) -> Vec<Rollup> {
        sound(self.store.query(query).await, self.law)
    }

    /// Everything of this consumer, from midnight before the events to midnight after them.
    pub(super) fn all(&self, by: Granularity) -> UsageQuery {
        let (from, until) = self.range();
        UsageQuery::by(by).between(from, until).consumer(self.consumer.clone())
    }

    pub(super) fn range(&self) -> (DateTime<Utc>, DateTime<Utc>) {
        let day = Granularity::Day;
        let midnight_after = self.now.seconds() + day.seconds();
        (self.bucket(day, 110), start(day, midnight_after))
    }

    /// When the bucket of a fact so many minutes ago begins.
    pub(super) fn bucket(&self, by: Granularity, minutes_ago: u64) -> DateTime<Utc> {
        start(by, self.at(minutes_ago).seconds())
    }

    pub(super) fn at(&self, minutes_ago: u64) -> Timestamp {
        let micros = self.now.micros().saturating_sub(minutes_ago * 60_000_000);
        Timestamp::from_micros(micros)
    }

    pub(super) async fn last_used(&self, key: KeyId) -> Option<DateTime<Utc>> {
        sound(self.store.last_used(key).await, self.law)
    }
}

impl<'f> FromIterator<&'f Fact> for Sum {
    fn from_iter<I: IntoIterator<Item = &'f Fact>>(facts: I) -> Self {
        facts.into_iter().fold(Self::default(), |sum, fact| Self {
            requests: sum.requests + 1,
            cost: sum.cost + fact.cost,
            latency_micros: sum.latency_micros + fact.latency_micros,
        })
    }
}

impl<'r> FromIterator<&'r Rollup> for Sum {
    fn from_iter<I: IntoIterator<Item = &'r Rollup>>(rollups: I) -> Self {
        rollups.into_iter().fold(Self::default(), |sum, rollup| Self {
            requests: sum.requests + rollup.requests,
            cost: sum.cost + rollup.cost,
            latency_micros: sum.latency_micros + rollup.latency_micros,
        })
    }
}

fn start(by: Granularity, seconds: u64) -> DateTime<Utc> {
    let whole = seconds / by.seconds() * by.seconds();
    Timestamp::from_micros(whole * 1_000_000).to_datetime()
}
