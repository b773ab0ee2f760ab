//! The last window found, so that the hot path does no calendar work.
//!
//! Start and end share one atomic word. Two words could be read between two writes and give the
//! start of one window with the end of another; one word is always a window that was computed as a
//! whole, without a lock. `Relaxed` is enough because the word guards no other memory.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::clock::Timestamp;

use super::window::Window;

/// Low bits hold the length in seconds (48 days), the others the start (until the year 141,000).
const LENGTH_BITS: u32 = 22;
const MICROS_PER_SECOND: u64 = 1_000_000;

/// At most one window. Zero stands for none: as a window it would contain no instant.
#[derive(Debug)]
pub(super) struct WindowCache(AtomicU64);

impl WindowCache {
    pub(super) const fn empty() -> Self {
        Self(AtomicU64::new(0))
    }

    /// The kept window, if `at` lies in it.
    pub(super) fn find(&self, at: Timestamp) -> Option<Window> {
        let window = unpack(self.0.load(Ordering::Relaxed));
        window.contains(at).then_some(window)
    }

    /// Keeps `window`, if it fits, and hands it back.
    pub(super) fn keep(&self, window: Window) -> Window {
        if let Some(word) = pack(window) {
            self.0.store(word, Ordering::Relaxed);
        }
        window
    }
}

fn pack(window: Window) -> Option<u64> {
    let start = window.start.seconds();
    let length = window.end.seconds().saturating_sub(start);
    let word = (start << LENGTH_BITS) | length;
    (unpack(word) == window).then_some(word)
}

fn unpack(word: u64) -> Window {
    let start = word >> LENGTH_BITS;
    let length = word & ((1 << LENGTH_BITS) - 1);
    let instant = |seconds: u64| Timestamp::from_micros(seconds.saturating_mul(MICROS_PER_SECOND));
    Window { start: instant(start), end: instant(start.saturating_add(length)) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn window(start_micros: u64, end_micros: u64) -> Window {
        Window {
            start: Timestamp::from_micros(start_micros),
            end: Timestamp::from_micros(end_micros),
        }
    }

    #[test]
    fn an_empty_cache_finds_nothing() {
        let cache = WindowCache::empty();
        assert_eq!(cache.find(Timestamp::default()), None);
        assert_eq!(cache.find(Timestamp::from_micros(u64::MAX)), None);
    }

    #[test]
    fn the_last_window_is_found_inside_its_bounds_only() {
        let cache = WindowCache::empty();
        let (early, late) = (window(0, 5_000_000), window(5_000_000, 9_000_000));
        cache.keep(early);
        assert_eq!(cache.find(early.start), Some(early));
        assert_eq!(cache.find(early.end), None);
        cache.keep(late);
        assert_eq!(cache.find(early.start), None);
        assert_eq!(cache.find(late.start), Some(late));
    }

    #[test]
    fn a_window_that_does_not_fit_is_not_kept() {
        let longest = (1 << LENGTH_BITS) - 1;
        let cache = WindowCache::empty();
        for odd in [
            window(1, 1_000_000),
            window(0, 1_000_001),
            window(0, (longest + 1) * MICROS_PER_SECOND),
            window(0, u64::MAX),
        ] {
            assert_eq!(cache.keep(odd), odd);
            assert_eq!(cache.find(odd.start), None, "{odd:?}");
        }
        let fits = window(0, longest * MICROS_PER_SECOND);
        cache.keep(fits);
        assert_eq!(cache.find(fits.start), Some(fits));
    }

    proptest! {
        #[test]
        fn whole_seconds_survive_packing(start in 0_u64..1 << 42, length in 1_u64..1 << LENGTH_BITS) {
            let end = (start + length) * MICROS_PER_SECOND;
            let window = window(start * MICROS_PER_SECOND, end);
            prop_assert_eq!(pack(window).map(unpack), Some(window));
        }
    }
}
