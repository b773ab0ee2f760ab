use std::time::Duration;

use keygate::memory::Retention;

/// How usage is kept and brought to Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UsageOptions {
    /// How many buckets of each length are kept.
    pub retention: Retention,
    /// How long events are summed in this process before they are brought to Redis, give or take a
    /// quarter; longer while Redis is away. A second by default, ten milliseconds at least.
    pub every: Duration,
    /// How long Redis may take for one call; two seconds by default.
    pub within: Duration,
    /// How long a query may take, all its calls together; ten seconds by default.
    pub query_within: Duration,
    /// How many series (minute, key, operation and outcome) this process holds at most; 100,000 by
    /// default, of perhaps 200 bytes each. One half is for the events since the last flush, the
    /// other for what waits for Redis.
    ///
    /// Where there is no more room, no request is lost, but detail is. What waits is summed by the
    /// hour instead of the minute; if that is not enough, events that belong to no series which is
    /// already there lose their key, consumer and operation, and count for their outcome only.
    pub most_series: usize,
}

impl Default for UsageOptions {
    fn default() -> Self {
        Self {
            retention: Retention::default(),
            every: Duration::from_secs(1),
            within: Duration::from_secs(2),
            query_within: Duration::from_secs(10),
            most_series: 100_000,
        }
    }
}
