//! The only room that asks what time it is.
//!
//! Everything else is handed a [`Timestamp`], so a test owns time by injecting a [`ManualClock`].

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use chrono::{DateTime, Utc};

/// Whole microseconds since the Unix epoch (UTC, leap seconds not counted).
///
/// Instants before 1970 do not exist here; conversions clamp them to the epoch.
///
/// ```
/// use chrono::{DateTime, Utc};
/// use keygate::clock::Timestamp;
///
/// let at: DateTime<Utc> = "2026-03-01T00:00:00Z".parse()?;
/// assert_eq!(Timestamp::from(at).micros(), 1_772_323_200_000_000);
/// # Ok::<(), chrono::ParseError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The instant `micros` microseconds after the Unix epoch.
    #[must_use]
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Microseconds since the Unix epoch.
    #[must_use]
    pub const fn micros(self) -> u64 {
        self.0
    }

    /// Whole seconds since the Unix epoch, rounded down.
    #[must_use]
    pub const fn seconds(self) -> u64 {
        self.0 / 1_000_000
    }

    /// This instant as a calendar value; the far end of chrono's calendar for anything beyond it.
    #[must_use]
    pub fn to_datetime(self) -> DateTime<Utc> {
        i64::try_from(self.0)
            .ok()
            .and_then(DateTime::from_timestamp_micros)
            .unwrap_or(DateTime::<Utc>::MAX_UTC)
    }

    /// The instant `span` later, at the end of time at the latest.
    #[must_use]
    pub fn saturating_add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(whole_micros(span)))
    }

    /// Microseconds from `earlier` to this instant; zero when `earlier` is later.
    #[must_use]
    pub const fn micros_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl From<DateTime<Utc>> for Timestamp {
    fn from(at: DateTime<Utc>) -> Self {
        Self(u64::try_from(at.timestamp_micros()).unwrap_or(0))
    }
}

impl From<Timestamp> for DateTime<Utc> {
    fn from(at: Timestamp) -> Self {
        at.to_datetime()
    }
}

/// Tells the time.
///
/// A clock may step back. What was counted stays counted: nothing flows back, and no window begins
/// anew, until the clock has caught up.
pub trait Clock: fmt::Debug + Send + Sync {
    /// The current instant.
    fn now(&self) -> Timestamp;
}

/// The wall clock of the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp(nanos_since_epoch() / 1_000)
    }
}

/// The wall clock, read through the processor's own counter of time: what a gate asks unless told
/// otherwise.
///
/// Asking the operating system takes as long as a limit takes to decide. So this clock asks it every
/// ten milliseconds, and in between adds what the counter says has passed. It is at most ten
/// milliseconds late to follow when the wall clock is set, and a few microseconds off when it is not:
/// the counter's pace is measured once in a process, which takes about a millisecond, and no error
/// of it lasts longer than those ten milliseconds. Each of them may end with a small step, forward
/// or back.
///
/// Without a counter that ticks evenly it asks the operating system instead.
#[derive(Debug)]
pub struct AnchoredClock {
    counter: quanta::Clock,
    /// What the counter showed when the wall clock was last asked, in nanoseconds.
    anchored_at: AtomicU64,
    /// How far the wall clock was ahead of it then, modulo 2^64.
    ahead: AtomicU64,
}

/// How long the counter is trusted, in nanoseconds.
const ANCHORED_FOR: u64 = 10_000_000;

impl AnchoredClock {
    /// A clock, set by the operating system's.
    #[must_use]
    pub fn new() -> Self {
        let counter = quanta::Clock::new();
        let clock = Self { counter, anchored_at: AtomicU64::new(0), ahead: AtomicU64::new(0) };
        clock.anchor(clock.ticked());
        clock
    }

    /// Nanoseconds by the counter, since some instant or other.
    fn ticked(&self) -> u64 {
        self.counter.delta_as_nanos(0, self.counter.raw())
    }

