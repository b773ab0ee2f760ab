//! Usage: one event a request, and the rollups that sum them.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{clock::Timestamp, key::KeyId, plan::Name, record::ConsumerId, verdict::Reason};

/// One metered fact.
#[derive(Clone, Copy, Debug)]
pub struct UsageEvent<'a> {
    /// When the request arrived at the gate.
    pub at: Timestamp,
    /// The key, if it is one the store knows.
    pub key: Option<(KeyId, &'a ConsumerId)>,
    /// The operation of the route.
    pub operation: Option<&'a Name>,
    /// How it ended.
    pub outcome: Outcome,
    /// Units it weighed; 0 if it was refused.
    pub cost: u64,
    /// Microseconds from the gate to the head of the response, or to its trailers if they tell how it
    /// ended.
    pub latency_micros: u64,
}

/// How a request ended, as far as usage tells requests apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Outcome {
    /// The service answered.
    Admitted(StatusClass),
    /// The gate refused.
    Denied(Reason),
    /// The client went away, or a timeout gave up, before it was known how the request ends.
    Aborted,
}

impl Outcome {
    /// The service answered with this status, or failed without a response.
    #[must_use]
    pub fn answered(status: Option<u16>) -> Self {
        Self::Admitted(match status.unwrap_or_default() / 100 {
            1 => StatusClass::Informational,
            2 => StatusClass::Success,
            3 => StatusClass::Redirection,
            4 => StatusClass::ClientError,
            _ => StatusClass::ServerError,
        })
    }
}

/// The first digit of a status (RFC 9110, section 15).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StatusClass {
    /// 1xx
    Informational,
    /// 2xx
    Success,
    /// 3xx
    Redirection,
    /// 4xx
    ClientError,
    /// 5xx, and whatever is no response at all
    ServerError,
}

/// How long a bucket of a rollup is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Granularity {
    /// One minute.
    Minute,
    /// One hour, UTC.
    Hour,
    /// One day, UTC.
    Day,
}

impl Granularity {
    /// The length in seconds.
    #[must_use]
    pub const fn seconds(self) -> u64 {
        match self {
            Self::Minute => 60,
            Self::Hour => 3_600,
            Self::Day => 86_400,
        }
    }
}

/// Facts summed over one bucket of time, for one key, operation and outcome.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Rollup {
    /// When the bucket begins.
    pub start: DateTime<Utc>,
    /// The key; none for requests that showed no known key.
    pub key: Option<KeyId>,
    /// Its consumer.
    pub consumer: Option<ConsumerId>,
    /// The operation.
    pub operation: Option<Name>,
    /// How the requests ended.
    pub outcome: Outcome,
    /// How many there were.
    pub requests: u64,
    /// Units they weighed.
    pub cost: u64,
    /// Microseconds spent, all together.
    pub latency_micros: u64,
}

/// Which rollups to return.
///
/// A bucket is selected if it begins in `[from, until)`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UsageQuery {
    /// The length of a bucket.
    pub by: Granularity,
    /// Buckets from this instant on.
    pub from: DateTime<Utc>,
    /// Buckets before this instant.
    pub until: DateTime<Utc>,
    /// Only this key.
    pub key: Option<KeyId>,
    /// Only keys of this consumer.
    pub consumer: Option<ConsumerId>,
    /// Only this operation.
    pub operation: Option<Name>,
}

impl UsageQuery {
    /// All there is, by buckets of this length.
    #[must_use]
    pub fn by(by: Granularity) -> Self {
        Self {
            by,
            from: DateTime::<Utc>::MIN_UTC,
            until: DateTime::<Utc>::MAX_UTC,
            key: None,
            consumer: None,
            operation: None,
        }
    }

    /// Only buckets that begin in `[from, until)`.
    #[must_use]
    pub fn between(self, from: DateTime<Utc>, until: DateTime<Utc>) -> Self {
        Self { from, until, ..self }
    }

    /// Only this key.
    #[must_use]
    pub fn key(self, key: KeyId) -> Self {
        Self { key: Some(key), ..self }
    }

    /// Only keys of this consumer.
    #[must_use]
    pub fn consumer(self, consumer: ConsumerId) -> Self {
        Self { consumer: Some(consumer), ..self }
    }

    /// Only this operation.
    #[must_use]
    pub fn operation(self, operation: Name) -> Self {
        Self { operation: Some(operation), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_fall_into_their_class() {
        let classes = [100, 200, 204, 301, 404, 429, 500, 599, 0, 999]
            .map(|status| Outcome::answered(Some(status)));
        use StatusClass::{ClientError, Informational, Redirection, ServerError, Success};
        let expected = [
            Informational,
            Success,
            Success,
            Redirection,
            ClientError,
            ClientError,
            ServerError,
            ServerError,
            ServerError,
            ServerError,
        ];
        assert_eq!(classes, expected.map(Outcome::Admitted));
        assert_eq!(Outcome::answered(None), Outcome::Admitted(ServerError));
    }
}
