use std::sync::Arc;

use keygate::{
    clock::{Clock, SystemClock, Timestamp},
    conformance::{self, Job, UsageHarness},
    port::{BoxFuture, UsageStore},
};
use keygate_tests::{RedisOptions, RedisServer};
use tokio::task::JoinSet;

use super::scene::{assert_everything_expires, by_hand, until, usage};
use crate::usage::RedisUsage;

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
    holds_on(&RedisServer::start()).await;
}

/// A cluster refuses a call whose keys are in several slots, also where one node has them all.
#[tokio::test(flavor = "multi_thread")]
async fn every_call_is_of_one_slot() {
    let server = RedisOptions::default().set("cluster-enabled", "yes").start();
    assert_eq!(server.cli(&["cluster", "addslotsrange", "0", "16383"]), "OK");
    let is_up = || async { server.cli(&["cluster", "info"]).contains("cluster_state:ok") };
    until("the cluster is up", is_up).await;
    holds_on(&server).await;
}

async fn holds_on(server: &RedisServer) {
    let store = Arc::new(usage(server.port(), by_hand()));
    let harness = Harness { store, now: SystemClock.now() };
    let report = conformance::usage_store(&harness).await;
    print!("{report}");
    assert!(report.is_whole(), "{report}");
    assert_everything_expires(server);
}
