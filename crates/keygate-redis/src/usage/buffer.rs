//! What was recorded and not yet taken by the flush: the only part that requests touch.

use std::{
    hash::BuildHasher,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use hashbrown::{DefaultHashBuilder as Hasher, HashTable};
use keygate::usage::UsageEvent;

use super::{
    series::{Facts, Series, Sums},
    span::minute_of,
};

/// A power of two, well above the number of cores.
const SHARDS: u64 = 64;

/// Sums by minute, consumer, key, operation and outcome; no more than so many.
pub(super) struct Buffer {
    most: usize,
    held: AtomicUsize,
    folded: AtomicU64,
    hasher: Hasher,
    shards: Box<[Mutex<HashTable<Series>>]>,
}

impl Buffer {
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            held: AtomicUsize::new(0),
            folded: AtomicU64::new(0),
            hasher: Hasher::default(),
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
        }
    }

    /// Adds an event to its series, or, where there is no room for that, to the sums of the hour.
    pub(super) fn record(&self, event: &UsageEvent<'_>) {
        if self.add(event) {
            return;
        }
        let series = Series::of(event);
        self.folded.fetch_add(u64::from(series.has_detail()), Ordering::Relaxed);
        let series = series.folded();
        if let Some(mut shard) = self.shard(self.hash_of(&series.facts)) {
            self.insert(&mut shard, series);
        }
    }

    /// Takes what is there.
    pub(super) fn drain(&self) -> Vec<Series> {
        let mut drained = Vec::new();
        for shard in &self.shards {
            let expected = lock(shard).len();
            if expected > 0 {
                // Made while requests go on, and as large: the next second is like the last.
                let spare = HashTable::with_capacity(expected);
                drained.extend(std::mem::replace(&mut *lock(shard), spare));
            }
        }
        self.held.fetch_sub(drained.len(), Ordering::Relaxed);
        drained
    }

    /// How many series are in it.
    pub(super) fn len(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// How many events lost their key and operation for want of room.
    pub(super) fn folded(&self) -> u64 {
        self.folded.load(Ordering::Relaxed)
    }

    /// Whether there was room.
    fn add(&self, event: &UsageEvent<'_>) -> bool {
        let hash = self.hash(event);
        let Some(mut shard) = self.shard(hash) else { return true };
        if let Some(series) = shard.find_mut(hash, |series| is_of(series, event)) {
            series.sums.absorb(Sums::of(event));
            series.latest = series.latest.max(event.at);
            return true;
        }
        let has_room = self.len() < self.most;
        if has_room {
            self.insert(&mut shard, Series::of(event));
        }
        has_room
    }

    fn insert(&self, shard: &mut HashTable<Series>, new: Series) {
        let hash = self.hash_of(&new.facts);
        let same = |held: &Series| held.facts == new.facts && held.consumer == new.consumer;
        if let Some(held) = shard.find_mut(hash, same) {
            held.sums.absorb(new.sums);
            held.latest = held.latest.max(new.latest);
        } else {
            shard.insert_unique(hash, new, |series| self.hash_of(&series.facts));
            self.held.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn hash_of(&self, facts: &Facts) -> u64 {
        let operation = facts.operation.as_ref();
        self.hasher.hash_one((facts.minute, facts.key, operation, facts.outcome))
    }

    fn hash(&self, event: &UsageEvent<'_>) -> u64 {
        let key = event.key.map(|(key, _)| key);
        self.hasher.hash_one((minute_of(event.at), key, event.operation, event.outcome))
    }

    fn shard(&self, hash: u64) -> Option<MutexGuard<'_, HashTable<Series>>> {
        // The table inside goes by the low bits and the highest seven.
        let index = usize::try_from((hash >> 32) % SHARDS).ok()?;
        self.shards.get(index).map(lock)
    }
}

fn is_of(series: &Series, event: &UsageEvent<'_>) -> bool {
    let facts = &series.facts;
    facts.minute == minute_of(event.at)
        && facts.key == event.key.map(|(key, _)| key)
        && facts.outcome == event.outcome
        && facts.operation.as_ref() == event.operation
        && series.consumer.as_ref() == event.key.map(|(_, consumer)| consumer)
}

fn lock(shard: &Mutex<HashTable<Series>>) -> MutexGuard<'_, HashTable<Series>> {
    // Whatever a panic elsewhere left here are sums, each of them whole.
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}
