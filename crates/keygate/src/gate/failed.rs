use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::clock::Timestamp;

const MICROS_PER_SECOND: u64 = 1_000_000;

/// Requests that a store failed.
///
/// A store that is down fails with every request. All of them are counted; the log hears of them once
/// a second.
#[derive(Debug, Default)]
pub(super) struct Failed {
    total: AtomicU64,
    told: AtomicU64,
    /// The second in which the log was told last.
    told_in: AtomicU64,
}

impl Failed {
    pub(super) fn total(&self) -> u64 {
        self.total.load(Relaxed)
    }

    /// Counts one. If it is time to say so, how many there were since the log was told last.
    pub(super) fn count(&self, at: Timestamp) -> Option<u64> {
        let total = self.total.fetch_add(1, Relaxed).saturating_add(1);
        let second = at.micros() / MICROS_PER_SECOND;
        let told_in = self.told_in.swap(second, Relaxed);
        (told_in != second).then(|| total.saturating_sub(self.told.swap(total, Relaxed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_hears_of_all_but_once_a_second() {
        let failed = Failed::default();
        let at = |millis: u64| Timestamp::from_micros(millis * 1_000);
        let told = [5_000, 5_001, 5_999, 6_000, 9_000, 9_001, 8_000].map(|t| failed.count(at(t)));
        assert_eq!(told, [Some(1), None, None, Some(3), Some(1), None, Some(2)]);
        assert_eq!(failed.total(), 7);
    }
}
