use std::{
    collections::VecDeque,
    fmt,
    hash::BuildHasher,
    sync::{Mutex, MutexGuard, PoisonError},
};

use chrono::{DateTime, Utc};
use hashbrown::{DefaultHashBuilder as Hasher, HashTable};

use crate::{
    clock::Timestamp,
    key::KeyId,
    plan::Name,
    port::{Answer, StoreError, UsageStore},
    record::ConsumerId,
    usage::{Granularity, Outcome, Rollup, UsageEvent, UsageQuery},
};

/// A power of two, well above the number of cores.
const SHARDS: u64 = 64;

/// How often a shard looks for series past their retention, in minutes of event time.
const SWEEP_EVERY: u32 = 60;

/// How many buckets of each length are kept. The default: two hours of minutes, a week of hours, a
/// hundred days.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Minutes.
    pub minutes: u32,
    /// Hours.
    pub hours: u32,
    /// Days.
    pub days: u32,
}

impl Default for Retention {
    fn default() -> Self {
        Self { minutes: 120, hours: 168, days: 100 }
    }
}

/// Usage in this process, bounded by its [`Retention`].
///
/// Recording an event finds one series (key, operation, outcome) and adds to its open minute;
/// minutes are folded into hours and days when the next one begins.
pub struct MemoryUsage {
    retention: Retention,
    hasher: Hasher,
    shards: Box<[Mutex<Shard>]>,
}

#[derive(Default)]
struct Shard {
    owners: HashTable<Owner>,
    swept: u32,
}

/// All usage of one key, or of requests that showed no known one.
struct Owner {
    key: Option<(KeyId, ConsumerId)>,
    last_used: Timestamp,
    series: Vec<Series>,
}

struct Series {
    operation: Option<Name>,
    outcome: Outcome,
    open: Bucket,
    closed: Box<Closed>,
}

/// Folded buckets by length, oldest first.
#[derive(Default)]
struct Closed {
    minutes: VecDeque<Bucket>,
    hours: VecDeque<Bucket>,
    days: VecDeque<Bucket>,
}

#[derive(Clone, Copy, Default)]
struct Bucket {
    /// Minutes since the epoch: enough for eight thousand years.
    start: u32,
    requests: u64,
    cost: u64,
    latency_micros: u64,
}

impl MemoryUsage {
    /// Usage that is kept so long.
    #[must_use]
    pub fn new(retention: Retention) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self { retention, hasher: Hasher::default(), shards }
    }

    /// How many series are kept: one for each key, operation and outcome that was seen.
    #[must_use]
    pub fn series(&self) -> usize {
        let series =
            |shard: &Shard| shard.owners.iter().map(|owner| owner.series.len()).sum::<usize>();
        self.shards.iter().map(|shard| series(&lock(shard))).sum()
    }

    fn hash(&self, key: Option<KeyId>) -> u64 {
        self.hasher.hash_one(key)
    }

    fn shard(&self, hash: u64) -> Option<MutexGuard<'_, Shard>> {
        // The table inside goes by the low bits and the highest seven.
        let index = usize::try_from((hash >> 32) % SHARDS).ok()?;
        self.shards.get(index).map(lock)
    }
}

impl Default for MemoryUsage {
    fn default() -> Self {
        Self::new(Retention::default())
    }
}

impl fmt::Debug for MemoryUsage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryUsage").field("retention", &self.retention).finish_non_exhaustive()
    }
}

impl UsageStore for MemoryUsage {
    fn record(&self, event: &UsageEvent<'_>) {
        let hash = self.hash(event.key.map(|(id, _)| id));
        let Some(mut shard) = self.shard(hash) else {
            return;
        };
        let minute = minute_of(event.at);
        // Either way: a clock that was set back must not put sweeps off.
        if minute.abs_diff(shard.swept) >= SWEEP_EVERY {
            shard.sweep(minute, &self.retention);
        }
        shard.owner(event, hash, &self.hasher).record(event, minute, &self.retention);
    }

