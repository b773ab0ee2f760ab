use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use keygate::clock::Timestamp;
use tokio::time::Instant;

use crate::clock::now;

/// What became of usage in this process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct UsageStats {
    /// Series that are summed here and not yet in Redis.
    pub series: usize,
    /// Batches that Redis has added to its rollups.
    pub batches: u64,
    /// Events that lost their key, consumer and operation because there was no room.
    pub folded: u64,
    /// Events that some rollup will never have: a Redis key of ours held what we did not write, or
    /// no answer came for so long that adding them again might have counted them twice.
    pub dropped: u64,
    /// When everything recorded before was last in Redis.
    pub flushed: Option<Timestamp>,
}

/// The figures that change.
#[derive(Debug, Default)]
pub(super) struct Figures {
    pub(super) batches: AtomicU64,
    pub(super) folded: AtomicU64,
    pub(super) dropped: AtomicU64,
    /// Microseconds since the epoch; 0 for never.
    pub(super) flushed: AtomicU64,
    /// As many folded events as the log was told of.
    pub(super) folds_told: AtomicU64,
    waiting: AtomicUsize,
}

impl Figures {
    /// How many series wait for Redis.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Relaxed)
    }

    pub(super) fn show_waiting(&self, series: usize) {
        self.waiting.store(series, Relaxed);
    }

    pub(super) fn flushed(&self) -> Option<Timestamp> {
        match self.flushed.load(Relaxed) {
            0 => None,
            micros => Some(Timestamp::from_micros(micros)),
        }
    }
}

/// Lets something be said once in a while.
#[derive(Debug, Default)]
pub(super) struct Throttle(Mutex<Option<Instant>>);

impl Throttle {
    const PAUSE: Duration = Duration::from_secs(10);

    pub(super) fn may_speak(&self) -> bool {
        let mut spoke = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let may = spoke.is_none_or(|spoke| spoke.elapsed() >= Self::PAUSE);
        if may {
            *spoke = Some(now());
        }
        may
    }
}
