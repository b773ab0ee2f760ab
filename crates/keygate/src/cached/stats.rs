use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What a [`CachedKeys`](super::CachedKeys) did since it was made, and what it holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Answered with a record that was fresh.
    pub hits: u64,
    /// Answered as unknown without asking the store.
    pub unknown_hits: u64,
    /// Not answered from here: the store was asked, or a call under way was waited for.
    pub misses: u64,
    /// Answered with a record past its age because the store failed. Those that found out that it
    /// does are among the misses too.
    pub stale: u64,
    /// Records held, those past their age included.
    pub records: usize,
    /// Unknown digests held, those past their age included.
    pub unknown: usize,
    /// Calls of the store under way.
    pub in_flight: usize,
}

/// The counters of one shard.
#[derive(Default)]
pub(super) struct Tally {
    hits: AtomicU64,
    unknown_hits: AtomicU64,
    misses: AtomicU64,
    stale: AtomicU64,
}

impl Tally {
    pub(super) fn hit(&self) {
        self.hits.fetch_add(1, Relaxed);
    }

    pub(super) fn unknown_hit(&self) {
        self.unknown_hits.fetch_add(1, Relaxed);
    }

    pub(super) fn miss(&self) {
        self.misses.fetch_add(1, Relaxed);
    }

    pub(super) fn stale(&self) {
        self.stale.fetch_add(1, Relaxed);
    }

    pub(super) fn add_to(&self, stats: &mut Stats) {
        let add = |sum: &mut u64, counter: &AtomicU64| {
            *sum = sum.saturating_add(counter.load(Relaxed));
        };
        add(&mut stats.hits, &self.hits);
        add(&mut stats.unknown_hits, &self.unknown_hits);
        add(&mut stats.misses, &self.misses);
        add(&mut stats.stale, &self.stale);
    }
}
