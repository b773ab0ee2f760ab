//! Failures of a backend, for its log.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::clock::Timestamp;

/// Counts what a backend failed to do.
///
/// A store that is down fails with every request. All of that is counted; the log hears of it once a second.
/// For stores of your own, too.
///
/// ```
/// use keygate::clock::{Clock, SystemClock};
/// use keygate::failures::Failures;
///
/// # fn warn(_: u64) {}
/// let failures = Failures::default();
/// if let Some(failed) = failures.count(SystemClock.now()) {
///     warn(failed);
/// }
/// assert_eq!(failures.total(), 1);
/// ```
#[derive(Debug, Default)]
pub struct Failures {
    total: AtomicU64,
    told: AtomicU64,
    /// The second in which the log was told last.
    told_in: AtomicU64,
}

impl Failures {
    /// How many there were.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total.load(Relaxed)
    }

    /// Counts one. If it is time to say so, how many there were since the log was told last.
    #[must_use = "the log is to hear of it"]
    pub fn count(&self, at: Timestamp) -> Option<u64> {
        let total = self.total.fetch_add(1, Relaxed).saturating_add(1);
        let second = at.seconds();
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
        let at = |millis: u64| failures.count(Timestamp::from_micros(millis * 1_000));
        let told = [5_000, 5_001, 5_999, 6_000, 9_000, 9_001, 8_000].map(at);
        assert_eq!(told, [Some(1), None, None, Some(3), Some(1), None, Some(2)]);
        assert_eq!(failures.total(), 7);
    }
}
