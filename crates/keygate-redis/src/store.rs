use std::{fmt, sync::Arc, time::Duration};

use deadpool_redis::{Pool, sentinel};
use keygate::{
    Gate,
    cached::{self, CachedKeys},
    clock::{AnchoredClock, Clock},
    gate::GateBuilder,
    plan::{LivePlans, Plans},
    port::{CounterStore, KeyStore, StoreError, UsageStore},
};
use tokio::{runtime::Handle, time::timeout};

use crate::{
    address::Address,
    counters::RedisCounters,
    fault::Fault,
    guard::{Bounds, Guard, Health},
    keys::RedisKeys,
    layout::Layout,
    link::{Link, PushSource, Source, Subscription},
    plans::RedisPlans,
    start_up::{self, ConnectError},
    usage::{RedisUsage, UsageOptions, UsageStats},
    watch::{POLL, Watch, Watcher},
};

/// What every Redis key begins with, unless said otherwise.
const PREFIX: &str = "keygate";

/// How long a key may take to be found that is not cached.
const FIND_WITHIN: Duration = Duration::from_millis(250);

/// How long a slot is held without being renewed.
const SLOT_LEASE: Duration = Duration::from_secs(30);

/// How long the first look at keys and plans may take.
const FIRST_LOOK: Duration = Duration::from_secs(5);

/// Every store of keygate on one Redis: key records, plans, counters, usage.
///
/// Replicas that connect to the same Redis with the same prefix are one installation: they share every
/// key, plan and limit. Cheap to clone; clones share one connection and its tasks, which end with the
/// last of them.
///
/// ```no_run
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let store = keygate_redis::RedisStore::connect("redis://127.0.0.1:6379").await?;
/// let gate = store.gate().public_path("/healthz").build()?;
/// // … serve, and before the process ends:
/// store.close(std::time::Duration::from_secs(5)).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct RedisStore(Arc<Stores>);

struct Stores {
    keys: CachedKeys,
    plans: LivePlans,
    stored_plans: RedisPlans,
    counters: Arc<RedisCounters>,
    usage: Arc<RedisUsage>,
    guard: Arc<Guard>,
}

impl RedisStore {
    /// Connects to the Redis at this URL; see [`Address`] for its forms. Must be called within a tokio
    /// runtime.
    ///
    /// # Errors
    /// If the URL is wrong, or Redis cannot be reached or used as it is; the error says what to do.
    pub async fn connect(url: &str) -> Result<Self, ConnectError> {
        Self::at(Address::parse(url)?).connect().await
    }

    /// Begins a store at this address.
    pub fn at(address: Address) -> RedisStoreBuilder {
        RedisStoreBuilder::new(Place::Address(address))
    }

    /// Begins a store over a pool of your own. One connection is taken out of it for good. A pool has
    /// no way to listen for changes: they are polled for, every second.
    pub fn over(pool: Pool) -> RedisStoreBuilder {
        RedisStoreBuilder::new(Place::Pool(Box::new(pool.into())))
    }

    /// Begins a store over a pool of your own that asks Sentinels; see [`over`](Self::over).
    pub fn over_sentinel(pool: sentinel::Pool) -> RedisStoreBuilder {
        RedisStoreBuilder::new(Place::Pool(Box::new(pool.into())))
    }

    /// Begins a gate over all of these stores. It follows the plans in Redis.
    pub fn gate(&self) -> GateBuilder {
        Gate::builder(self.plans()).keys(self.keys()).counters(self.counters()).usage(self.usage())
    }

    /// Key records. Finding one by its digest is cached; everything else is not.
    #[must_use]
    pub fn keys(&self) -> Arc<dyn KeyStore> {
        Arc::new(self.0.keys.clone())
    }

    /// The counters of all replicas.
    #[must_use]
    pub fn counters(&self) -> Arc<dyn CounterStore> {
        Arc::clone(&self.0.counters) as _
    }

    /// Usage.
    #[must_use]
    pub fn usage(&self) -> Arc<dyn UsageStore> {
        Arc::clone(&self.0.usage) as _
    }

    /// The plans in force; they follow those in Redis, and are none until some were applied.
    #[must_use]
    pub fn plans(&self) -> LivePlans {
        self.0.plans.clone()
    }

    /// The plans in Redis: to read and to replace, for all replicas.
    #[must_use]
    pub fn stored_plans(&self) -> &RedisPlans {
        &self.0.stored_plans
    }

    /// How the counters do: the circuit, calls under way, faults by kind.
    #[must_use]
    pub fn health(&self) -> Health {
        self.0.guard.health()
    }

    /// How the cache of key records does.
    #[must_use]
    pub fn key_stats(&self) -> cached::Stats {
        self.0.keys.stats()
    }

    /// What became of usage events.
    #[must_use]
    pub fn usage_stats(&self) -> UsageStats {
        self.0.usage.stats()
    }

    /// Brings all usage that was recorded to Redis now, instead of within the next second: a report that
    /// must not be a second late calls it first.
    ///
    /// # Errors
    /// If some of it could not be brought. It is kept, and sent again.
    pub async fn flush_usage(&self) -> Result<(), StoreError> {
        self.0.usage.flush().await
    }

    /// Settlements of costs and slots that may not have reached Redis, since the start.
    #[must_use]
    pub fn lost_settlements(&self) -> u64 {
        self.0.counters.settling().lost()
    }

