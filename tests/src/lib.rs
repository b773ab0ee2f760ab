//! What tests of whole processes need: the program under test, started on a port of its own, and
//! clients that speak to it over sockets.
//!
//! Whatever goes wrong here panics: it fails the test at hand.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a harness fails a test by panicking"
)]

mod answer;
mod browser;
mod client;
mod command;
mod grpc;
mod key;
mod load;
mod pace;
mod process;
mod program;
mod proxy;
mod python;
mod random;
mod raw;
mod redis;
mod replica;
mod server;
mod time;

pub use self::{
    answer::Answer,
    browser::{Browser, Page},
    client::{Call, Client, Unanswered},
    command::{IssuedKey, Keygate},
    grpc::{Grpc, Unread},
    key::{checksum, unknown_key, unknown_live_key},
    load::{OnDrop, on_threads},
    pace::{Timed, assert_paced},
    process::{Ended, Process},
    proxy::Proxy,
    python::parse_fields,
    random::Random,
    raw::Raw,
    redis::{RedisCluster, RedisOptions, RedisSentinel, RedisServer, free_port},
    replica::{Api, Replica, Replicas},
    server::{Quickstart, Server},
    time::{PATIENCE, calm_zone, now},
};
