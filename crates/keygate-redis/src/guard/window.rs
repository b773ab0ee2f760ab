//! How many calls of the last two seconds failed.

use std::sync::atomic::{AtomicU64, Ordering};

const BUCKETS: usize = 8;
const BUCKET_MILLIS: u64 = 250;

/// Counts of the last two seconds, in buckets that are used in turn. One atomic word each: which turn
/// it is for (24 bits), calls and failures (20 bits each, where they stop).
#[derive(Debug, Default)]
pub(super) struct Window([AtomicU64; BUCKETS]);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) calls: u64,
    pub(super) failures: u64,
}

impl Window {
    pub(super) fn record(&self, failed: bool, millis: u64) {
        let turn = turn(millis);
        let place = usize::try_from(turn).unwrap_or(0) % BUCKETS;
        let Some(bucket) = self.0.get(place) else { return };
        let added = |word| Some(Bucket::read(word).at(turn).with(failed).word());
        // The update never declines, so it never fails.
        let _ = bucket.fetch_update(Ordering::Relaxed, Ordering::Relaxed, added);
    }

    pub(super) fn tally(&self, millis: u64) -> Tally {
        let turn = turn(millis);
        let buckets = self.0.iter().map(|word| Bucket::read(word.load(Ordering::Relaxed)));
        let recent = buckets.filter(|bucket| {
            turn.wrapping_sub(bucket.turn) & TURN_MASK < u64::try_from(BUCKETS).unwrap_or(u64::MAX)
        });
        recent.fold(Tally::default(), |sum, bucket| Tally {
            calls: sum.calls.saturating_add(bucket.tally.calls),
            failures: sum.failures.saturating_add(bucket.tally.failures),
        })
    }

    pub(super) fn clear(&self) {
        self.0.iter().for_each(|bucket| bucket.store(0, Ordering::Relaxed));
    }
}

const COUNT_BITS: u32 = 20;
const COUNT_MASK: u64 = (1 << COUNT_BITS) - 1;
const TURN_MASK: u64 = (1 << 24) - 1;

fn turn(millis: u64) -> u64 {
    (millis / BUCKET_MILLIS) & TURN_MASK
}

struct Bucket {
    turn: u64,
    tally: Tally,
}

impl Bucket {
    const fn read(word: u64) -> Self {
        let (calls, failures) = ((word >> COUNT_BITS) & COUNT_MASK, word & COUNT_MASK);
        Self { turn: word >> (2 * COUNT_BITS), tally: Tally { calls, failures } }
    }

    const fn word(&self) -> u64 {
        (self.turn << (2 * COUNT_BITS)) | (self.tally.calls << COUNT_BITS) | self.tally.failures
    }

    /// This bucket, empty if it was for another turn.
    fn at(self, turn: u64) -> Self {
        if self.turn == turn { self } else { Self { turn, tally: Tally::default() } }
    }

    fn with(mut self, failed: bool) -> Self {
        if self.tally.calls < COUNT_MASK {
            self.tally.calls = self.tally.calls.saturating_add(1);
            self.tally.failures = self.tally.failures.saturating_add(u64::from(failed));
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_older_than_two_seconds_no_longer_counts() {
        let window = Window::default();
        (0..10).for_each(|_| window.record(true, 100));
        window.record(false, 1_600);
        assert_eq!(window.tally(1_600), Tally { calls: 11, failures: 10 });
        assert_eq!(window.tally(1_999), Tally { calls: 11, failures: 10 });
        assert_eq!(window.tally(2_100), Tally { calls: 1, failures: 0 });
        window.record(true, 2_100);
        assert_eq!(window.tally(2_100), Tally { calls: 2, failures: 1 });
    }

    #[test]
    fn turns_may_wrap_and_counts_stop_at_their_end() {
        let window = Window::default();
        let last = TURN_MASK * BUCKET_MILLIS;
        window.record(true, last);
        assert_eq!(window.tally(last + BUCKET_MILLIS), Tally { calls: 1, failures: 1 });
        (0..=COUNT_MASK).for_each(|_| window.record(true, last));
        assert_eq!(window.tally(last), Tally { calls: COUNT_MASK, failures: COUNT_MASK });
    }

    #[test]
    fn a_cleared_window_is_empty() {
        let window = Window::default();
        window.record(true, 700);
        window.clear();
        assert_eq!(window.tally(700), Tally::default());
    }
}
