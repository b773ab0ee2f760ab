use std::sync::Arc;

use keygate::{
    clock::{Clock, SystemClock, Timestamp},
    conformance::{self, Job, UsageHarness},
    port::{BoxFuture, UsageStore},
};
use keygate_tests::{RedisCluster, RedisSentinel, RedisServer};
use tokio::{runtime::Handle, task::JoinSet};

use super::scene::{assert_everything_expires, by_hand};
use crate::{
    layout::Layout,
    testing::{link_to, masters},
    usage::RedisUsage,
};

struct Harness {
    store: Arc<RedisUsage>,
    now: Timestamp,
}

impl UsageHarness for Harness {
    fn store(&self) -> Arc<dyn UsageStore> {
        Arc::clone(&self.store) as _
    }

    fn now(&self) -> Timestamp {
        self.now
    }

    fn flush(&self) -> BoxFuture<'_, ()> {
        Box::pin(async { self.store.flush().await.unwrap() })
    }

    fn run_concurrently(&self, jobs: Vec<Job>) -> BoxFuture<'_, ()> {
        Box::pin(async {
            let jobs: JoinSet<()> = jobs.into_iter().collect();
            jobs.join_all().await;
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_usage_keeps_every_law() {
    let server = RedisServer::start();
    holds_at(&server.url()).await;
    assert_everything_expires(&server);
}

/// A Cluster refuses a call whose keys are in several slots.
#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_keeps_every_law() {
    let cluster = RedisCluster::start();
    holds_at(&cluster.url()).await;
    masters(&cluster).into_iter().for_each(assert_everything_expires);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_behind_sentinels_keeps_every_law() {
    let sentinel = RedisSentinel::start();
    holds_at(&sentinel.url()).await;
    assert_everything_expires(&sentinel.servers()[sentinel.master()]);
}

async fn holds_at(url: &str) {
    let (link, clock) = (link_to(url), Arc::new(SystemClock));
    let layout = Layout::new("keygate");
    let store = RedisUsage::new(&link, layout, clock, by_hand(), &Handle::current());
    let harness = Harness { store: Arc::new(store), now: SystemClock.now() };
    let report = conformance::usage_store(&harness).await;
    print!("{report}");
    assert!(report.is_whole(), "{report}");
}
