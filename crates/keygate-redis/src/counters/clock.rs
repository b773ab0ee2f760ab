use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use keygate::clock::Timestamp;

/// By so much the clock of Redis may be misjudged: at the turn of a window that costs one more trip.
const CLOCK_TOLERANCE_MICROS: u64 = 1_000;

/// What the clock of Redis shows, as far as can be told from here.
#[derive(Debug, Default)]
pub(super) struct RedisClock {
    /// Microseconds by which it is ahead of ours.
    pub(super) ahead: AtomicI64,
}

impl RedisClock {
    /// When ours showed `own`.
    pub(super) fn as_of(&self, own: Timestamp) -> Timestamp {
        Timestamp::from_micros(own.micros().saturating_add_signed(self.ahead.load(Relaxed)))
    }

    /// It showed `now` when it decided what was asked when ours showed `own`: the next call takes as long
    /// to get there.
    pub(super) fn learn(&self, own: Timestamp, now: Timestamp) {
        let ahead = now.micros().wrapping_sub(own.micros()).cast_signed();
        // Written seldom: whoever reads it would wait for the processor that wrote it.
        if ahead.abs_diff(self.ahead.load(Relaxed)) > CLOCK_TOLERANCE_MICROS {
            self.ahead.store(ahead, Relaxed);
        }
    }
}
