use std::{sync::Arc, time::Duration};

use deadpool_redis::{Config, Runtime};
use keygate::{
    clock::{Clock, SystemClock, Timestamp},
    conformance::{self, CounterHarness, Job},
    port::{BoxFuture, CounterStore},
};
use keygate_tests::RedisServer;
use tokio::time::sleep;

use crate::{counters::RedisCounters, layout::Layout, link::Link};

struct Harness {
    server: RedisServer,
    store: Arc<RedisCounters>,
}

impl Harness {
    fn new() -> Self {
        let server = RedisServer::start();
        let pool = Config::from_url(server.url()).create_pool(Some(Runtime::Tokio1)).unwrap();
        let link = Arc::new(Link::new(pool));
        let store = RedisCounters::new(link, Layout::new("keygate"), Duration::from_secs(5));
        Self { server, store: Arc::new(store) }
    }
}

impl CounterHarness for Harness {
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
        Box::pin(async {
            let running: Vec<_> = jobs.into_iter().map(tokio::spawn).collect();
            for job in running {
                job.await.unwrap();
            }
        })
    }

    fn owners(&self) -> BoxFuture<'_, Option<usize>> {
        Box::pin(async { Some(self.server.keys().len()) })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_law_over_one_server() {
    let report = conformance::counter_store(&Harness::new()).await;
    print!("{report}");
}
