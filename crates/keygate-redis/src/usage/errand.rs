//! One call to Redis: its script, its keys and what it says. All keys of a call are in one slot.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use keygate::{clock::Timestamp, key::KeyId, record::ConsumerId, usage::Granularity};

use super::{
    remote::Remote,
    series::{Facts, Sums},
    span::{LENGTHS, floor, instant_of, life, longest},
};

/// How long Redis remembers which batch of a replica it added last.
pub(super) const MARKER_LIFE: Duration = Duration::from_secs(86_400);

/// What is to be done on Redis. Doing it twice is doing it once.
#[derive(Clone, Debug)]
pub(super) enum Errand {
    /// Notes which consumers have usage, and until when.
    List(Vec<(ConsumerId, Timestamp)>),
    /// Adds a batch to the rollups of a consumer.
    Add(Option<ConsumerId>, Arc<Batch>),
    /// Notes when a key was last used, and by whom.
    Used(KeyId, ConsumerId, Timestamp),
}

/// What is added in one atomic step. Its number is larger than those of all before it.
#[derive(Debug)]
pub(super) struct Batch {
    sequence: u64,
    series: Vec<(Facts, Sums)>,
}

/// What a script is called with. Without keys there is nothing to do.
#[derive(Debug, Default)]
pub(super) struct Call {
    pub(super) keys: Vec<String>,
    pub(super) args: Vec<String>,
    /// How many events go to each key after the first.
    events: Vec<(Granularity, u64)>,
}

type Fields = BTreeMap<String, Sums>;

impl Batch {
    pub(super) fn new(sequence: u64, series: Vec<(Facts, Sums)>) -> Self {
        Self { sequence, series }
    }

    pub(super) fn len(&self) -> usize {
        self.series.len()
    }

    pub(super) fn requests(&self) -> u64 {
        requests(self.series.iter().map(|(_, sums)| sums))
    }

    /// The same sums for each length of bucket, by the start of the bucket.
    fn buckets(&self) -> BTreeMap<(Granularity, u32), Fields> {
        let mut buckets = BTreeMap::<_, Fields>::new();
        for (facts, sums) in &self.series {
            let field = facts.field();
            for by in LENGTHS {
                let bucket = buckets.entry((by, floor(facts.minute, by))).or_default();
                bucket.entry(field.clone()).or_default().absorb(*sums);
            }
        }
        buckets
    }
}

impl Errand {
    pub(super) fn is_batch(&self) -> bool {
        matches!(self, Self::Add(..))
    }

    pub(super) fn call(&self, remote: &Remote) -> Call {
        match self {
            Self::List(consumers) => list(remote, consumers),
            Self::Add(consumer, batch) => add(remote, consumer.as_ref(), batch),
            Self::Used(key, consumer, at) => used(remote, *key, consumer, *at),
        }
    }
}

impl Call {
    /// How many events are not in some rollup, if the keys of these numbers hold what is not ours.
    pub(super) fn lost(&self, refused: &[usize]) -> u64 {
        let mut lost = BTreeMap::<Granularity, u64>::new();
        for (number, (by, events)) in (2..).zip(&self.events) {
            // The first is the marker: without it nothing is added.
            if refused.contains(&1) || refused.contains(&number) {
                let lost = lost.entry(*by).or_default();
                *lost = lost.saturating_add(*events);
            }
        }
        lost.into_values().max().unwrap_or(0)
    }
}

fn add(remote: &Remote, consumer: Option<&ConsumerId>, batch: &Batch) -> Call {
    let mut call = Call::default();
    call.keys.push(remote.layout.usage_marker(consumer));
    call.args.extend([remote.replica.clone(), batch.sequence.to_string(), millis(MARKER_LIFE)]);
    let now = remote.clock.now();
    for ((by, start), fields) in batch.buckets() {
        // What is past its retention is not written any more.
        let Some(life) = life(&remote.retention, by, start, now) else { continue };
        call.keys.push(remote.layout.usage_bucket(consumer, by, instant_of(start)));
        call.events.push((by, requests(fields.values())));
        call.args.extend([millis(life), fields.len().to_string()]);
        for (field, sums) in fields {
            let numbers = [sums.requests, sums.cost, sums.latency_micros];
            call.args.push(field);
            call.args.extend(numbers.map(|number| number.to_string()));
        }
    }
    call
}

fn list(remote: &Remote, consumers: &[(ConsumerId, Timestamp)]) -> Call {
    let now = remote.clock.now();
    let memory = remote.memory();
    let oldest = now.seconds().saturating_sub(memory.as_secs());
    let latest = now.saturating_add(memory);
    let mut args = vec![oldest.to_string(), millis(memory)];
    for (consumer, at) in consumers {
        args.extend([at.min(&latest).seconds().to_string(), consumer.to_string()]);
    }
    Call { keys: vec![remote.layout.usage_consumers()], args, ..Call::default() }
}

fn used(remote: &Remote, key: KeyId, consumer: &ConsumerId, at: Timestamp) -> Call {
    let end = at.saturating_add(remote.memory());
    let life = Duration::from_micros(end.micros_since(remote.clock.now())).min(remote.memory());
    if life.as_millis() == 0 {
        return Call::default();
    }
    let args = vec![at.micros().to_string(), consumer.to_string(), millis(life)];
    Call { keys: vec![remote.layout.used(key)], args, ..Call::default() }
}

fn requests<'s>(sums: impl Iterator<Item = &'s Sums>) -> u64 {
    sums.fold(0, |all, sums| all.saturating_add(sums.requests))
}

fn millis(span: Duration) -> String {
    span.as_millis().to_string()
}

impl Remote {
    /// How long anything is remembered: as long as the longest bucket.
    pub(super) fn memory(&self) -> Duration {
        LENGTHS.map(|by| longest(&self.retention, by)).into_iter().max().unwrap_or_default()
    }
}
