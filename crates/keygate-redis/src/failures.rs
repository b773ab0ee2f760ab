use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use keygate::clock::{Clock, SystemClock, Timestamp};

const MICROS_PER_SECOND: u64 = 1_000_000;

/// What went wrong beside the requests, where it comes by the thousand when Redis is unwell. All of it is
/// counted; the log hears of it once a second.
#[derive(Debug, Default)]
pub(crate) struct Failures {
    total: AtomicU64,
    told: AtomicU64,
    /// The second in which the log was told last.
    told_in: AtomicU64,
}

impl Failures {
    pub(crate) fn total(&self) -> u64 {
        self.total.load(Relaxed)
    }

    /// Counts one. If it is time to say so, how many there were since the log was told last.
    pub(crate) fn count(&self) -> Option<u64> {
        self.count_at(SystemClock.now())
    }

    fn count_at(&self, now: Timestamp) -> Option<u64> {
        let total = self.total.fetch_add(1, Relaxed).saturating_add(1);
        let second = now.micros() / MICROS_PER_SECOND;
        let told_in = self.told_in.swap(second, Relaxed);
        (told_in != second).then(|| total.saturating_sub(self.told.swap(total, Relaxed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_hears_of_all_but_once_a_second() {
        let failures = Failures::default();
        let at = |millis: u64| failures.count_at(Timestamp::from_micros(millis * 1_000));
        let told = [5_000, 5_001, 5_999, 6_000, 9_000, 9_001, 8_000].map(at);
        assert_eq!(told, [Some(1), None, None, Some(3), Some(1), None, Some(2)]);
        assert_eq!(failures.total(), 7);
    }
}
