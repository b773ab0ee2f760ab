//! Redis servers of a test's own, on free ports, with everything they write in a folder of theirs.

mod cluster;
mod sentinel;
mod server;
mod tls;

use std::{thread, time::Duration};

pub use self::{
    cluster::RedisCluster,
    sentinel::RedisSentinel,
    server::{RedisOptions, RedisServer, free_port},
};
use crate::time::{PATIENCE, now};

#[track_caller]
fn wait_until(what: &str, mut reached: impl FnMut() -> bool) {
    let start = now();
    while !reached() {
        assert!(now().duration_since(start) < PATIENCE, "{what}");
        thread::sleep(Duration::from_millis(20));
    }
}
