//! Decisions over Redis: how many, how late, and what they cost the server and us.

mod contender;
mod decisions;
mod memory;
mod server;

use keygate_bench::harness::{Options, Report};
use keygate_tests::RedisServer;
use tokio::runtime::Builder;

fn main() {
    let mut report = Report::new("redis", Options::from_args());
    let runtime = Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let redis = RedisServer::start();
    runtime.block_on(async {
        server::run(&mut report, &redis).await;
        memory::run(&mut report, &redis).await;
        decisions::run(&mut report, &redis).await;
    });
    report.finish();
}
