use std::{
    hash::BuildHasher,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{
            AtomicU64,
            Ordering::{AcqRel, Acquire, Relaxed, Release},
        },
    },
};

use hashbrown::DefaultHashBuilder as Hasher;

use super::{
    Settings, Stats,
    flights::{Flight, Flights},
    held::{Entry, Held, Moment, is_within},
    stats::Tally,
};
use crate::{
    clock::{Clock, Timestamp},
    key::KeyDigest,
    port::{BoxFuture, Found, KeyStore, StoreError},
    record::KeyRecord,
};

/// A power of two, well above the number of cores.
const SHARDS: u64 = 64;

/// How far a clock may go back unnoticed: threads read it at slightly different times.
const STEP_MICROS: u64 = 1_000_000;

/// At most one line of log in this time, however many requests are answered with stale records.
const WARN_EVERY_MICROS: u64 = 10_000_000;

/// What the handles of a cache share.
pub(super) struct Cache {
    pub(super) store: Arc<dyn KeyStore>,
    clock: Arc<dyn Clock>,
    settings: Settings,
    held: Held,
    /// Everything that changed before has been forgotten, in microseconds since the epoch.
    confirmed: AtomicU64,
    /// The latest instant that any call began at.
    latest: AtomicU64,
    warned: AtomicU64,
    hasher: Hasher,
    shards: Box<[Shard]>,
}

/// On cache lines of its own, so that keys of different shards do not slow each other down.
#[derive(Default)]
#[repr(align(128))]
struct Shard {
    /// Whatever is held of a digest changes under this lock only.
    flights: Mutex<Flights>,
    tally: Tally,
}

impl Cache {
    pub(super) fn new(store: Arc<dyn KeyStore>, clock: Arc<dyn Clock>, settings: Settings) -> Self {
        Self {
            store,
            clock,
            settings,
            held: Held::new(&settings),
            confirmed: AtomicU64::new(0),
            latest: AtomicU64::new(0),
            warned: AtomicU64::new(0),
            hasher: Hasher::default(),
            shards: (0..SHARDS).map(|_| Shard::default()).collect(),
        }
    }

    /// What can be answered without asking the store.
    pub(super) fn answer(&self, digest: &KeyDigest) -> Option<Option<Arc<KeyRecord>>> {
        let tally = &self.shard(digest).tally;
        // The entry is read after what confirms it: what `confirm` vouches for it forgot before.
        // The clock is read last, so that only one that was set back is behind the entry.
        let confirmed = self.confirmed();
        if let Some(entry) = self.held.records.get(digest) {
            let moment = Moment { confirmed, now: self.clock.now() };
            if moment.covers(entry.loaded, self.settings.max_age) {
                tally.hit();
                return Some(Some(entry.record));
            }
            if entry.is_paused(moment.now) && self.may_serve(&entry, moment) {
                tally.stale();
                return Some(Some(entry.record));
            }
        } else if let Some(loaded) = self.held.unknown.get(digest) {
            let moment = Moment { confirmed, now: self.clock.now() };
            if moment.covers(loaded, self.settings.unknown_max_age) {
                tally.unknown_hit();
                return Some(None);
            }
        }
        tally.miss();
        None
    }

    /// Asks the store, or waits for whoever does already.
    pub(super) async fn ask(self: Arc<Self>, digest: KeyDigest) -> Found {
        let (flight, departed) = self.board(digest);
        if !departed && let Some(record) = self.stale(&digest, |entry| entry.failed.is_some()) {
            // The store failed the last time, and somebody is finding out whether it still does.
            return Ok(Some(record));
        }
        match flight.await {
            Err(fault) => match self.stale(&digest, |_| true) {
                Some(record) => {
                    self.warn(&fault);
                    Ok(Some(record))
                }
                None => Err(fault),
            },
            found => found,
        }
    }

    pub(super) fn confirm(&self, at: Timestamp) {
        // Not an instant of a clock that was set back since.
        if at <= self.begin() {
            self.confirmed.store(at.micros(), Release);
        }
    }

    pub(super) fn forget(&self, digest: &KeyDigest) {
        let mut flights = self.shard(digest).flights();
        flights.forget(digest);
        self.held.forget(digest);
    }

    pub(super) fn forget_all(&self) {
        // First the calls: what landed before is held, and cleared; nothing lands after.
        self.shards.iter().for_each(|shard| shard.flights().forget_all());
        self.held.forget_all();
    }

