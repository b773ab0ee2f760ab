//! A Cluster: slots move, masters die.

use std::time::Duration;

use keygate_tests::{RedisCluster, RedisOptions, RedisServer};
use tokio::time::Instant;

use crate::scene::{Scene, Setting, assert_everything_expires, until};

/// Short, for what is measured is the outage after it.
const SILENCE: Duration = Duration::from_secs(1);

fn spread(quota: u64) -> Setting {
    Setting { quota, split: 4, ..Setting::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn resharded() {
    let mut cluster = RedisCluster::of(3, 0, RedisOptions::default());
    let new = cluster.add_master();
    let scene = Scene::on(&cluster.url(), spread(8_000)).await;
    let struck = Instant::now();
    // The node that serves a closed consumer, all of it.
    let from = cluster.master_of("keygate:limits:{closed-0}");
    let moved = cluster.reshard(from, new, 6_000).ended();
    assert!(moved.status.success(), "{}", moved.stdout);
    let report = scene.end("Cluster: all slots of a master moved", struck, Instant::now()).await;
    report.assert_sound();
    assert_eq!(cluster.master_of("keygate:limits:{closed-0}"), new);
    assert_everything_expires(&masters(&cluster));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn master_killed() {
    let mut cluster = RedisCluster::start().noticing_after(SILENCE);
    let scene = Scene::on(&cluster.url(), spread(5_000)).await;
    let victim = cluster.master_of("keygate:limits:{closed-0}");
    let struck = Instant::now();
    cluster.kill(victim);
    until("a replica is promoted", || masters(&cluster).len() == 3).await;
    let report = scene.end("Cluster: master SIGKILL", struck, Instant::now()).await;
    report.assert_sound_after_a_loss();
    assert_everything_expires(&masters(&cluster));
}

pub(crate) fn masters(cluster: &RedisCluster) -> Vec<&RedisServer> {
    let runs = |node: &&RedisServer| node.runs() && node.cli(&["role"]).starts_with("master");
    cluster.nodes().iter().filter(runs).collect()
}
