//! A node of a Cluster that is silent: what is told it must not make the others late.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use keygate::{
    clock::{Clock, SystemClock},
    key::KeyId,
    limit::Correction,
    period::Period,
    plan::Limit,
    port::{Charge, CounterStore, Settlement, SlotId, UsageStore},
    record::ConsumerId,
    usage::{Outcome, UsageEvent},
};
use keygate_tests::{RedisCluster, RedisOptions};
use rustix::process::Signal;
use tokio::{
    join,
    runtime::Handle,
    time::{Instant, sleep, timeout},
};

use super::support::{Customer, LEASE, leasing, limits, replica_at};
use crate::{
    counters::RedisCounters,
    guard::{Bounds, Guard},
    layout::Layout,
    testing::link_to,
    usage::{RedisUsage, UsageOptions},
};

/// Far less than a settlement may take, and room for a busy machine.
const SOON: Duration = Duration::from_millis(900);

fn per_key() -> Arc<[Limit]> {
    limits([Limit::concurrency("at-once", 2).per_key()])
}

/// A Cluster, and consumers whose counters lie on two different nodes of it.
fn two_nodes() -> (RedisCluster, Customer, Customer) {
    let cluster = RedisCluster::of(3, 0, RedisOptions::default());
    let node_of = |name: &str| cluster.master_of(&format!("keygate:limits:{{{name}}}"));
    let silent = node_of("c0");
    let other = (1..).map(|number| format!("c{number}")).find(|name| node_of(name) != silent);
    (cluster, Customer::new("c0"), Customer::new(&other.unwrap()))
}

fn freeze(cluster: &RedisCluster, who: &Customer) {
    let node = cluster.master_of(&format!("keygate:limits:{{{}}}", who.consumer));
    cluster.signal(node, Signal::STOP);
}

/// So many keys of one consumer.
fn keys_of(who: &Customer, count: u64) -> Vec<(Customer, SlotId)> {
    let key = |number| {
        let key = KeyId::random().unwrap();
        (Customer { key, ..who.clone() }, SlotId::new(7, number))
    };
    (0..count).map(key).collect()
}

async fn take(
    replica: &RedisCounters,
    limits: &Arc<[Limit]>,
    who: &Customer,
    slot: SlotId,
) -> bool {
    let (consumer, key, slot) = (&who.consumer, who.key, Some(slot));
    let charge = Charge { consumer, key, limits, cost: 1, slot };
    replica.charge(&charge).await.unwrap().iter().all(|reading| reading.within)
}

fn give_back(
    replica: &RedisCounters,
    limits: &[Limit],
    who: &Customer,
    slot: SlotId,
) -> impl Future<Output = ()> + use<> {
    let (consumer, key, slot) = (&who.consumer, who.key, Some(slot));
    let correction = Correction::None;
    replica.settle(&Settlement { consumer, key, limits, correction, slot })
}

#[tokio::test(flavor = "multi_thread")]
async fn settlements_with_a_silent_node_keep_nobody_else_waiting() {
    let (cluster, silent, other) = two_nodes();
    let (replica, limits) = (replica_at(&cluster.url()), per_key());
    let slots = keys_of(&silent, 150);
    for (who, slot) in &slots {
        assert!(take(&replica, &limits, who, *slot).await);
    }
    freeze(&cluster, &silent);
    let settled: Vec<_> =
        slots.iter().map(|(who, slot)| give_back(&replica, &limits, who, *slot)).collect();
    let slot = SlotId::new(8, 1);
    let taken = timeout(SOON, take(&replica, &limits, &other, slot)).await;
    assert!(taken.expect("a charge at another node is late"));
    let given_back = timeout(SOON, give_back(&replica, &limits, &other, slot)).await;
    given_back.expect("a settlement at another node is late");
    assert_eq!(other.remaining(&replica, &limits).await, [2]);
    drop(settled);
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_for_a_silent_node_makes_no_charges_late() {
    let (cluster, silent, other) = two_nodes();
    let link = link_to(&cluster.url());
    let layout = Layout::new("keygate");
    let guard = Arc::new(Guard::new(Bounds::default()));
    let replica = RedisCounters::new(Arc::clone(&link), layout.clone(), guard, None, LEASE);
    let options = UsageOptions { every: Duration::from_secs(3_600), ..UsageOptions::default() };
    let usage = RedisUsage::new(&link, layout, Arc::new(SystemClock), options, &Handle::current());
    let of_silent_node = |name: &String| {
        cluster.master_of(&format!("keygate:usage:{{{name}}}"))
            == cluster.master_of(&format!("keygate:limits:{{{}}}", silent.consumer))
    };
    let there = (0..).map(|number| format!("c{number}")).filter(of_silent_node);
    let there: Vec<ConsumerId> = there.take(200).map(|name| name.parse().unwrap()).collect();
    let limits = limits([Limit::quota("daily", 1 << 40, Period::day())]);
    other.charge(&replica, &limits, 1).await.unwrap();
    freeze(&cluster, &silent);
    for consumer in &there {
        usage.record(&UsageEvent {
            at: SystemClock.now(),
            key: Some((KeyId::random().unwrap(), consumer)),
            operation: None,
            outcome: Outcome::answered(Some(200)),
            cost: 1,
            latency_micros: 250,
        });
    }
    let charges = async {
        let (mut late, end) = (0, Instant::now() + Duration::from_secs(1));
        while Instant::now() < end {
            late += u32::from(other.charge(&replica, &limits, 1).await.is_err());
            sleep(Duration::from_millis(2)).await;
        }
        late
    };
    let (flushed, late) = join!(timeout(Duration::from_secs(1), usage.flush()), charges);
    assert!(!matches!(flushed, Ok(Ok(()))), "a silent node has answered");
    assert_eq!(late, 0, "charges at another node were late");
}

#[tokio::test(flavor = "multi_thread")]
async fn renewals_at_a_silent_node_make_no_others_late() {
    let (cluster, silent, other) = two_nodes();
    let lease = Duration::from_secs(2);
    let (replica, limits) = (leasing(&cluster.url(), lease), per_key());
    let slots = keys_of(&silent, 200);
    join_all(slots.iter().map(|(who, slot)| take(&replica, &limits, who, *slot))).await;
    assert!(take(&replica, &limits, &other, SlotId::new(8, 1)).await);
    freeze(&cluster, &silent);
    let until = Instant::now() + lease * 3;
    while Instant::now() < until {
        sleep(lease / 10).await;
        assert_eq!(other.remaining(&replica, &limits).await, [1], "a slot was lost");
    }
}