    /// Brings all usage that was recorded to Redis, and what settles requests, within this time. To be
    /// called before the process ends: what is not there by then is lost with it.
    ///
    /// # Errors
    /// If it is too late; [`usage_stats`](Self::usage_stats) says how much is left.
    pub async fn close(&self, within: Duration) -> Result<(), StoreError> {
        let settling = self.0.counters.settling();
        let (settled, closed) = tokio::join!(settling.done(within), self.0.usage.close(within));
        closed?;
        if settled { Ok(()) } else { Err(StoreError::new("settlements are still under way")) }
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore").field("health", &self.health()).finish_non_exhaustive()
    }
}

/// A store about to be connected.
#[must_use]
pub struct RedisStoreBuilder {
    place: Place,
    prefix: String,
    bounds: Bounds,
    poll: Duration,
    cache: cached::Settings,
    usage: UsageOptions,
    slot_lease: Duration,
    clock: Arc<dyn Clock>,
    serves: bool,
}

enum Place {
    Address(Address),
    Pool(Box<Source>),
}

impl RedisStoreBuilder {
    fn new(place: Place) -> Self {
        Self {
            place,
            prefix: PREFIX.to_owned(),
            bounds: Bounds::default(),
            poll: POLL,
            cache: cached::Settings::default(),
            usage: UsageOptions::default(),
            slot_lease: SLOT_LEASE,
            clock: Arc::new(AnchoredClock::default()),
            serves: true,
        }
    }

    /// What every Redis key begins with; `keygate` by default. Installations that share a Redis differ
    /// in it.
    pub fn prefix(self, prefix: impl Into<String>) -> Self {
        Self { prefix: prefix.into(), ..self }
    }

    /// How long counting one request may take; 25 ms by default. After that the policy of its limits
    /// decides.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.bounds.deadline = deadline;
        self
    }

    /// How many requests may wait for Redis at once; 4,096 by default. The policy of their limits
    /// decides about more.
    pub fn most_in_flight(mut self, most: usize) -> Self {
        self.bounds.in_flight = most;
        self
    }

    /// How often to look for changed keys and plans when none is announced; a second by default, ten
    /// milliseconds at least and a day at most.
    pub fn poll(self, poll: Duration) -> Self {
        Self { poll, ..self }
    }

    /// For tools that serve no requests: this one is not counted among the replicas that share a limit
    /// out while Redis fails.
    pub fn looks_on(self) -> Self {
        Self { serves: false, ..self }
    }

    /// How key records are cached.
    pub fn cache(self, cache: cached::Settings) -> Self {
        Self { cache, ..self }
    }

    /// How long a slot of a `concurrency` limit is held without being renewed; 30 seconds by default, and
    /// never less than 100 milliseconds. A process renews the slots of its requests three times as often:
    /// what one that was killed held is free after this time.
    pub fn slot_lease(self, slot_lease: Duration) -> Self {
        Self { slot_lease, ..self }
    }

    /// How usage is kept.
    pub fn usage(self, usage: UsageOptions) -> Self {
        Self { usage, ..self }
    }

    /// Connects, looks whether this Redis will do, and reads the plans.
    ///
    /// # Errors
    /// If Redis cannot be reached or used as it is, or the prefix has no text or a brace in it.
    pub async fn connect(self) -> Result<RedisStore, ConnectError> {
        if self.prefix.is_empty() || self.prefix.contains(['{', '}']) {
            return Err(ConnectError::prefix());
        }
        let (link, announcer) = match self.place {
            Place::Address(address) => (Link::to(&address)?, Some(PushSource::try_from(&address)?)),
            Place::Pool(source) => (Link::new(*source), None),
        };
        let link = Arc::new(link);
        start_up::check(&link).await?;
        let (layout, clock) = (Layout::new(self.prefix), self.clock);
        let records = RedisKeys::new(Arc::clone(&link), layout.clone(), FIND_WITHIN);
        let keys = CachedKeys::new(Arc::new(records), Arc::clone(&clock), self.cache);
        let plans = LivePlans::new(Plans::default());
        let watcher = Watcher::new(Watch {
            link: Arc::clone(&link),
            layout: layout.clone(),
            hints: announcer.map(|source| Subscription::new(source, layout.changed())),
            poll: self.poll,
            cache: Arc::new(keys.clone()),
            plans: plans.clone(),
            clock: Arc::clone(&clock),
            serves: self.serves,
        });
        timeout(FIRST_LOOK, watcher.caught_up())
            .await
            .map_err(|_| watcher.fault().unwrap_or(Fault::Timeout))?;
        let guard = Arc::new(Guard::new(self.bounds));
        let counters = RedisCounters::new(
            Arc::clone(&link),
            layout.clone(),
            Arc::clone(&guard),
            Some(watcher),
            self.slot_lease,
        );
        let usage = RedisUsage::new(&link, layout.clone(), clock, self.usage, &Handle::current());
        Ok(RedisStore(Arc::new(Stores {
            keys,
            plans,
            stored_plans: RedisPlans::new(link, layout),
            counters: Arc::new(counters),
            usage: Arc::new(usage),
            guard,
        })))
    }
}

impl fmt::Debug for RedisStoreBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStoreBuilder").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}
