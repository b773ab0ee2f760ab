use std::{
    collections::BTreeSet,
    fmt,
    hash::{BuildHasher, Hash},
    num::NonZeroU64,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use hashbrown::{DefaultHashBuilder as Hasher, HashTable};
use smallvec::SmallVec;

use crate::{
    clock::{AnchoredClock, Clock, Timestamp},
    key::KeyId,
    limit::{Correction, Kind, Level, Readings, State, decide},
    plan::{Limit, Name, Partition},
    port::{Answer, Charge, CounterStore, Owner, Settlement, SlotId, StoreError},
    record::ConsumerId,
};

/// A power of two, well above the number of cores: two consumers rarely wait for each other.
const SHARDS: u64 = 64;

/// How often a shard looks for states that say nothing any more.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// Counters in this process: exact for one replica.
///
/// A consumer's counters and those of its keys live in one shard behind one lock, so a charge over
/// both is one atomic step. Idle state is forgotten once it says nothing any more: within a
/// minute of traffic on its shard, or by [`forget_idle`](Self::forget_idle).
pub struct MemoryCounters {
    clock: Arc<dyn Clock>,
    hasher: Hasher,
    shards: Box<[Mutex<Shard>]>,
}

#[derive(Default)]
struct Shard {
    consumers: Subjects<ConsumerId>,
    keys: Subjects<KeyId>,
    sweep_at: Timestamp,
}

struct Subjects<K>(HashTable<(K, Subject)>);

/// The owners that one charge touches.
struct Owners<'s> {
    consumer: Option<&'s mut Subject>,
    key: Option<&'s mut Subject>,
}

/// The counters of one owner.
#[derive(Default)]
struct Subject {
    counters: Vec<Counter>,
    keep_until: Timestamp,
}

struct Counter {
    name: Name,
    kept: Kept,
}

/// A rate and a quota of one name are two counters: their states mean different things.
enum Kept {
    Rate(State),
    Quota(State),
    /// By name, for a slot may be given back twice, or without ever having been taken.
    Slots(BTreeSet<SlotId>),
}

impl MemoryCounters {
    /// Counters by this clock.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self { clock, hasher: Hasher::default(), shards }
    }

    /// How many owners have counters that may still say something.
    #[must_use]
    pub fn subjects(&self) -> usize {
        self.shards.iter().map(lock).map(|shard| shard.consumers.0.len() + shard.keys.0.len()).sum()
    }

    /// Forgets now what says nothing any more.
    pub fn forget_idle(&self) {
        let now = self.clock.now();
        self.shards.iter().for_each(|shard| lock(shard).sweep(now, &self.hasher));
    }

    pub(crate) fn count(&self, charge: &Charge<'_>) -> Readings {
        let now = self.clock.now();
        let hash = self.hasher.hash_one(charge.consumer);
        let shard = self.shards.get(shard_of(hash));
        shard.map(|shard| lock(shard).charge(charge, now, hash, &self.hasher)).unwrap_or_default()
    }

    pub(crate) fn correct(&self, settlement: &Settlement<'_>) {
        let now = self.clock.now();
        let hash = self.hasher.hash_one(settlement.consumer);
        if let Some(shard) = self.shards.get(shard_of(hash)) {
            lock(shard).settle(settlement, now, hash, &self.hasher);
        }
    }
}

impl Default for MemoryCounters {
    fn default() -> Self {
        Self::new(Arc::new(AnchoredClock::new()))
    }
}

impl fmt::Debug for MemoryCounters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryCounters").field("subjects", &self.subjects()).finish_non_exhaustive()
    }
}

