//! A cache by a manual clock, before a store that does as it is told.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use keygate::{
    cached::{CachedKeys, Settings},
    clock::{Clock, ManualClock, Timestamp},
    key::{Digester, KeyDigest, KeyId},
    port::{Answer, Commit, KeyStore, StoreError},
    record::KeyRecord,
};

use crate::rigged::RiggedKeys;

pub(crate) const MICRO: Duration = Duration::from_micros(1);
pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const MAX_AGE: Duration = Duration::from_secs(5);
pub(crate) const UNKNOWN_MAX_AGE: Duration = SECOND;
pub(crate) const IF_UNAVAILABLE: Duration = Duration::from_secs(300);

pub(crate) type Found = Result<Option<Arc<KeyRecord>>, StoreError>;

pub(crate) struct Bench {
    pub(crate) store: Arc<RiggedKeys>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) cached: CachedKeys,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::with(Settings::default())
    }

    pub(crate) fn with(settings: Settings) -> Self {
        let store = Arc::new(RiggedKeys::default());
        let clock = Arc::new(ManualClock::at(Timestamp::from_micros(1_780_000_000_000_000)));
        let cached = CachedKeys::new(Arc::clone(&store) as _, Arc::clone(&clock) as _, settings);
        Self { store, clock, cached }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Sets the clock back.
    pub(crate) fn rewind(&self, span: Duration) {
        let micros = u64::try_from(span.as_micros()).unwrap();
        self.clock.set(Timestamp::from_micros(self.now().micros() - micros));
    }

    /// A new record in the store, by somebody else.
    pub(crate) fn issued(&self) -> KeyRecord {
        let record = record();
        self.write(&record);
        record
    }

    /// The next revision of a record in the store, by somebody else.
    pub(crate) fn changed(&self, record: &KeyRecord) -> KeyRecord {
        let next = next(record);
        self.write(&next);
        next
    }

    pub(crate) fn write(&self, record: &KeyRecord) {
        let commit = pollster::block_on(self.store.keys.commit(std::slice::from_ref(record)));
        assert_eq!(commit.unwrap(), Commit::Done);
    }

    /// What is answered by a store that does not make anybody wait.
    #[track_caller]
    pub(crate) fn find(&self, digest: &KeyDigest) -> Found {
        answered(&mut self.cached.find(digest))
    }

    /// The revision that is answered for a record's digest.
    #[track_caller]
    pub(crate) fn revision(&self, record: &KeyRecord) -> Option<u64> {
        self.find(&record.digest).unwrap().map(|found| found.revision)
    }

    /// The revision that is answered, and how often the store was asked for it.
    #[track_caller]
    pub(crate) fn asks(&self, record: &KeyRecord) -> (Option<u64>, usize) {
        let before = self.store.finds();
        let revision = self.revision(record);
        (revision, self.store.finds() - before)
    }
}

/// A record that no store has.
pub(crate) fn record() -> KeyRecord {
    let id = KeyId::random().unwrap();
    let digest = Digester::sha256().digest(id.to_string().as_bytes());
    serde_json::from_value(serde_json::json!({
        "id": id,
        "digest": digest,
        "hint": "kg_test_…1234",
        "consumer": "acme",
        "plan": "free",
        "status": "active",
        "created": "2026-05-01T00:00:00Z",
        "lineage": id,
        "revision": 0,
    }))
    .unwrap()
}

pub(crate) fn next(record: &KeyRecord) -> KeyRecord {
    let mut next = record.clone();
    next.revision += 1;
    next
}

/// The digest of a key that somebody guessed.
pub(crate) fn guess(number: usize) -> KeyDigest {
    Digester::sha256().digest(format!("guess {number}").as_bytes())
}

/// Polls once.
pub(crate) fn poll<T: Unpin>(answer: &mut Answer<'_, T>) -> Poll<T> {
    Pin::new(answer).poll(&mut Context::from_waker(Waker::noop()))
}

#[track_caller]
pub(crate) fn answered<T: Unpin>(answer: &mut Answer<'_, T>) -> T {
    match poll(answer) {
        Poll::Ready(answer) => answer,
        Poll::Pending => panic!("it still waits"),
    }
}
