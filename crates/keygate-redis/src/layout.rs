//! Every Redis key, by name. No other room makes one.
//!
//! Keys of one consumer share the hash tag of its id, and therefore a node: what is charged together
//! lies together. Ids are escaped, so that a brace in one cannot move the tag.
//!
//! Everything known of API keys and plans shares the tag `{keys}`: one commit changes several of
//! them at once. These are data, and have no expiry; only the list of replicas has one.

use std::fmt::Write;

use keygate::{
    clock::Timestamp, key::KeyId, plan::Name, port::Owner, record::ConsumerId, usage::Granularity,
};

/// The keys of one installation: everything under one prefix.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    prefix: String,
}

impl Layout {
    pub(crate) fn new(prefix: impl Into<String>) -> Self {
        Self { prefix: prefix.into() }
    }

    /// The counters of a consumer, or of one of its keys (by lineage).
    pub(crate) fn counters(&self, owner: Owner<'_>) -> String {
        match owner {
            Owner::Consumer(consumer) => {
                format!("{}:limits:{{{}}}", self.prefix, Escaped(consumer.as_str()))
            }
            Owner::Key { consumer, key } => {
                format!("{}:limits:{{{}}}:{key}", self.prefix, Escaped(consumer.as_str()))
            }
        }
    }

    /// A sorted set: the slots that requests hold of a concurrency, by when their leases end.
    pub(crate) fn slots(&self, owner: Owner<'_>, limit: &Name) -> String {
        let (consumer, key) = match owner {
            Owner::Consumer(consumer) => (consumer, None),
            Owner::Key { consumer, key } => (consumer, Some(key)),
        };
        let mut name = format!("{}:slots:{{{}}}", self.prefix, Escaped(consumer.as_str()));
        if let Some(key) = key {
            // Writing to a string succeeds.
            let _ = write!(name, ":{key}");
        }
        let _ = write!(name, ":{limit}");
        name
    }

    /// The rollups of a consumer, or of requests without a known key, in the bucket that begins
    /// then.
    pub(crate) fn usage_bucket(
        &self,
        consumer: Option<&ConsumerId>,
        by: Granularity,
        start: Timestamp,
    ) -> String {
        let by = match by {
            Granularity::Minute => "minute",
            Granularity::Hour => "hour",
            Granularity::Day => "day",
        };
        format!("{}:{by}:{}", self.usage(consumer), start.seconds())
    }

    /// Which batch of usage of a consumer was added last, by replica.
    pub(crate) fn usage_marker(&self, consumer: Option<&ConsumerId>) -> String {
        format!("{}:added", self.usage(consumer))
    }

    /// The consumers that have usage.
    pub(crate) fn usage_consumers(&self) -> String {
        format!("{}:usage:consumers", self.prefix)
    }

    /// When a key was last used, and by whom.
    pub(crate) fn used(&self, key: KeyId) -> String {
        format!("{}:used:{key}", self.prefix)
    }

    fn usage(&self, consumer: Option<&ConsumerId>) -> String {
        match consumer {
            Some(consumer) => format!("{}:usage:{{{}}}", self.prefix, Escaped(consumer.as_str())),
            // No consumer has this tag: of one called `~` it is `%7E`.
            None => format!("{}:usage:{{~}}", self.prefix),
        }
    }

    /// A hash: each digest's record, as JSON.
    pub(crate) fn records(&self) -> String {
        self.of_keys("records")
    }

    /// A sorted set of `<id> <digest>`, all of score 0: every record, by id.
    pub(crate) fn ids(&self) -> String {
        self.of_keys("ids")
    }

    /// A sorted set of `<consumer> <id> <digest>`, all of score 0: the records of each consumer, by
    /// id. A consumer's id holds no space, and nothing that sorts before one.
    pub(crate) fn consumers(&self) -> String {
        self.of_keys("consumers")
    }

    /// A hash: how many keys that are not revoked each plan has; plans without any are not in it.
    pub(crate) fn plans_in_use(&self) -> String {
        self.of_keys("plans-in-use")
    }

    /// A stream: what recent commits changed.
    pub(crate) fn changes(&self) -> String {
        self.of_keys("changes")
    }

    /// The channel on which a change is announced.
    pub(crate) fn changed(&self) -> String {
        self.of_keys("changed")
    }

    /// A hash: the text of the plans, its revision, and when it was applied.
    pub(crate) fn plans(&self) -> String {
        self.of_keys("plans")
    }

    /// A sorted set: the replicas, by when each was last heard of.
    pub(crate) fn replicas(&self) -> String {
        self.of_keys("replicas")
    }

    fn of_keys(&self, name: &str) -> String {
        format!("{}:{{keys}}:{name}", self.prefix)
    }
}

/// Text in which nothing means anything to Redis: letters, digits and `.@_-` stand for themselves,
/// every other byte is `%` and two hexadecimal digits.
struct Escaped<'a>(&'a str);

impl std::fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.bytes().try_for_each(|byte| {
            if byte.is_ascii_alphanumeric() || b".@_-".contains(&byte) {
                f.write_char(char::from(byte))
            } else {
                write!(f, "%{byte:02X}")
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_cannot_leave_its_tag() {
        let layout = Layout::new("keygate");
        let consumer = |id: &str| ConsumerId::parse(id).unwrap();
        let counters = |id: &str| layout.counters(Owner::Consumer(&consumer(id)));
        assert_eq!(counters("acme.io"), "keygate:limits:{acme.io}");
        assert_eq!(counters("a}b{:%"), "keygate:limits:{a%7Db%7B%3A%25}");
        let start = Timestamp::from_micros(1_772_323_200_000_000);
        let bucket =
            |consumer: Option<&ConsumerId>| layout.usage_bucket(consumer, Granularity::Day, start);
        assert_eq!(bucket(Some(&consumer("~"))), "keygate:usage:{%7E}:day:1772323200");
        assert_eq!(bucket(None), "keygate:usage:{~}:day:1772323200");
    }

    #[test]
    fn all_of_api_keys_and_plans_shares_one_tag() {
        let layout = Layout::new("keygate");
        assert_eq!(layout.records(), "keygate:{keys}:records");
        for key in [
            layout.ids(),
            layout.consumers(),
            layout.plans_in_use(),
            layout.changes(),
            layout.changed(),
            layout.plans(),
            layout.replicas(),
        ] {
            assert!(key.starts_with("keygate:{keys}:"), "{key}");
        }
    }
}
