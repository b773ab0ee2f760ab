//! Hints from Redis that something has changed: a connection of their own, kept up for ever.

use std::{fmt, future::Future, io, sync::Arc, time::Duration};

use futures_util::StreamExt;
use keygate::port::BoxFuture;
use redis::{
    Client,
    aio::{PubSub, PubSubSink, PubSubStream},
};
use tokio::{
    sync::Notify,
    task::AbortHandle,
    time::{sleep, timeout},
};

use crate::{clock::jittered, fault::Fault};

/// How long connecting, or an answer on the connection, may take.
const WITHIN: Duration = Duration::from_secs(2);

/// After so long without a word, the server is asked whether it is still there: a connection that
/// was cut without a farewell would otherwise be listened to for ever.
const QUIET: Duration = Duration::from_secs(5);

const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Where connections that can listen come from. Each connection may lead to another node than the
/// last: the master of the moment, or any node of a Cluster.
pub(crate) trait PushSource: fmt::Debug + Send + Sync + 'static {
    /// A new connection.
    fn connect(&self) -> BoxFuture<'_, Result<PubSub, Fault>>;
}

impl PushSource for Client {
    fn connect(&self) -> BoxFuture<'_, Result<PubSub, Fault>> {
        Box::pin(async { Ok(self.get_async_pubsub().await?) })
    }
}

/// Listens to a channel, until it is dropped.
///
/// What is said does not matter, and may be lost while there is no connection: a hint says only that
/// it is worth looking. Many that were not waited for are one.
#[derive(Debug)]
pub(crate) struct Subscription {
    hint: Arc<Notify>,
    task: AbortHandle,
}

impl Subscription {
    /// Begins to listen. Must be called within a tokio runtime.
    pub(crate) fn new(source: impl PushSource, channel: String) -> Self {
        Self::asking_after(QUIET, source, channel)
    }

    fn asking_after(quiet: Duration, source: impl PushSource, channel: String) -> Self {
        let hint = Arc::new(Notify::new());
        let listener = Listener { source, channel, quiet, hint: Arc::clone(&hint), failures: 0 };
        let task = tokio::spawn(listener.run()).abort_handle();
        Self { hint, task }
    }