impl CounterStore for MemoryCounters {
    fn charge(&self, charge: &Charge<'_>) -> Answer<'static, Result<Readings, StoreError>> {
        Answer::ready(Ok(self.count(charge)))
    }

    fn settle(&self, settlement: &Settlement<'_>) -> Answer<'static, ()> {
        self.correct(settlement);
        Answer::ready(())
    }

    fn reset<'a>(&'a self, owner: Owner<'a>) -> Answer<'a, Result<(), StoreError>> {
        let (Owner::Consumer(consumer) | Owner::Key { consumer, .. }) = owner;
        let hash = self.hasher.hash_one(consumer);
        if let Some(shard) = self.shards.get(shard_of(hash)) {
            lock(shard).reset(owner, hash, &self.hasher);
        }
        Answer::ready(Ok(()))
    }

    fn replicas(&self) -> NonZeroU64 {
        NonZeroU64::MIN
    }
}

impl Shard {
    fn charge(
        &mut self,
        charge: &Charge<'_>,
        now: Timestamp,
        consumer_hash: u64,
        hasher: &Hasher,
    ) -> Readings {
        // Also when the clock was set back: a sweep planned by its old time may be years away.
        if self.sweep_at <= now || self.sweep_at > now.saturating_add(SWEEP_EVERY) {
            self.sweep(now, hasher);
        }
        let mut owners =
            self.owners(charge.consumer, charge.key, charge.limits, consumer_hash, hasher);
        let mut levels: SmallVec<[Level; 4]> = SmallVec::new();
        let limits = || charge.limits.iter().enumerate();
        levels.extend(limits().map(|(i, limit)| limit.rule().level(owners.state(limit, i), now)));
        let readings = decide(&mut levels, charge.cost);
        if charge.cost > 0 && readings.iter().all(|reading| reading.within) {
            for ((place, limit), level) in limits().zip(&levels) {
                owners.keep(limit, place, level, charge.slot);
            }
        }
        readings
    }

    fn settle(
        &mut self,
        settlement: &Settlement<'_>,
        now: Timestamp,
        consumer_hash: u64,
        hasher: &Hasher,
    ) {
        let Settlement { consumer, key, limits, correction, slot } = *settlement;
        let mut owners = self.owners(consumer, key, limits, consumer_hash, hasher);
        for (place, limit) in limits.iter().enumerate() {
            if limit.is_concurrency() {
                owners.release(limit, place, slot);
            } else if correction != Correction::None {
                let mut level = limit.rule().level(owners.state(limit, place), now);
                let before = level.state();
                level.correct(correction);
                let refunds = matches!(correction, Correction::Refund { .. });
                let is_quota = limit.rule().kind() == Kind::Quota;
                // By a window that was edited since, what is left alone may mean nothing any more.
                if !(refunds && is_quota && level.state() == before) {
                    owners.keep(limit, place, &level, None);
                }
            }
        }
    }

    /// The owners of these limits.
    fn owners(
        &mut self,
        consumer: &ConsumerId,
        key: KeyId,
        limits: &[Limit],
        consumer_hash: u64,
        hasher: &Hasher,
    ) -> Owners<'_> {
        let counts = |partition| limits.iter().any(|limit| limit.partition() == partition);
        Owners {
            consumer: counts(Partition::Consumer)
                .then(|| self.consumers.of(consumer, consumer_hash, hasher)),
            key: counts(Partition::Key).then(|| self.keys.of(&key, hasher.hash_one(key), hasher)),
        }
    }

    fn reset(&mut self, owner: Owner<'_>, consumer_hash: u64, hasher: &Hasher) {
        match owner {
            Owner::Consumer(consumer) => self.consumers.forget(consumer, consumer_hash),
            Owner::Key { key, .. } => self.keys.forget(&key, hasher.hash_one(key)),
        }
    }

    fn sweep(&mut self, now: Timestamp, hasher: &Hasher) {
        self.consumers.sweep(now, hasher);
        self.keys.sweep(now, hasher);
        self.sweep_at = now.saturating_add(SWEEP_EVERY);
    }
}

/// `place` is that of a limit in its list, and nearly always that of its counter, too.
impl Owners<'_> {
    fn state(&mut self, limit: &Limit, place: usize) -> State {
        self.of(limit).map(|subject| subject.state(limit, place)).unwrap_or_default()
    }

    fn keep(&mut self, limit: &Limit, place: usize, level: &Level, slot: Option<SlotId>) {
        if let Some(subject) = self.of(limit) {
            subject.keep(limit, place, level, slot);
        }
    }

    fn release(&mut self, limit: &Limit, place: usize, slot: Option<SlotId>) {
        if let (Some(subject), Some(slot)) = (self.of(limit), slot) {
            subject.release(limit, place, slot);
        }
    }

    fn of(&mut self, limit: &Limit) -> Option<&mut Subject> {
        match limit.partition() {
            Partition::Consumer => self.consumer.as_deref_mut(),
            Partition::Key => self.key.as_deref_mut(),
        }
    }
}

impl<K: Clone + Eq + Hash> Subjects<K> {
    /// The subject of an owner. Only a new owner's id is cloned.
    fn of(&mut self, owner: &K, hash: u64, hasher: &Hasher) -> &mut Subject {
        let is_owner = |(other, _): &(K, Subject)| other == owner;
        let entry = self.0.entry(hash, is_owner, |(other, _)| hasher.hash_one(other));
        &mut entry.or_insert_with(|| (owner.clone(), Subject::default())).into_mut().1
    }

