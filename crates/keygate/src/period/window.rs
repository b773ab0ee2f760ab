//! A span of time.

use crate::clock::Timestamp;

/// A half-open span of time, `[start, end)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    pub(super) start: Timestamp,
    pub(super) end: Timestamp,
}

impl Window {
    /// The first instant inside.
    #[must_use]
    pub const fn start(self) -> Timestamp {
        self.start
    }

    /// The first instant after.
    #[must_use]
    pub const fn end(self) -> Timestamp {
        self.end
    }

    /// Whether `at` lies inside.
    #[must_use]
    pub fn contains(self, at: Timestamp) -> bool {
        self.start <= at && at < self.end
    }

    /// The length in whole seconds, rounded up; at least 1.
    #[must_use]
    pub fn seconds(self) -> u64 {
        let micros = self.end.micros_since(self.start);
        micros.div_ceil(1_000_000).max(1)
    }
}
