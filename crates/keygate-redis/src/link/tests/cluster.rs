//! A Cluster: commands find their node, and are carried out once.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use keygate_tests::{RedisCluster, RedisOptions};

use super::*;
use crate::fake;

#[tokio::test]
async fn every_key_finds_its_node() {
    let cluster = RedisCluster::of(3, 0, RedisOptions::default().password("hush"));
    let (link, script) = (link(&cluster.url()), counting());
    for key in 0..50 {
        assert_eq!(scripted(&link, &script, &format!("key:{key}"), AMPLE).await.unwrap(), 1);
    }
    assert_eq!(cluster.keys().len(), 50);
    assert!(cluster.nodes().iter().all(|node| !node.keys().is_empty()));
}

/// How long a node that is to be replaced is silent before it is.
const SILENCE: Duration = Duration::from_secs(1);

/// Whatever happens to its node, a call that succeeded counted once, and one that failed at most once.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_master_costs_calls_but_repeats_none() {
    let mut cluster = RedisCluster::start().noticing_after(SILENCE);
    let load = Load::on(link(&cluster.url()), 24, Duration::from_millis(500));
    load.reach(500).await;
    let victim = cluster.master_of("key:0");
    cluster.kill(victim);
    let took = load.every_key_again().await;
    println!("every slot is served again after {took:?}");
    assert_eq!(load.end().await, 0, "a counter was ahead of what was asked for");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_that_was_frozen_and_replaced_is_left() {
    let cluster = RedisCluster::start().noticing_after(SILENCE);
    let link = link(&cluster.url());
    counted(&link, "a", AMPLE).await.unwrap();
    let frozen = cluster.master_of("a");
    cluster.signal(frozen, rustix::process::Signal::STOP);
    let (_, took) = soon(|| counted(&link, "a", Duration::from_millis(50))).await;
    println!("left the frozen node after {took:?}");
    cluster.signal(frozen, rustix::process::Signal::CONT);
}