    fn forget(&mut self, owner: &K, hash: u64) {
        if let Ok(mut entry) = self.0.find_entry(hash, |(other, _)| other == owner) {
            entry.get_mut().1.forget_usage();
        }
    }

    /// Forgets what says nothing any more, and gives back room that was needed once.
    fn sweep(&mut self, now: Timestamp, hasher: &Hasher) {
        self.0.retain(|(_, subject)| subject.keep_until > now || subject.holds_slots());
        if self.0.len() < self.0.capacity() / 4 {
            self.0.shrink_to(self.0.len() * 2, |(owner, _)| hasher.hash_one(owner));
        }
    }
}

impl<K> Default for Subjects<K> {
    fn default() -> Self {
        Self(HashTable::new())
    }
}

impl Subject {
    fn state(&self, limit: &Limit, place: usize) -> State {
        let counter = self.place(limit, place).and_then(|place| self.counters.get(place));
        counter.map(|counter| counter.kept.state()).unwrap_or_default()
    }

    /// Where the counter of a limit is.
    fn place(&self, limit: &Limit, likely: usize) -> Option<usize> {
        let is_there = self.counters.get(likely).is_some_and(|counter| counter.is(limit));
        let search = || self.counters.iter().position(|counter| counter.is(limit));
        if is_there { Some(likely) } else { search() }
    }

    /// Slots come back by requests that end, not by time.
    fn holds_slots(&self) -> bool {
        self.counters.iter().any(|counter| counter.kept.holds_slots())
    }

    fn forget_usage(&mut self) {
        self.counters.retain(|counter| counter.kept.holds_slots());
        self.keep_until = Timestamp::default();
    }

    /// Keeps what a charge left, and the slot that it took.
    fn keep(&mut self, limit: &Limit, place: usize, level: &Level, slot: Option<SlotId>) {
        if !limit.is_concurrency() {
            self.keep_until = self.keep_until.max(level.keep_until());
        }
        let place = self.place(limit, place).unwrap_or_else(|| self.begin(limit));
        match self.counters.get_mut(place).map(|counter| &mut counter.kept) {
            Some(Kept::Rate(state) | Kept::Quota(state)) => *state = level.state(),
            Some(Kept::Slots(slots)) => slots.extend(slot),
            None => {}
        }
    }

    /// Begins a counter, and tells where it is.
    #[cold]
    fn begin(&mut self, limit: &Limit) -> usize {
        // Once for each limit of a plan, and there may be millions of owners.
        self.counters.reserve_exact(1);
        self.counters.push(Counter::new(limit));
        self.counters.len().saturating_sub(1)
    }

    fn release(&mut self, limit: &Limit, place: usize, slot: SlotId) {
        let counter = self.place(limit, place).and_then(|place| self.counters.get_mut(place));
        if let Some(Kept::Slots(slots)) = counter.map(|counter| &mut counter.kept) {
            slots.remove(&slot);
        }
    }
}

impl Counter {
    fn new(limit: &Limit) -> Self {
        Self { name: limit.name().clone(), kept: Kept::nothing(limit.rule().kind()) }
    }

    fn is(&self, limit: &Limit) -> bool {
        self.name.is(limit.name()) && self.kept.kind() == limit.rule().kind()
    }
}

impl Kept {
    fn nothing(kind: Kind) -> Self {
        match kind {
            Kind::Rate => Self::Rate(State::default()),
            Kind::Quota => Self::Quota(State::default()),
            Kind::Concurrency => Self::Slots(BTreeSet::new()),
        }
    }

    const fn kind(&self) -> Kind {
        match self {
            Self::Rate(_) => Kind::Rate,
            Self::Quota(_) => Kind::Quota,
            Self::Slots(_) => Kind::Concurrency,
        }
    }

    fn state(&self) -> State {
        match self {
            Self::Rate(state) | Self::Quota(state) => *state,
            Self::Slots(slots) => {
                let held = slots.len().try_into().unwrap_or(u64::MAX);
                State { used: held, ..State::default() }
            }
        }
    }

    fn holds_slots(&self) -> bool {
        matches!(self, Self::Slots(slots) if !slots.is_empty())
    }
}

/// A panic elsewhere cannot leave a shard half written: a charge decides first and then only stores
/// numbers. So a poisoned lock is as good as any.
fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Bits from the middle choose the shard: the table inside goes by the low ones and the highest
/// seven, and owners of one shard that share them would crowd into a few of its buckets.
fn shard_of(hash: u64) -> usize {
    usize::try_from((hash >> 32) % SHARDS).unwrap_or(0)
}
