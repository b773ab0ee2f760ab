//! The laws of the port over a real server, by its own clock and by one that can be moved.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use keygate::{
    clock::{Clock, SystemClock, Timestamp},
    conformance::{self, CounterHarness, Coverage, Job},
    port::{BoxFuture, CounterStore},
};
use keygate_tests::{RedisCluster, RedisSentinel, RedisServer};
use tokio::time::sleep;

use super::support::{replica_at, set_clock, stepped_replica};
use crate::{
    counters::RedisCounters,
    testing::{assert_everything_expires, masters},
};

/// Longer than what a reset leaves behind.
const LONGEST: Duration = Duration::from_secs(33 * 24 * 3600);

/// The clock of the server, which nobody moves.
struct Running {
    redis: Redis,
    store: Arc<RedisCounters>,
}

enum Redis {
    Server(RedisServer),
    Cluster(RedisCluster),
    Sentinel(RedisSentinel),
}

impl Redis {
    fn url(&self) -> String {
        match self {
            Self::Server(server) => server.url(),
            Self::Cluster(cluster) => cluster.url(),
            Self::Sentinel(sentinel) => sentinel.url(),
        }
    }

    fn masters(&self) -> Vec<&RedisServer> {
        match self {
            Self::Server(server) => vec![server],
            Self::Cluster(cluster) => masters(cluster),
            Self::Sentinel(sentinel) => vec![&sentinel.servers()[sentinel.master()]],
        }
    }
}

/// A clock that stands still.
struct Stepped {
    store: Arc<RedisCounters>,
    now: AtomicU64,
    _server: RedisServer,
}

impl Stepped {
    async fn new() -> Self {
        let server = RedisServer::start();
        let store = Arc::new(stepped_replica(&server));
        // Expiries go by the clock of the server: nothing may expire while a test runs.
        let now = AtomicU64::new(2_000_000_000_000_000);
        set_clock(&store, Timestamp::from_micros(now.load(SeqCst))).await;
        Self { store, now, _server: server }
    }
}

impl CounterHarness for Running {
    fn store(&self) -> Arc<dyn CounterStore> {
        Arc::clone(&self.store) as _
    }

    fn now(&self) -> BoxFuture<'_, Timestamp> {
        Box::pin(async { SystemClock.now() })
    }

    fn pass(&self, span: Duration) -> BoxFuture<'_, ()> {
        Box::pin(sleep(span))
    }

    fn stands_still(&self) -> bool {
        false
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(2)
    }

    fn run_concurrently(&self, jobs: Vec<Job>) -> BoxFuture<'_, ()> {
        Box::pin(together(jobs))
    }

    fn owners(&self) -> BoxFuture<'_, Option<usize>> {
        Box::pin(async {
            let masters = self.redis.masters().into_iter();
            Some(masters.map(|master| master.keys().len()).sum())
        })
    }
}

impl CounterHarness for Stepped {
    fn store(&self) -> Arc<dyn CounterStore> {
        Arc::clone(&self.store) as _
    }

    fn now(&self) -> BoxFuture<'_, Timestamp> {
        Box::pin(async { Timestamp::from_micros(self.now.load(SeqCst)) })
    }

    fn pass(&self, span: Duration) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let span = u64::try_from(span.as_micros()).unwrap();
            let now = self.now.fetch_add(span, SeqCst) + span;
            set_clock(&self.store, Timestamp::from_micros(now)).await;
        })
    }

    fn stands_still(&self) -> bool {
        true
    }

    fn patience(&self) -> Duration {
        Duration::MAX
    }

    fn run_concurrently(&self, jobs: Vec<Job>) -> BoxFuture<'_, ()> {
        Box::pin(together(jobs))
    }

    fn owners(&self) -> BoxFuture<'_, Option<usize>> {
        Box::pin(async { None })
    }
}

async fn together(jobs: Vec<Job>) {
    let running: Vec<_> = jobs.into_iter().map(tokio::spawn).collect();
    for job in running {
        job.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_by_its_own_clock_keeps_every_law() {
    hold_at(Redis::Server(RedisServer::start())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_keeps_every_law() {
    hold_at(Redis::Cluster(RedisCluster::start())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_behind_sentinels_keeps_every_law() {
    hold_at(Redis::Sentinel(RedisSentinel::start())).await;
}

async fn hold_at(redis: Redis) {
    let store = Arc::new(replica_at(&redis.url()));
    let running = Running { redis, store };
    let report = conformance::counter_store(&running).await;
    println!("{report}");
    let partly = report.laws().iter().filter(|(_, coverage)| *coverage != Coverage::Whole);
    let partly: Vec<_> = partly.map(|(law, _)| *law).collect();
    let need_a_movable_clock = [
        "retry_is_honest",
        "period_turns_over",
        "reset_never_lies",
        "extra_is_owed",
        "refund_is_bounded",
        "agrees_with_limit",
    ];
    assert_eq!(partly, need_a_movable_clock);
    for master in running.redis.masters() {
        assert_everything_expires(master, LONGEST);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_can_be_moved_lets_the_rest_be_checked() {
    let report = conformance::counter_store(&Stepped::new().await).await;
    println!("{report}");
    let partly = report.laws().iter().filter(|(_, coverage)| *coverage != Coverage::Whole);
    let partly: Vec<_> = partly.map(|(law, _)| *law).collect();
    assert_eq!(partly, ["state_always_expires"], "which is seen by the server's own clock");
}
