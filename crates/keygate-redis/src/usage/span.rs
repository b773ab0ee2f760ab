//! Buckets of time: where they begin, and how long they are kept.

use std::time::Duration;

use keygate::{clock::Timestamp, memory::Retention, usage::Granularity};

pub(super) const LENGTHS: [Granularity; 3] =
    [Granularity::Minute, Granularity::Hour, Granularity::Day];

/// Minutes since the epoch: enough for eight thousand years.
pub(super) fn minute_of(at: Timestamp) -> u32 {
    u32::try_from(at.seconds() / Granularity::Minute.seconds()).unwrap_or(u32::MAX)
}

/// The minute with which the bucket of a minute begins.
pub(super) fn floor(minute: u32, by: Granularity) -> u32 {
    minute / minutes_in(by) * minutes_in(by)
}

/// When a minute begins.
pub(super) fn instant_of(minute: u32) -> Timestamp {
    let seconds = u64::from(minute) * Granularity::Minute.seconds();
    Timestamp::from_micros(seconds.saturating_mul(1_000_000))
}

/// The starts of the buckets that a store may still have, oldest first: as many as are kept, the
/// one of now, and the next, for clocks that are a little ahead.
pub(super) fn kept(
    retention: &Retention,
    by: Granularity,
    now: Timestamp,
) -> impl Iterator<Item = u32> + use<> {
    let length = minutes_in(by);
    let current = floor(minute_of(now), by);
    let oldest = minute_of(now).saturating_sub(count(retention, by).saturating_mul(length));
    let first = oldest.div_ceil(length).saturating_mul(length);
    let after = current.saturating_add(length.saturating_mul(2));
    (first..after).step_by(usize::try_from(length).unwrap_or(usize::MAX))
}

/// How long a bucket is still to be kept, no longer than a new one; none if it is past that.
pub(super) fn life(
    retention: &Retention,
    by: Granularity,
    start: u32,
    now: Timestamp,
) -> Option<Duration> {
    let whole = longest(retention, by);
    let end = instant_of(start).saturating_add(whole);
    let left = Duration::from_micros(end.micros_since(now)).min(whole);
    (left.as_millis() > 0).then_some(left)
}

/// How long a bucket that begins now is kept: until its last second is past the retention.
pub(super) fn longest(retention: &Retention, by: Granularity) -> Duration {
    Duration::from_secs(by.seconds()).saturating_mul(count(retention, by).saturating_add(1))
}

fn minutes_in(by: Granularity) -> u32 {
    match by {
        Granularity::Minute => 1,
        Granularity::Hour => 60,
        Granularity::Day => 1_440,
    }
}

fn count(retention: &Retention, by: Granularity) -> u32 {
    match by {
        Granularity::Minute => retention.minutes,
        Granularity::Hour => retention.hours,
        Granularity::Day => retention.days,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u32 = 29_538_721;

    #[test]
    fn as_many_buckets_are_read_as_are_kept_and_the_next() {
        let retention = Retention { minutes: 2, hours: 1, days: 0 };
        let kept = |by| kept(&retention, by, instant_of(NOW)).collect::<Vec<_>>();
        assert_eq!(kept(Granularity::Minute), [NOW - 2, NOW - 1, NOW, NOW + 1]);
        let hour = floor(NOW, Granularity::Hour);
        assert_eq!(kept(Granularity::Hour), [hour, hour + 60]);
        let day = floor(NOW, Granularity::Day);
        assert_eq!(kept(Granularity::Day), [day + 1_440]);
    }

    #[test]
    fn a_bucket_lives_until_its_last_second_is_past_the_retention() {
        let retention = Retention { minutes: 2, hours: 1, days: 1 };
        let life = |start| life(&retention, Granularity::Minute, start, instant_of(NOW));
        assert_eq!(life(NOW), Some(Duration::from_secs(180)));
        assert_eq!(life(NOW - 2), Some(Duration::from_secs(60)));
        assert_eq!(life(NOW - 3), None);
        assert_eq!(life(NOW + 1_000_000), Some(Duration::from_secs(180)), "a clock far ahead");
    }
}
