//! Hints from Redis that something has changed: a connection of their own, kept up for ever.

use std::{future::Future, io, sync::Arc, time::Duration};

use futures_util::StreamExt;
use redis::{
    Client,
    aio::{PubSub, PubSubSink, PubSubStream},
    sentinel::SentinelClient,
};
use tokio::{
    sync::{Mutex, Notify},
    task::AbortHandle,
    time::{sleep, timeout},
};

use crate::{clock::jittered, fault::Fault};

/// How long connecting, or an answer on the connection, may take.
const WITHIN: Duration = Duration::from_secs(2);

/// How long one node may take to be reached, where there are others.
const ONE_NODE: Duration = Duration::from_secs(1);

/// After so long without a word, the server is asked whether it is still there: a connection that
/// was cut without a farewell would otherwise be listened to for ever.
const QUIET: Duration = Duration::from_secs(5);

const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Where connections that can listen come from. Each may lead to another node than the last.
pub(crate) enum PushSource {
    /// Nodes, each of which hears what is said at any: one server, or those of a Cluster.
    Nodes(Vec<Client>),
    /// The master of the moment.
    Sentinel(Box<Mutex<SentinelClient>>),
}

impl PushSource {
    async fn connect(&self) -> Result<PubSub, Fault> {
        match self {
            Self::Nodes(nodes) => any_of(nodes).await,
            Self::Sentinel(client) => {
                let master = client.lock().await.async_get_client().await?;
                Ok(master.get_async_pubsub().await?)
            }
        }
    }
}

/// Replicas begin with different nodes, and so does the next attempt.
async fn any_of(nodes: &[Client]) -> Result<PubSub, Fault> {
    let first = usize::try_from(getrandom::u32().unwrap_or(0)).unwrap_or(0);
    let first = first.checked_rem(nodes.len()).unwrap_or(0);
    let mut last = closed();
    for node in nodes.iter().cycle().skip(first).take(nodes.len()) {
        match timeout(ONE_NODE, node.get_async_pubsub()).await {
            Ok(Ok(connection)) => return Ok(connection),
            Ok(Err(error)) => last = error.into(),
            Err(_) => last = Fault::Timeout,
        }
    }
    Err(last)
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
    pub(crate) fn new(source: PushSource, channel: String) -> Self {
        Self::asking_after(QUIET, source, channel)
    }

    fn asking_after(quiet: Duration, source: PushSource, channel: String) -> Self {
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

struct Listener {
    source: PushSource,
    channel: String,
    quiet: Duration,
    hint: Arc<Notify>,
    failures: u32,
}

impl Listener {
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
    use keygate_tests::{PATIENCE, RedisCluster, RedisSentinel, RedisServer};
    use rustix::process::Signal;

    use super::*;
    use crate::address::Address;

    fn listen(server: &RedisServer) -> Subscription {
        listen_at(&server.url())
    }

    fn listen_at(url: &str) -> Subscription {
        Subscription::new(source(url), "news".to_owned())
    }

    fn source(url: &str) -> PushSource {
        PushSource::try_from(&Address::parse(url).unwrap()).unwrap()
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
    async fn whatever_node_of_a_cluster_speaks_is_heard_and_any_may_die() {
        let mut cluster = RedisCluster::start();
        let subscription = listen_at(&cluster.url());
        for node in cluster.nodes() {
            hears(&subscription, node).await;
            silence(&subscription).await;
        }
        cluster.kill(0);
        hears(&subscription, &cluster.nodes()[1]).await;
        silence(&subscription).await;
        hears(&subscription, &cluster.nodes()[2]).await;
    }

    #[tokio::test]
    async fn the_next_master_is_heard_after_the_last_one_died() {
        let mut sentinel = RedisSentinel::start().noticing_after(Duration::from_secs(2));
        let subscription = listen_at(&sentinel.url());
        let old = sentinel.master();
        hears(&subscription, &sentinel.servers()[old]).await;
        sentinel.kill(old);
        let new = sentinel.wait_for_another_than(old);
        hears(&subscription, &sentinel.servers()[new]).await;
        silence(&subscription).await;
        hears(&subscription, &sentinel.servers()[new]).await;
    }

    #[tokio::test]
    async fn a_silent_server_is_asked_whether_it_is_there() {
        let server = RedisServer::start();
        let often = Duration::from_millis(20);
        let source = source(&server.url());
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
