use std::thread;

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
    let (work, address) = (&work, server.address());
    thread::scope(|scope| {
        let spawn = |number| scope.spawn(move || work(&mut Client::new(address), number));
        let running: Vec<_> = (0..threads).map(spawn).collect();
        running.into_iter().flat_map(|thread| thread.join().expect("no thread fails")).collect()
    })
}
