//! Redis servers of a test's own, on free ports, with everything they write in a folder of theirs.

mod cluster;
mod port;
mod sentinel;
mod server;
mod tls;

use std::{thread, time::Duration};

pub use self::{
    cluster::RedisCluster,
    port::free_port,
    sentinel::RedisSentinel,
    server::{RedisOptions, RedisServer},
};
use crate::{
    process::Process,
    time::{PATIENCE, now},
};

/// Waits until a server that was begun answers; or tells what it wrote if it ended instead, as it does
/// when its port is taken.
#[track_caller]
fn begun(mut server: Process, mut answers: impl FnMut() -> bool) -> Result<Process, String> {
    let start = now();
    while !answers() {
        if server.has_ended() {
            return Err(server.ended().stdout);
        }
        assert!(now().duration_since(start) < PATIENCE, "the server does not answer");
        thread::sleep(Duration::from_millis(5));
    }
    Ok(server)
}

#[track_caller]
fn wait_until(what: &str, mut reached: impl FnMut() -> bool) {
    let start = now();
    while !reached() {
        assert!(now().duration_since(start) < PATIENCE, "{what}");
        thread::sleep(Duration::from_millis(20));
    }
}
