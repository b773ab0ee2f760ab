use std::sync::Arc;

use keygate::clock::Timestamp;
use quick_cache::sync::Cache;

use super::format::Value;

/// What this replica last saw of each owner's counters.
///
/// Within the life of a value its usage only grows, so whatever was ever seen is a lower bound of what
/// is used. A Redis that lost writes, in a fail-over, by eviction or a flush, is told.
#[derive(Debug)]
pub(super) struct Seen(Cache<String, Arc<[u8]>>);

impl Seen {
    /// Remembers so many owners at most.
    pub(super) fn new(most: usize) -> Self {
        Self(Cache::new(most))
    }

    /// The value last seen, unless it says nothing any more.
    pub(super) fn recall(&self, owner: &str, now: Timestamp) -> Option<Arc<[u8]>> {
        let seen = self.0.get(owner)?;
        let (value, _) = Value::read(&seen).ok()?;
        (value.expiry > now.micros() / 1_000).then_some(seen)
    }

    /// Remembers a value, unless a later one is remembered: replies may overtake each other. One that
    /// was never charged is not stored either.
    pub(super) fn remember(&self, owner: String, value: &Value<'_>) {
        if value.last == 0 {
            return;
        }
        let known = self.0.get(&owner);
        let known = known.as_deref().and_then(|bytes| Value::read(bytes).ok());
        if known.is_none_or(|(known, _)| (known.epoch, known.last) <= (value.epoch, value.last)) {
            self.0.insert(owner, value.bytes.into());
        }
    }
}
