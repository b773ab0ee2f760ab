use std::sync::Arc;

use keygate::clock::Timestamp;
use quick_cache::sync::{Cache, EntryAction, EntryResult};

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
    pub(super) fn remember(&self, owner: &str, value: &Value<'_>) {
        if value.last == 0 {
            return;
        }
        // Compared where it is replaced: of two at once the earlier must not come last.
        let held = self.0.entry(owner, None, |_, known| {
            let is_later =
                |(known, _): (Value<'_>, _)| (known.epoch, known.last) <= (value.epoch, value.last);
            if Value::read(known).ok().is_none_or(is_later) {
                *known = value.bytes.into();
            }
            EntryAction::Retain(())
        });
        if let EntryResult::Vacant(place) = held {
            // Forgotten meanwhile, it is remembered with the next reply.
            let _ = place.insert(value.bytes.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A value without limits, last charged then.
    fn value(last: u64) -> Vec<u8> {
        let (last, expiry) = (last.to_be_bytes(), u64::MAX.to_be_bytes());
        [&[1], &last[1..], &[0; 7], &expiry[2..], &[0; 9]].concat()
    }

    #[test]
    fn replies_that_overtake_each_other_leave_the_latest() {
        const ROUNDS: u64 = 500;
        for _ in 0..20 {
            let seen = Seen::new(10);
            std::thread::scope(|scope| {
                for thread in 0..4 {
                    let seen = &seen;
                    scope.spawn(move || {
                        for round in 0..ROUNDS {
                            let bytes = value(1 + round * 4 + thread);
                            seen.remember("acme", &Value::read(&bytes).unwrap().0);
                        }
                    });
                }
            });
            let latest = seen.recall("acme", Timestamp::from_micros(0)).unwrap();
            assert_eq!(Value::read(&latest).unwrap().0.last, ROUNDS * 4);
        }
    }
}