    fn query<'a>(&'a self, query: &'a UsageQuery) -> Answer<'a, Result<Vec<Rollup>, StoreError>> {
        let mut rollups = Vec::new();
        match query.key {
            Some(key) => {
                if let Some(shard) = self.shard(self.hash(Some(key))) {
                    shard.collect(query, &mut rollups);
                }
            }
            None => self.shards.iter().for_each(|shard| lock(shard).collect(query, &mut rollups)),
        }
        rollups.sort_unstable();
        Answer::ready(Ok(rollups))
    }

    fn last_used(&self, key: KeyId) -> Answer<'_, Result<Option<DateTime<Utc>>, StoreError>> {
        let hash = self.hash(Some(key));
        let last_used = self.shard(hash).and_then(|shard| {
            let owner = shard.owners.find(hash, |owner| owner.id() == Some(key));
            owner.map(|owner| owner.last_used.to_datetime())
        });
        Answer::ready(Ok(last_used))
    }
}

impl Shard {
    fn owner(&mut self, event: &UsageEvent<'_>, hash: u64, hasher: &Hasher) -> &mut Owner {
        let id = event.key.map(|(id, _)| id);
        self.owners
            .entry(hash, |owner| owner.id() == id, |owner| hasher.hash_one(owner.id()))
            .or_insert_with(|| Owner {
                key: event.key.map(|(id, consumer)| (id, consumer.clone())),
                last_used: event.at,
                // Most keys have one series; growing by itself the list would make room for four.
                series: Vec::with_capacity(1),
            })
            .into_mut()
    }

    fn collect(&self, query: &UsageQuery, rollups: &mut Vec<Rollup>) {
        let selected = |owner: &&Owner| {
            let consumer = owner.key.as_ref().map(|(_, consumer)| consumer);
            (query.key.is_none() || query.key == owner.id())
                && (query.consumer.is_none() || query.consumer.as_ref() == consumer)
        };
        for owner in self.owners.iter().filter(selected) {
            for series in &owner.series {
                if query.operation.is_none() || query.operation == series.operation {
                    rollups.extend(series.rollups(owner, query));
                }
            }
        }
    }

    /// Drops what is past its retention: buckets, then series without any, then owners without any.
    fn sweep(&mut self, minute: u32, retention: &Retention) {
        self.swept = minute;
        self.owners.retain(|owner| {
            owner.series.retain_mut(|series| series.outlives(minute, retention));
            !owner.series.is_empty()
        });
    }
}

impl Owner {
    fn id(&self) -> Option<KeyId> {
        self.key.as_ref().map(|(id, _)| *id)
    }

    fn record(&mut self, event: &UsageEvent<'_>, minute: u32, retention: &Retention) {
        self.last_used = self.last_used.max(event.at);
        let fact = Bucket {
            start: minute,
            requests: 1,
            cost: event.cost,
            latency_micros: event.latency_micros,
        };
        match self.series.iter_mut().find(|series| series.is_of(event)) {
            Some(series) => series.add(fact, retention),
            None => self.series.push(Series {
                operation: event.operation.cloned(),
                outcome: event.outcome,
                open: fact,
                closed: Box::default(),
            }),
        }
    }
}

impl Series {
    fn is_of(&self, event: &UsageEvent<'_>) -> bool {
        self.outcome == event.outcome
            && match (&self.operation, event.operation) {
                (Some(own), Some(other)) => own.is(other),
                (own, other) => own.is_none() && other.is_none(),
            }
    }

    fn add(&mut self, fact: Bucket, retention: &Retention) {
        if fact.start == self.open.start {
            self.open.absorb(&fact);
        } else if fact.start > self.open.start {
            let closing = std::mem::replace(&mut self.open, fact);
            self.closed.add(closing);
            self.closed.trim(fact.start, retention);
        } else {
            // Events of one minute may arrive after the first of the next.
            self.closed.add(fact);
        }
    }