    #[cold]
    fn anchor(&self, ticked: u64) -> u64 {
        let ahead = nanos_since_epoch().wrapping_sub(ticked);
        self.ahead.store(ahead, Ordering::Relaxed);
        // Whoever sees this sees the line above, or a later one.
        self.anchored_at.store(ticked, Ordering::Release);
        ahead
    }
}

impl Default for AnchoredClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for AnchoredClock {
    fn now(&self) -> Timestamp {
        let ticked = self.ticked();
        // A counter that was reset while the machine slept lies before its anchor: far away too.
        let since_anchor = ticked.wrapping_sub(self.anchored_at.load(Ordering::Acquire));
        let ahead = if since_anchor < ANCHORED_FOR {
            self.ahead.load(Ordering::Relaxed)
        } else {
            self.anchor(ticked)
        };
        Timestamp(ticked.wrapping_add(ahead) / 1_000)
    }
}

/// A clock that stands still until it is told to move: for tests.
///
/// ```
/// use std::time::Duration;
/// use keygate::clock::{Clock, ManualClock, Timestamp};
///
/// let clock = ManualClock::at(Timestamp::from_micros(5));
/// clock.advance(Duration::from_micros(2));
/// assert_eq!(clock.now().micros(), 7);
/// ```
#[derive(Debug, Default)]
pub struct ManualClock(AtomicU64);

impl ManualClock {
    /// A clock that shows `at`.
    #[must_use]
    pub const fn at(at: Timestamp) -> Self {
        Self(AtomicU64::new(at.0))
    }

    /// Moves the clock forward.
    pub fn advance(&self, span: Duration) {
        self.0.fetch_add(whole_micros(span), Ordering::SeqCst);
    }

    /// Sets the clock, backwards if need be.
    pub fn set(&self, at: Timestamp) {
        self.0.store(at.0, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the clock room")]
fn nanos_since_epoch() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX)
}

fn whole_micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conversions_clamp_instead_of_failing() {
        assert_eq!(Timestamp::from(DateTime::<Utc>::MIN_UTC).micros(), 0);
        assert_eq!(Timestamp::from_micros(u64::MAX).to_datetime(), DateTime::<Utc>::MAX_UTC);
        let end = Timestamp::from_micros(u64::MAX);
        assert_eq!(end.saturating_add(Duration::from_secs(1)), end);
    }

    #[test]
    fn the_system_clock_is_past_2020() {
        assert!(SystemClock.now().seconds() > 1_577_836_800);
    }

    /// Between two looks at the wall clock; a step of its own there would have to end the wait.
    fn assert_follows(clock: &AnchoredClock) {
        const MICROS: u64 = 1_000;
        let agrees = || {
            let (before, shown, after) = (SystemClock.now(), clock.now(), SystemClock.now());
            before.micros_since(shown).max(shown.micros_since(after)) < MICROS
        };
        assert!((0..100).any(|_| agrees()), "{clock:?} at {:?}", SystemClock.now());
    }

    #[test]
    fn an_anchored_clock_follows_the_wall_clock() {
        let clock = AnchoredClock::new();
        assert_follows(&clock);
        let anchored_at = clock.anchored_at.load(Ordering::Relaxed);
        while clock.anchored_at.load(Ordering::Relaxed) == anchored_at {
            clock.now();
        }
        assert_follows(&clock);
    }

    #[test]
    fn an_anchored_clock_outlives_a_counter_that_was_reset_and_a_wall_clock_that_was_set() {
        let clock = AnchoredClock::new();
        let beyond = clock.ticked() + 1_000 * ANCHORED_FOR;
        for wrong in [beyond, 0] {
            clock.anchored_at.store(wrong, Ordering::Relaxed);
            clock.ahead.fetch_add(1_000 * ANCHORED_FOR, Ordering::Relaxed);
            assert_follows(&clock);
        }
    }
}
