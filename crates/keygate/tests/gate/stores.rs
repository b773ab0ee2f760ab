//! Stores that fail when told to.

use std::{
    future::pending,
    num::NonZeroU64,
    sync::{Arc, Mutex},
};

use keygate::{
    key::{KeyDigest, KeyId},
    limit::Readings,
    port::{Answer, Charge, Commit, CounterStore, KeyFilter, KeyStore, Owner, StoreError},
    record::KeyRecord,
};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mood {
    #[default]
    Well,
    /// Every call is a fault.
    Broken,
    /// No call ever ends.
    Silent,
    /// Counters answer without a reading.
    Mute,
}

/// A store, and how it does.
#[derive(Debug)]
pub(crate) struct Moody<S> {
    store: S,
    mood: Mutex<Mood>,
    replicas: NonZeroU64,
}

impl<S> Moody<S> {
    pub(crate) fn new(store: S) -> Arc<Self> {
        Self::shared_by(1, store)
    }

    /// A store that so many processes share.
    pub(crate) fn shared_by(replicas: u64, store: S) -> Arc<Self> {
        let replicas = NonZeroU64::new(replicas).unwrap();
        Arc::new(Self { store, mood: Mutex::default(), replicas })
    }

    pub(crate) fn turn(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    fn mood(&self) -> Mood {
        *self.mood.lock().unwrap()
    }
}

impl KeyStore for Moody<keygate::memory::MemoryKeys> {
    fn find<'a>(
        &'a self,
        digest: &'a KeyDigest,
    ) -> Answer<'a, Result<Option<Arc<KeyRecord>>, StoreError>> {
        match self.mood() {
            Mood::Well => self.store.find(digest),
            Mood::Silent => Answer::later(pending()),
            Mood::Broken | Mood::Mute => Answer::later(async { Err(StoreError::new("broken")) }),
        }
    }

    fn load(&self, id: KeyId) -> Answer<'_, Result<Option<Arc<KeyRecord>>, StoreError>> {
        self.store.load(id)
    }

    fn list<'a>(
        &'a self,
        filter: &'a KeyFilter,
    ) -> Answer<'a, Result<Vec<Arc<KeyRecord>>, StoreError>> {
        self.store.list(filter)
    }

    fn commit<'a>(&'a self, records: &'a [KeyRecord]) -> Answer<'a, Result<Commit, StoreError>> {
        self.store.commit(records)
    }
}

impl CounterStore for Moody<keygate::memory::MemoryCounters> {
    fn charge<'a>(&'a self, charge: &'a Charge<'a>) -> Answer<'a, Result<Readings, StoreError>> {
        match self.mood() {
            Mood::Well => self.store.charge(charge),
            Mood::Broken => Answer::later(async { Err(StoreError::new("broken")) }),
            Mood::Silent => Answer::later(pending()),
            Mood::Mute => Answer::later(async { Ok(Readings::new()) }),
        }
    }

    fn reset<'a>(&'a self, owner: Owner<'a>) -> Answer<'a, Result<(), StoreError>> {
        self.store.reset(owner)
    }

    fn replicas(&self) -> NonZeroU64 {
        self.replicas
    }
}
