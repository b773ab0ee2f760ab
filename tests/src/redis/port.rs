use std::{
    net::{Ipv4Addr, TcpListener},
    process,
    sync::{
        LazyLock,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
};

/// Below the ports that the system gives to connections and listeners by itself.
const FIRST: u16 = 10_000;
const MANY: u16 = 10_000;

/// How far the port of a Cluster's bus is from that of its node.
const TO_BUS: u16 = 10_000;

/// How often a server may find its port taken.
const ATTEMPTS: usize = 10;

/// A port nobody listens on. A program gets each once, so that nobody listens there while a server of
/// its own is down, and programs begin far from each other.
#[must_use]
pub fn free_port() -> u16 {
    static NEXT: LazyLock<AtomicU32> =
        LazyLock::new(|| AtomicU32::new(process::id().wrapping_mul(307)));
    loop {
        let turn = NEXT.fetch_add(1, Relaxed) % u32::from(MANY);
        let port = FIRST + u16::try_from(turn).unwrap();
        if [port, port + TO_BUS].into_iter().all(is_free) {
            return port;
        }
    }
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// Begins a server on a free port, and on another one if somebody else was first. What does not begin
/// says why.
#[track_caller]
pub(super) fn on_a_free_port<T>(mut begin: impl FnMut(u16) -> Result<T, String>) -> T {
    for _ in 1..ATTEMPTS {
        if let Ok(server) = begin(free_port()) {
            return server;
        }
    }
    begin(free_port()).unwrap_or_else(|told| panic!("the server does not begin:\n{told}"))
}