/// For longer than it takes to suspect a node and to connect anew.
#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_master_that_nobody_replaces_makes_no_others_late() {
    let cluster = RedisCluster::of(3, 0, RedisOptions::default());
    let link = Arc::new(link(&cluster.url()));
    let frozen = cluster.master_of("a");
    let elsewhere = |key: &String| cluster.master_of(key) != frozen;
    let other = (0..).map(|number| format!("key:{number}")).find(elsewhere).unwrap();
    for key in ["a", &other] {
        counted(&link, key, AMPLE).await.unwrap();
    }
    cluster.signal(frozen, rustix::process::Signal::STOP);
    let asking = tokio::spawn({
        let link = Arc::clone(&link);
        async move { while counted(&link, "a", Duration::from_millis(25)).await.is_err() {} }
    });
    let (start, mut late) = (now(), 0);
    while now().duration_since(start) < Duration::from_secs(6) {
        late += u32::from(counted(&link, &other, Duration::from_millis(250)).await.is_err());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(late, 0, "calls to another master were left unanswered");
    asking.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn moving_slots_to_a_new_node_fails_no_call() {
    let mut cluster = RedisCluster::of(3, 0, RedisOptions::default());
    let load = Load::on(link(&cluster.url()), 96, AMPLE);
    load.reach(500).await;
    let new = cluster.add_master();
    let moved = cluster.reshard(0, new, 1000).ended();
    assert!(moved.status.success(), "{}", moved.stdout);
    load.every_key_again().await;
    assert_eq!(load.failed.load(Ordering::SeqCst), 0);
    assert!(!cluster.nodes()[new].keys().is_empty());
    assert_eq!(load.end().await, 0);
}

#[tokio::test]
async fn a_command_under_which_the_connection_broke_is_sent_once() {
    let (port, sent) = deaf_cluster().await;
    let link = link(&format!("redis+cluster://127.0.0.1:{port}"));
    assert_eq!(kind(counted(&link, "a", AMPLE).await), FaultKind::Connection);
    assert_eq!(sent.load(Ordering::SeqCst), 1);
}

/// As long as a slot is moving, which may take longer than so many pauses.
#[tokio::test]
async fn what_may_be_tried_again_is_until_it_is_too_late() {
    let (port, tries) = cluster_that_moves_a_slot(60).await;
    let link = link(&format!("redis+cluster://127.0.0.1:{port}"));
    assert_eq!(counted(&link, "a", AMPLE).await.unwrap(), 1);
    assert_eq!(tries.load(Ordering::SeqCst), 61);
}

/// A pause must be short beside the deadline of a decision: what is moved by then is in time.
#[tokio::test]
async fn what_may_be_tried_again_is_tried_often() {
    let (port, tries) = cluster_that_moves_a_slot(u64::MAX).await;
    let link = link(&format!("redis+cluster://127.0.0.1:{port}"));
    link.query::<String>(&cmd("TIME"), AMPLE).await.unwrap();
    let within = Duration::from_millis(400);
    assert_eq!(kind(counted(&link, "a", within).await), FaultKind::Timeout);
    let tries = tries.load(Ordering::SeqCst);
    assert!(tries >= 30, "only {tries} tries in {within:?}");
}

/// A Cluster of one node that hangs up on whoever counts, and how often it heard them.
async fn deaf_cluster() -> (u16, Arc<AtomicU64>) {
    cluster_of_one(|_| None).await
}

/// A Cluster of one node that has the slot only after it was asked so many times, and how often it was.
async fn cluster_that_moves_a_slot(tries: u64) -> (u16, Arc<AtomicU64>) {
    let answer = move |heard| match heard < tries {
        true => Some("-TRYAGAIN Multiple keys request during rehashing of slot\r\n".to_owned()),
        false => Some(":1\r\n".to_owned()),
    };
    cluster_of_one(answer).await
}

/// A Cluster of one node, what it says to whoever counts, by how often it has heard that before, and how
/// often it did.
async fn cluster_of_one<A>(count: A) -> (u16, Arc<AtomicU64>)
where
    A: Fn(u64) -> Option<String> + Send + Sync + 'static,
{
    let sent = Arc::<AtomicU64>::default();
    let heard = Arc::clone(&sent);
    let answer = move |verb: &str, client: fake::Client| match verb {
        "INCR" => count(heard.fetch_add(1, Ordering::SeqCst)),
        verb => Some(told_by_one(verb, client)),
    };
    (fake::server(answer).await, sent)
}

/// What the only node of a Cluster says.
fn told_by_one(verb: &str, client: fake::Client) -> String {
    let slots = |port| {
        format!("*1\r\n*3\r\n:0\r\n:16383\r\n*3\r\n$9\r\n127.0.0.1\r\n:{port}\r\n$1\r\nx\r\n")
    };
    match verb {
        "CLUSTER" => slots(client.port),
        _ => "+OK\r\n".to_owned(),
    }
}

/// However it came to that: such a connection is an outage of seconds, and not the end.
#[tokio::test]
async fn a_connection_on_which_nobody_answers_any_more_is_replaced() {
    let (come, deaf) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
    let (coming, to_the_deaf) = (Arc::clone(&come), Arc::clone(&deaf));
    let answer = move |verb: &str, client: fake::Client| {
        coming.fetch_max(client.number + 1, Ordering::SeqCst);
        let told = match verb {
            _ if client.number < to_the_deaf.load(Ordering::SeqCst) => String::new(),
            "INCR" => ":1\r\n".to_owned(),
            verb => told_by_one(verb, client),
        };
        Some(told)
    };
    let port = fake::server(answer).await;
    let link = link(&format!("redis+cluster://127.0.0.1:{port}"));
    counted(&link, "a", AMPLE).await.unwrap();
    deaf.store(come.load(Ordering::SeqCst), Ordering::SeqCst);
    let short = Duration::from_millis(25);
    assert_eq!(kind(counted(&link, "a", short).await), FaultKind::Timeout);
    let (_, took) = soon(|| counted(&link, "a", short)).await;
    println!("answered again after {took:?}");
}

#[tokio::test]
async fn the_loss_of_all_nodes_is_survived() {
    let mut cluster = RedisCluster::of(3, 0, RedisOptions::default()).noticing_after(SILENCE);
    let link = link(&cluster.url());
    counted(&link, "a", AMPLE).await.unwrap();
    (0..3).for_each(|node| cluster.kill(node));
    for _ in 0..50 {
        counted(&link, "a", Duration::from_millis(50)).await.unwrap_err();
    }
    (0..3).for_each(|node| cluster.run(node));
    cluster.wait_until_covered();
    soon(|| counted(&link, "a", Duration::from_millis(50))).await;
}

/// Tasks that count, one key each, and know what they asked for.
struct Load {
    stop: Arc<AtomicBool>,
    failed: Arc<AtomicU64>,
    done: Vec<Arc<AtomicU64>>,
    tasks: Vec<tokio::task::JoinHandle<u64>>,
}

impl Load {
    fn on(link: Link, keys: usize, within: Duration) -> Self {
        let (link, script) = (Arc::new(link), Arc::new(counting()));
        let (stop, failed) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let done: Vec<Arc<AtomicU64>> = (0..keys).map(|_| Arc::default()).collect();
        let task = |(key, done): (usize, &Arc<AtomicU64>)| {
            let (link, script, done) = (Arc::clone(&link), Arc::clone(&script), Arc::clone(done));
            let (stop, failed) = (Arc::clone(&stop), Arc::clone(&failed));
            let key = format!("key:{key}");
            tokio::spawn(async move {
                let (mut asked, mut ahead) = (0, 0);
                while !stop.load(Ordering::SeqCst) {
                    asked += 1;
                    match scripted(&link, &script, &key, within).await {
                        Ok(count) => {
                            ahead += u64::from(count > asked);
                            done.fetch_add(1, Ordering::SeqCst);
                        }
                        Err(_) => {
                            failed.fetch_add(1, Ordering::SeqCst);
                            tokio::time::sleep(Duration::from_millis(1)).await;
                        }
                    }
                }
                ahead
            })
        };
        let tasks = done.iter().enumerate().map(task).collect();
        Self { stop, failed, done, tasks }
    }

    async fn reach(&self, calls: u64) {
        let total = || self.done.iter().map(|done| done.load(Ordering::SeqCst)).sum::<u64>();
        soon(|| async { if total() >= calls { Ok(()) } else { Err(total()) } }).await;
    }

    /// Waits until every key was counted again.
    async fn every_key_again(&self) -> Duration {
        let read = || self.done.iter().map(|done| done.load(Ordering::SeqCst)).collect::<Vec<_>>();
        let before = read();
        let all = || read().iter().zip(&before).all(|(now, before)| now > before);
        soon(|| async { if all() { Ok(()) } else { Err(()) } }).await.1
    }

    /// How often a counter was ahead of what was asked for.
    async fn end(self) -> u64 {
        self.stop.store(true, Ordering::SeqCst);
        let mut ahead = 0;
        for task in self.tasks {
            ahead += task.await.unwrap();
        }
        ahead
    }
}