    pub(super) fn stats(&self) -> Stats {
        let mut stats = Stats {
            records: self.held.records.len(),
            unknown: self.held.unknown.len(),
            ..Stats::default()
        };
        for shard in &self.shards {
            shard.tally.add_to(&mut stats);
            stats.in_flight = stats.in_flight.saturating_add(shard.flights().len());
        }
        stats
    }

    /// The call to wait for, and whether it is a new one.
    fn board(self: &Arc<Self>, digest: KeyDigest) -> (Flight, bool) {
        let began = self.begin();
        let max_age = self.settings.max_age;
        let mut flights = self.shard(&digest).flights();
        match flights.join(&digest, |earlier| is_within(earlier, max_age, began)) {
            Some(flight) => (flight, false),
            None => {
                let call = |number| {
                    let landing = Landing { cache: Arc::clone(self), digest, began, number };
                    landing.fly()
                };
                (flights.depart(digest, began, call), true)
            }
        }
    }

    /// The instant at which something begins. If the clock was set back, nothing that was held says
    /// how old it is.
    fn begin(&self) -> Timestamp {
        let now = self.clock.now();
        let latest = self.latest.fetch_max(now.micros(), AcqRel);
        if latest.saturating_sub(now.micros()) > STEP_MICROS {
            self.latest.store(now.micros(), Release);
            self.confirmed.store(0, Release);
            self.forget_all();
        }
        now
    }

    /// A record past its age that may be answered because the store fails. It is looked up anew, for
    /// it may have been forgotten while the store was asked.
    fn stale(
        &self,
        digest: &KeyDigest,
        serves: impl FnOnce(&Entry) -> bool,
    ) -> Option<Arc<KeyRecord>> {
        let confirmed = self.confirmed();
        let entry = self.held.records.get(digest).filter(serves)?;
        let moment = Moment { confirmed, now: self.clock.now() };
        if !self.may_serve(&entry, moment) {
            return None;
        }
        self.shard(digest).tally.stale();
        Some(entry.record)
    }

    fn may_serve(&self, entry: &Entry, moment: Moment) -> bool {
        let Settings { max_age, if_unavailable, .. } = self.settings;
        moment.covers(entry.loaded, max_age.saturating_add(if_unavailable))
    }

    fn warn(&self, fault: &StoreError) {
        let now = self.clock.now().micros();
        let warned = self.warned.load(Relaxed);
        let due = now.abs_diff(warned) >= WARN_EVERY_MICROS;
        if due && self.warned.compare_exchange(warned, now, Relaxed, Relaxed).is_ok() {
            let stale = self.stats().stale;
            tracing::warn!(%fault, stale, "the key store failed; records held are answered");
        }
    }

    fn confirmed(&self) -> Timestamp {
        Timestamp::from_micros(self.confirmed.load(Acquire))
    }

    #[expect(clippy::indexing_slicing, reason = "there are as many shards as remainders")]
    fn shard(&self, digest: &KeyDigest) -> &Shard {
        // The tables of a shard go by the low bits and the highest seven.
        let index = (self.hasher.hash_one(digest) >> 32) % SHARDS;
        &self.shards[usize::try_from(index).unwrap_or(0)]
    }
}

impl Shard {
    /// A panic elsewhere leaves nothing half done that could be answered: at worst a call is listed
    /// that nobody drives.
    fn flights(&self) -> MutexGuard<'_, Flights> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call of the store on its way. Dropped, it is taken off the list, also when everybody who waited
/// went away.
struct Landing {
    cache: Arc<Cache>,
    digest: KeyDigest,
    began: Timestamp,
    number: u64,
}

impl Landing {
    fn fly(self) -> BoxFuture<'static, Found> {
        Box::pin(async move {
            let found = self.cache.store.find(&self.digest).await;
            self.land(&found);
            found
        })
    }

    /// Keeps the answer, unless it was forgotten while it was on its way.
    fn land(&self, found: &Found) {
        let now = self.cache.clock.now();
        let mut flights = self.cache.shard(&self.digest).flights();
        if flights.land(&self.digest, self.number) {
            self.cache.held.keep(self.digest, found, self.began, now);
        }
    }
}

impl Drop for Landing {
    fn drop(&mut self) {
        self.cache.shard(&self.digest).flights().land(&self.digest, self.number);
    }
}
