use std::{net::SocketAddr, thread};

use crate::{client::Client, server::Server};

/// Runs `work` on so many threads at once, each with a connection of its own and its number, and
/// gives all that they made.
#[must_use]
#[track_caller]
pub fn on_threads<T: Send>(
    server: &Server,
    threads: usize,
    work: impl Fn(&mut Client, usize) -> Vec<T> + Sync,
) -> Vec<T> {
    on_connections_to(&[server.address()], threads, work)
}

/// The same, with so many threads to each of these addresses. A thread's number modulo the count of
/// addresses is the place of its own.
#[track_caller]
pub(crate) fn on_connections_to<T: Send>(
    addresses: &[SocketAddr],
    each: usize,
    work: impl Fn(&mut Client, usize) -> Vec<T> + Sync,
) -> Vec<T> {
    let work = &work;
    let numbered = addresses.iter().cycle().take(each * addresses.len()).enumerate();
    thread::scope(|scope| {
        let spawn = |(number, address): (usize, &SocketAddr)| {
            let address = *address;
            scope.spawn(move || work(&mut Client::to(address), number))
        };
        let running: Vec<_> = numbered.map(spawn).collect();
        running.into_iter().flat_map(|thread| thread.join().expect("no thread fails")).collect()
    })
}

/// Does something at the end of a scope, also when the test fails in it: what the threads of the
/// scope wait for must not stay away.
#[derive(Debug)]
pub struct OnDrop<F: Fn()>(pub F);

impl<F: Fn()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        self.0();
    }
}