    fn rollups(&self, owner: &Owner, query: &UsageQuery) -> Vec<Rollup> {
        let open = Bucket { start: floor(self.open.start, query.by), ..self.open };
        let mut buckets = self.closed.by(query.by).clone();
        add_to(&mut buckets, open);
        let in_range = |start: &DateTime<Utc>| query.from <= *start && *start < query.until;
        buckets
            .into_iter()
            .map(|bucket| (start_of(bucket), bucket))
            .filter(|(start, _)| in_range(start))
            .map(|(start, bucket)| Rollup {
                start,
                key: owner.id(),
                consumer: owner.key.as_ref().map(|(_, consumer)| consumer.clone()),
                operation: self.operation.clone(),
                outcome: self.outcome,
                requests: bucket.requests,
                cost: bucket.cost,
                latency_micros: bucket.latency_micros,
            })
            .collect()
    }

    fn outlives(&mut self, minute: u32, retention: &Retention) -> bool {
        self.closed.trim(minute, retention);
        let kept = retention.days.max(1).saturating_mul(minutes_in(Granularity::Day));
        let open_is_kept = self.open.start.saturating_add(kept) > minute;
        open_is_kept || !self.closed.days.is_empty()
    }
}

impl Closed {
    fn by(&self, by: Granularity) -> &VecDeque<Bucket> {
        match by {
            Granularity::Minute => &self.minutes,
            Granularity::Hour => &self.hours,
            Granularity::Day => &self.days,
        }
    }

    fn each(&mut self) -> [(Granularity, &mut VecDeque<Bucket>); 3] {
        [
            (Granularity::Minute, &mut self.minutes),
            (Granularity::Hour, &mut self.hours),
            (Granularity::Day, &mut self.days),
        ]
    }

    fn add(&mut self, bucket: Bucket) {
        for (by, buckets) in self.each() {
            add_to(buckets, Bucket { start: floor(bucket.start, by), ..bucket });
        }
    }

    fn trim(&mut self, minute: u32, retention: &Retention) {
        for (by, buckets) in self.each() {
            let keep = match by {
                Granularity::Minute => retention.minutes,
                Granularity::Hour => retention.hours,
                Granularity::Day => retention.days,
            };
            let oldest = minute.saturating_sub(keep.saturating_mul(minutes_in(by)));
            while buckets.front().is_some_and(|bucket| bucket.start < oldest) {
                buckets.pop_front();
            }
        }
    }
}

impl Bucket {
    fn absorb(&mut self, other: &Self) {
        self.requests = self.requests.saturating_add(other.requests);
        self.cost = self.cost.saturating_add(other.cost);
        self.latency_micros = self.latency_micros.saturating_add(other.latency_micros);
    }
}

/// Adds to the bucket of the same start, or puts a new one where it belongs: nearly always last.
fn add_to(buckets: &mut VecDeque<Bucket>, bucket: Bucket) {
    let place = buckets.partition_point(|before| before.start < bucket.start);
    match buckets.get_mut(place) {
        Some(same) if same.start == bucket.start => same.absorb(&bucket),
        _ => buckets.insert(place, bucket),
    }
}

fn minute_of(at: Timestamp) -> u32 {
    u32::try_from(at.seconds() / Granularity::Minute.seconds()).unwrap_or(u32::MAX)
}

fn minutes_in(by: Granularity) -> u32 {
    u32::try_from(by.seconds() / Granularity::Minute.seconds()).unwrap_or(u32::MAX)
}

fn floor(minute: u32, by: Granularity) -> u32 {
    let length = minutes_in(by).max(1);
    minute / length * length
}

fn start_of(bucket: Bucket) -> DateTime<Utc> {
    let seconds = u64::from(bucket.start) * Granularity::Minute.seconds();
    Timestamp::from_micros(seconds.saturating_mul(1_000_000)).to_datetime()
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    // Whatever a panic elsewhere left here are sums, each of them whole.
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}
