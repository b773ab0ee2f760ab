use std::{sync::Arc, time::Duration};

use deadpool_redis::{Config, Runtime};
use keygate::{
    clock::{Clock, SystemClock, Timestamp},
    key::KeyId,
    memory::Retention,
    plan::Name,
    port::UsageStore,
    record::ConsumerId,
    usage::{Granularity, Outcome, Rollup, UsageEvent, UsageQuery},
};
use keygate_tests::{PATIENCE, RedisServer};
use tokio::{
    runtime::Handle,
    time::{sleep, timeout},
};

use crate::{
    layout::Layout,
    link::Link,
    testing,
    usage::{
        RedisUsage, UsageOptions,
        series::Series,
        span::{LENGTHS, longest},
    },
};

/// A store that flushes when it is told to.
pub(super) fn by_hand() -> UsageOptions {
    UsageOptions { every: Duration::from_secs(3_600), ..UsageOptions::default() }
}

/// A store that flushes all the time.
pub(super) fn eager() -> UsageOptions {
    UsageOptions { every: Duration::from_millis(10), ..UsageOptions::default() }
}

pub(super) fn usage(port: u16, options: UsageOptions) -> RedisUsage {
    usage_by(Arc::new(SystemClock), port, options)
}

pub(super) fn usage_by(clock: Arc<dyn Clock>, port: u16, options: UsageOptions) -> RedisUsage {
    let config = Config::from_url(format!("redis://127.0.0.1:{port}"));
    let pool = config.create_pool(Some(Runtime::Tokio1)).unwrap();
    let link = Link::new(pool);
    RedisUsage::new(&link, Layout::new("keygate"), clock, options, &Handle::current())
}

/// An event that owns what it names.
#[derive(Clone, Debug)]
pub(in crate::usage) struct Fact {
    pub(in crate::usage) at: Timestamp,
    pub(super) key: Option<(KeyId, ConsumerId)>,
    pub(super) operation: Option<Name>,
    pub(super) outcome: Outcome,
    pub(super) cost: u64,
    pub(super) latency_micros: u64,
}

impl Fact {
    /// An answered request of one unit, now.
    pub(in crate::usage) fn by(consumer: &ConsumerId) -> Self {
        Self {
            at: SystemClock.now(),
            key: Some((KeyId::random().unwrap(), consumer.clone())),
            operation: None,
            outcome: Outcome::answered(Some(200)),
            cost: 1,
            latency_micros: 250,
        }
    }

    pub(super) fn record(&self, store: &dyn UsageStore) {
        store.record(&self.event());
    }

    pub(in crate::usage) fn series(&self) -> Series {
        Series::of(&self.event())
    }

    fn event(&self) -> UsageEvent<'_> {
        UsageEvent {
            at: self.at,
            key: self.key.as_ref().map(|(key, consumer)| (*key, consumer)),
            operation: self.operation.as_ref(),
            outcome: self.outcome,
            cost: self.cost,
            latency_micros: self.latency_micros,
        }
    }

    pub(super) fn id(&self) -> KeyId {
        self.key.as_ref().unwrap().0
    }
}

pub(in crate::usage) fn consumer(id: &str) -> ConsumerId {
    ConsumerId::parse(id).unwrap()
}

/// So long before now, in minutes.
pub(super) fn minutes_ago(minutes: u64) -> Timestamp {
    Timestamp::from_micros(SystemClock.now().micros() - minutes * 60_000_000)
}

pub(super) async fn rollups(store: &dyn UsageStore, query: UsageQuery) -> Vec<Rollup> {
    store.query(&query).await.unwrap()
}

/// Requests by day, of this consumer.
pub(super) async fn requests_of(store: &dyn UsageStore, consumer: &ConsumerId) -> u64 {
    requests(&rollups(store, UsageQuery::by(Granularity::Day).consumer(consumer.clone())).await)
}

/// Requests by day, of everybody.
pub(super) async fn all_requests(store: &dyn UsageStore) -> u64 {
    requests(&rollups(store, UsageQuery::by(Granularity::Day)).await)
}

pub(super) fn requests(rollups: &[Rollup]) -> u64 {
    rollups.iter().map(|rollup| rollup.requests).sum()
}

/// Both answer all queries of this consumer, or of everybody, alike.
#[track_caller]
pub(super) fn assert_same(given: &[Vec<Rollup>], right: &[Vec<Rollup>]) {
    for ((given, right), by) in given.iter().zip(right).zip(LENGTHS) {
        for (given, right) in given.iter().zip(right) {
            assert_eq!(given, right, "{by:?}");
        }
        assert_eq!(given.len(), right.len(), "{by:?}");
    }
}

/// Everything, by minute, hour and day.
pub(super) async fn everything(store: &dyn UsageStore) -> Vec<Vec<Rollup>> {
    let mut all = Vec::new();
    for by in LENGTHS {
        all.push(rollups(store, UsageQuery::by(by)).await);
    }
    all
}

/// The law `state_always_expires`: none lives longer than the longest bucket.
#[track_caller]
pub(super) fn assert_everything_expires(server: &RedisServer) {
    let days = longest(&Retention::default(), Granularity::Day);
    testing::assert_everything_expires(server, days);
}

/// Waits until it is so.
pub(super) async fn until<F: Future<Output = bool>>(what: &str, mut is_so: impl FnMut() -> F) {
    let waiting = async {
        while !is_so().await {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("never: {what}"));
}
