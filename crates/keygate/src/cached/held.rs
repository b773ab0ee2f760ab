use std::{sync::Arc, time::Duration};

use hashbrown::DefaultHashBuilder as Hasher;
use quick_cache::{UnitWeighter, sync::Cache};

use super::Settings;
use crate::{clock::Timestamp, key::KeyDigest, port::Found, record::KeyRecord};

/// For how long after a fault a record is answered without asking again.
const PAUSE: Duration = Duration::from_millis(100);

/// What is held: records, and apart from them the digests that are unknown, so that guessed keys
/// push out guessed keys only. A digest is in one of them at most.
pub(super) struct Held {
    pub(super) records: Bounded<Entry>,
    pub(super) unknown: Bounded<Timestamp>,
}

/// Hashed with a seed of its own: clients choose what is looked up.
type Bounded<V> = Cache<KeyDigest, V, UnitWeighter, Hasher>;

#[derive(Clone)]
pub(super) struct Entry {
    pub(super) record: Arc<KeyRecord>,
    /// When the call that brought it began.
    pub(super) loaded: Timestamp,
    /// When the store last failed to bring it anew, if it did not succeed since.
    pub(super) failed: Option<Timestamp>,
}

/// An instant, and up to when everything that changed has been forgotten.
#[derive(Clone, Copy)]
pub(super) struct Moment {
    pub(super) now: Timestamp,
    pub(super) confirmed: Timestamp,
}

impl Held {
    pub(super) fn new(settings: &Settings) -> Self {
        Self { records: bounded(settings.records), unknown: bounded(settings.unknown) }
    }

    /// Keeps what a call that began then was answered now.
    pub(super) fn keep(&self, digest: KeyDigest, found: &Found, began: Timestamp, now: Timestamp) {
        match found {
            Ok(Some(record)) => {
                self.unknown.remove(&digest);
                let record = Arc::clone(record);
                self.records.insert(digest, Entry { record, loaded: began, failed: None });
            }
            Ok(None) => {
                self.records.remove(&digest);
                self.unknown.insert(digest, began);
            }
            Err(_) => {
                if let Some(entry) = self.records.peek(&digest) {
                    let _ =
                        self.records.replace(digest, Entry { failed: Some(now), ..entry }, true);
                }
            }
        }
    }

    pub(super) fn forget(&self, digest: &KeyDigest) {
        self.records.remove(digest);
        self.unknown.remove(digest);
    }

    pub(super) fn forget_all(&self) {
        self.records.clear();
        self.unknown.clear();
    }
}

impl Entry {
    /// Whether the store failed to bring this record just now.
    pub(super) fn is_paused(&self, now: Timestamp) -> bool {
        self.failed.is_some_and(|failed| is_within(failed, PAUSE, now))
    }
}

impl Moment {
    /// Whether something that was loaded then says how the store was less than `age` ago.
    pub(super) fn covers(&self, loaded: Timestamp, age: Duration) -> bool {
        let confirmed = if self.confirmed <= self.now { self.confirmed } else { loaded };
        is_within(loaded.max(confirmed), age, self.now)
    }
}

/// Whether `now` lies in the span that begins at `start`; not before it either, for a clock that was
/// set back would make the span last until it has caught up.
pub(super) fn is_within(start: Timestamp, span: Duration, now: Timestamp) -> bool {
    start <= now && now < start.saturating_add(span)
}

fn bounded<V: Clone>(most: usize) -> Bounded<V> {
    let weight = u64::try_from(most).unwrap_or(u64::MAX);
    Cache::with(most, weight, UnitWeighter, Hasher::default(), Default::default())
}
