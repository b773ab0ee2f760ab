//! How many are at it at once, while Redis is unwell.

use std::time::Duration;

use keygate_tests::{RedisCluster, RedisOptions, RedisServer};
use rustix::process::Signal;
use tokio::time::{Instant, sleep};

use crate::{
    cluster::masters,
    crowd::{Crowd, assert_all_come_free, consumer},
    scene::assert_everything_expires,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn killed_and_started_empty() {
    let mut server = RedisServer::start();
    let crowd = Crowd::at(&server.url()).await;
    let struck = Instant::now();
    server.kill();
    sleep(Duration::from_secs(1)).await;
    server.run();
    let outcomes = crowd.end("slots: SIGKILL, 1 s, restart empty", [struck, Instant::now()]).await;
    outcomes.assert_sound_after_a_loss();
    assert!(outcomes.percent_unavailable(0) > 0, "closed never refused");
    assert_all_come_free(&[&server]).await;
    assert_everything_expires(&[&server]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn frozen_for_two_seconds() {
    let server = RedisServer::start();
    let crowd = Crowd::at(&server.url()).await;
    let struck = Instant::now();
    server.signal(Signal::STOP);
    sleep(Duration::from_secs(2)).await;
    server.signal(Signal::CONT);
    let outcomes = crowd.end("slots: SIGSTOP 2 s, SIGCONT", [struck, Instant::now()]).await;
    outcomes.assert_sound();
    assert!(outcomes.percent_unavailable(0) > 0, "closed never refused");
    assert_all_come_free(&[&server]).await;
    assert_everything_expires(&[&server]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_master_of_a_cluster_frozen() {
    let cluster = RedisCluster::of(3, 0, RedisOptions::default());
    let crowd = Crowd::at(&cluster.url()).await;
    let frozen = master_of(&cluster, 0);
    let is_elsewhere = |number: &usize| master_of(&cluster, *number) != frozen;
    let elsewhere: Vec<_> = (0..4).filter(is_elsewhere).collect();
    assert!(!elsewhere.is_empty());
    let struck = Instant::now();
    cluster.signal(frozen, Signal::STOP);
    sleep(Duration::from_secs(6)).await;
    cluster.signal(frozen, Signal::CONT);
    let outcomes = crowd.end("slots, Cluster: master SIGSTOP 6 s", [struck, Instant::now()]).await;
    outcomes.assert_sound();
    assert!(outcomes.percent_unavailable(0) > 0, "closed never refused");
    for consumer in elsewhere {
        let percent = outcomes.percent_unavailable(consumer);
        assert!(percent < 5, "{percent} % failed at another master");
    }
    let nodes = masters(&cluster);
    assert_all_come_free(&nodes).await;
    assert_everything_expires(&nodes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_cluster_resharded() {
    let mut cluster = RedisCluster::of(3, 0, RedisOptions::default());
    let new = cluster.add_master();
    let crowd = Crowd::at(&cluster.url()).await;
    let from = master_of(&cluster, 0);
    let struck = Instant::now();
    let moved = cluster.reshard(from, new, 6_000).ended();
    assert!(moved.status.success(), "{}", moved.stdout);
    let outcomes =
        crowd.end("slots, Cluster: all hash slots moved", [struck, Instant::now()]).await;
    outcomes.assert_sound();
    assert_eq!(master_of(&cluster, 0), new);
    assert!((0..4).all(|number| outcomes.percent_unavailable(number) < 5));
    let nodes = masters(&cluster);
    assert_all_come_free(&nodes).await;
    assert_everything_expires(&nodes);
}

fn master_of(cluster: &RedisCluster, number: usize) -> usize {
    cluster.master_of(&format!("keygate:limits:{{{}}}", consumer(number)))
}