    /// Waits until something was said, or may have been: a new connection is a hint too.
    pub(crate) async fn next(&self) {
        self.hint.notified().await;
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Listener<S> {
    source: S,
    channel: String,
    quiet: Duration,
    hint: Arc<Notify>,
    failures: u32,
}

impl<S: PushSource> Listener<S> {
    async fn run(mut self) {
        loop {
            let fault = match self.connect().await {
                Ok((sink, stream)) => self.listen(sink, stream).await,
                Err(fault) => fault,
            };
            if self.failures == 0 {
                tracing::warn!(%fault, "changes of keys and plans are not announced; polling goes on");
            }
            self.failures = self.failures.saturating_add(1);
            sleep(pause(self.failures)).await;
        }
    }

    async fn connect(&self) -> Result<(PubSubSink, PubSubStream), Fault> {
        in_time(async {
            let (mut sink, stream) = self.source.connect().await?.split();
            sink.subscribe(&self.channel).await?;
            Ok((sink, stream))
        })
        .await
    }

    /// Passes hints on until the connection ends.
    async fn listen(&mut self, mut sink: PubSubSink, mut stream: PubSubStream) -> Fault {
        self.hint.notify_one();
        loop {
            match timeout(self.quiet, stream.next()).await {
                Ok(Some(_)) => self.hint.notify_one(),
                Ok(None) => return closed(),
                Err(_) => {
                    let pong = in_time(async { Ok(sink.ping::<redis::Value>().await?) }).await;
                    if let Err(fault) = pong {
                        return fault;
                    }
                }
            }
            if self.failures > 0 {
                tracing::info!("changes of keys and plans are announced again");
                self.failures = 0;
            }
        }
    }
}

async fn in_time<T>(work: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
    timeout(WITHIN, work).await.unwrap_or(Err(Fault::Timeout))
}

fn closed() -> Fault {
    Fault::Connection(Arc::new(io::Error::from(io::ErrorKind::ConnectionAborted)))
}

/// Twice as long after every failure, and not the same for every replica.
fn pause(failures: u32) -> Duration {
    jittered(SHORTEST_PAUSE.saturating_mul(1 << failures.min(10)).min(LONGEST_PAUSE))
}

#[cfg(test)]
mod tests {
    use keygate_tests::{PATIENCE, RedisServer};
    use rustix::process::Signal;

    use super::*;

    fn listen(server: &RedisServer) -> Subscription {
        Subscription::new(Client::open(server.url()).unwrap(), "news".to_owned())
    }

    /// Says something until it is heard, for a listener that is not there yet hears nothing.
    async fn hears(subscription: &Subscription, server: &RedisServer) {
        let heard = async {
            while timeout(Duration::from_millis(100), subscription.next()).await.is_err() {
                let _ = server.cli(&["PUBLISH", "news", ""]);
            }
        };
        timeout(PATIENCE, heard).await.expect("a hint");
    }

    /// Every hint that is due has been taken.
    async fn silence(subscription: &Subscription) {
        while timeout(Duration::from_millis(200), subscription.next()).await.is_ok() {}
    }

    #[tokio::test]
    async fn what_is_said_is_a_hint_and_so_is_a_connection() {
        let server = RedisServer::start();
        let subscription = listen(&server);
        timeout(PATIENCE, subscription.next()).await.expect("a hint of the connection");
        silence(&subscription).await;
        for _ in 0..3 {
            assert_eq!(server.cli(&["PUBLISH", "news", ""]), "1");
        }
        timeout(PATIENCE, subscription.next()).await.expect("a hint");
        silence(&subscription).await;
        let _ = server.cli(&["CLIENT", "KILL", "TYPE", "pubsub"]);
        timeout(PATIENCE, subscription.next()).await.expect("a hint of the next connection");
    }

    #[tokio::test]
    async fn it_comes_back_after_a_restart_and_after_a_refusal() {
        let mut server = RedisServer::start();
        let subscription = listen(&server);
        hears(&subscription, &server).await;
        server.kill();
        server.run();
        hears(&subscription, &server).await;
        let _ = server.cli(&["ACL", "SETUSER", "default", "resetchannels"]);
        let _ = server.cli(&["CLIENT", "KILL", "TYPE", "pubsub"]);
        silence(&subscription).await;
        let _ = server.cli(&["ACL", "SETUSER", "default", "allchannels"]);
        hears(&subscription, &server).await;
    }

    #[tokio::test]
    async fn a_silent_server_is_asked_whether_it_is_there() {
        let server = RedisServer::start();
        let source = Client::open(server.url()).unwrap();
        let often = Duration::from_millis(20);
        let subscription = Subscription::asking_after(often, source, "news".to_owned());
        hears(&subscription, &server).await;
        silence(&subscription).await;
        assert!(timeout(often * 20, subscription.next()).await.is_err(), "the connection is kept");
        server.signal(Signal::STOP);
        sleep(often + WITHIN + Duration::from_millis(500)).await;
        server.signal(Signal::CONT);
        timeout(PATIENCE, subscription.next()).await.expect("a hint of the next connection");
    }

    #[tokio::test]
    async fn listening_ends_with_its_owner() {
        let server = RedisServer::start();
        let subscription = listen(&server);
        hears(&subscription, &server).await;
        drop(subscription);
        let ended = async {
            while server.cli(&["PUBLISH", "news", ""]) != "0" {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, ended).await.expect("nobody listens");
    }

    #[test]
    fn pauses_grow_to_a_bound_and_differ() {
        assert!((1..100).map(pause).all(|pause| pause <= LONGEST_PAUSE * 2));
        assert!(pause(1) >= SHORTEST_PAUSE && pause(u32::MAX) >= LONGEST_PAUSE / 2);
        let some: std::collections::HashSet<_> = (0..20).map(|_| pause(9)).collect();
        assert!(some.len() > 1);
    }
}
