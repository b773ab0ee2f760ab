//! Against real servers, each test with its own.

mod cluster;
mod outage;
mod refusal;
mod sentinel;
mod server;

use std::{fmt::Debug, future::Future, time::Duration};

use keygate_tests::{PATIENCE, RedisServer};
use redis::{Cmd, cmd};

use super::Link;
use crate::{
    address::Address,
    clock::now,
    fault::{Fault, FaultKind},
    script::Script,
};

/// Long enough for whatever is not about deadlines.
const AMPLE: Duration = Duration::from_secs(5);

fn link(url: &str) -> Link {
    Link::to(&Address::parse(url).unwrap()).unwrap()
}

fn increment(key: &str) -> Cmd {
    let mut command = cmd("INCR");
    command.arg(key);
    command
}

async fn counted(link: &Link, key: &str, within: Duration) -> Result<u64, Fault> {
    link.query(&increment(key), within).await
}

async fn scripted(link: &Link, script: &Script, key: &str, within: Duration) -> Result<u64, Fault> {
    link.call(script, &[key.to_owned()], &[1], within).await
}

fn counting() -> Script {
    Script::new("return redis.call('INCRBY', KEYS[1], ARGV[1])")
}

/// Tries until it succeeds, and gives the result and how long that took.
async fn soon<T, E: Debug, F: Future<Output = Result<T, E>>>(
    mut attempt: impl FnMut() -> F,
) -> (T, Duration) {
    let start = now();
    loop {
        match attempt().await {
            Ok(done) => return (done, now().duration_since(start)),
            Err(error) => {
                assert!(now().duration_since(start) < PATIENCE, "still failing: {error:?}");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }
}

/// The ids of the connections by TCP, which `redis-cli` does not use.
fn clients(server: &RedisServer) -> Vec<String> {
    let list = server.cli(&["client", "list", "type", "normal"]);
    let ours = list.lines().filter(|line| line.contains("addr=127.0.0.1:"));
    ours.filter_map(|line| line.split(' ').next().map(str::to_owned)).collect()
}

/// Counts until that fails, and expects the kind of the fault.
async fn soon_fails(link: &Link, within: Duration, expected: FaultKind) {
    let attempt = || async {
        match counted(link, "a", within).await {
            Err(fault) if fault.kind() == expected => Ok(()),
            other => Err(other),
        }
    };
    soon(attempt).await;
}

fn kind<T: Debug>(answer: Result<T, Fault>) -> FaultKind {
    answer.unwrap_err().kind()
}
