//! Slots over replicas that come and go.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use keygate::{
    limit::Correction,
    plan::{Limit, RateSpec},
    port::{Charge, CounterStore, Settlement, SlotId, StoreError},
};
use keygate_tests::RedisServer;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::Instant,
};

use super::support::{Customer, assert_everything_expires, leasing, limits, replica};
use crate::counters::RedisCounters;

/// Short, so that a test can wait for its end.
const LEASE: Duration = Duration::from_millis(400);

fn two_at_once() -> Arc<[Limit]> {
    limits([Limit::concurrency("at-once", 2)])
}

fn slot(number: u64) -> SlotId {
    SlotId::new(7, number)
}

/// Whether a request of this number gets a slot.
async fn take(
    who: &Customer,
    replica: &RedisCounters,
    limits: &Arc<[Limit]>,
    number: u64,
) -> Result<bool, StoreError> {
    let (consumer, key, slot) = (&who.consumer, who.key, Some(slot(number)));
    let readings = replica.charge(&Charge { consumer, key, limits, cost: 1, slot }).await?;
    Ok(readings.iter().all(|reading| reading.within))
}

async fn give_back(who: &Customer, replica: &RedisCounters, limits: &[Limit], number: u64) {
    let (consumer, key, slot) = (&who.consumer, who.key, Some(slot(number)));
    let correction = Correction::None;
    replica.settle(&Settlement { consumer, key, limits, correction, slot }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_replica_that_is_gone_held_is_free_after_its_lease() {
    let server = RedisServer::start();
    let (who, limits) = (Customer::new("acme"), two_at_once());
    let (gone, stays) = (leasing(&server.url(), LEASE), replica(&server));
    assert!(take(&who, &gone, &limits, 1).await.unwrap());
    assert!(take(&who, &gone, &limits, 2).await.unwrap());
    drop(gone);
    assert!(!take(&who, &stays, &limits, 3).await.unwrap(), "free before the lease ran out");
    tokio::time::sleep(LEASE).await;
    assert!(take(&who, &stays, &limits, 4).await.unwrap());
    assert!(take(&who, &stays, &limits, 5).await.unwrap());
    assert!(!take(&who, &stays, &limits, 6).await.unwrap());
    assert_everything_expires(&server);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_lives_keeps_its_slots_beyond_their_lease() {
    let server = RedisServer::start();
    let (who, limits) = (Customer::new("acme"), two_at_once());
    // Longer, for a busy machine may renew late.
    let lease = Duration::from_secs(2);
    let (holds, asks) = (leasing(&server.url(), lease), replica(&server));
    assert!(take(&who, &holds, &limits, 1).await.unwrap());
    assert!(take(&who, &holds, &limits, 2).await.unwrap());
    tokio::time::sleep(lease * 2).await;
    assert!(!take(&who, &asks, &limits, 3).await.unwrap(), "a slot was lost");
    give_back(&who, &holds, &limits, 1).await;
    assert!(take(&who, &asks, &limits, 4).await.unwrap());
    assert!(!take(&who, &asks, &limits, 5).await.unwrap());
    tokio::time::sleep(lease * 2).await;
    give_back(&who, &asks, &limits, 4).await;
    assert!(take(&who, &asks, &limits, 6).await.unwrap(), "what was given back was renewed");
}

#[tokio::test(flavor = "multi_thread")]
async fn slots_that_redis_has_lost_are_held_again() {
    let server = RedisServer::start();
    let (who, limits) = (Customer::new("acme"), two_at_once());
    let (holds, asks) = (leasing(&server.url(), LEASE), replica(&server));
    assert!(take(&who, &holds, &limits, 1).await.unwrap());
    assert!(take(&who, &holds, &limits, 2).await.unwrap());
    server.cli(&["flushall"]);
    while server.keys().is_empty() {
        tokio::time::sleep(LEASE / 10).await;
    }
    assert!(!take(&who, &asks, &limits, 3).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_set_of_slots_is_a_fault_and_left_alone() {
    let server = RedisServer::start();
    let (who, limits) = (
        Customer::new("acme"),
        limits([Limit::concurrency("at-once", 2), Limit::rate("calls", RateSpec::per_second(1))]),
    );
    server.cli(&["set", "keygate:slots:{acme}:at-once", "mine"]);
    let replica = replica(&server);
    let fault = take(&who, &replica, &limits, 1).await.unwrap_err();
    assert!(fault.to_string().contains("WRONGTYPE"), "{fault}");
    assert_eq!(server.cli(&["get", "keygate:slots:{acme}:at-once"]), "mine");
    assert_eq!(server.keys().len(), 1, "something was charged");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_settlement_that_cannot_be_sent_is_counted_as_lost_and_keeps_nobody() {
    let mut server = RedisServer::start();
    let (who, limits) = (Customer::new("acme"), two_at_once());
    let replica = replica(&server);
    assert!(take(&who, &replica, &limits, 1).await.unwrap());
    server.kill();
    give_back(&who, &replica, &limits, 1).await;
    assert_eq!(replica.settling().lost(), 1);
    assert!(replica.settling().done(Duration::from_secs(5)).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_of_no_time_still_holds_a_slot() {
    let server = RedisServer::start();
    let (who, limits) = (Customer::new("acme"), two_at_once());
    let replica = leasing(&server.url(), Duration::ZERO);
    assert!(take(&who, &replica, &limits, 1).await.unwrap());
    assert!(take(&who, &replica, &limits, 2).await.unwrap());
    assert!(!take(&who, &replica, &limits, 3).await.unwrap(), "more than there are");
}

/// A line on which every byte takes so long; where it begins.
async fn long_way(to: u16, delay: Duration) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(("127.0.0.1", to)).await.unwrap();
            let ((from_client, to_client), (from_server, to_server)) =
                (client.into_split(), server.into_split());
            for (mut from, mut to) in [(from_client, to_server), (from_server, to_client)] {
                let (sent, mut on_its_way) = mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
                tokio::spawn(async move {
                    let mut bytes = [0; 65_536];
                    while let Ok(length @ 1..) = from.read(&mut bytes).await {
                        let _ = sent.send((Instant::now() + delay, bytes[..length].to_vec()));
                    }
                });
                tokio::spawn(async move {
                    while let Some((at, bytes)) = on_its_way.recv().await {
                        tokio::time::sleep_until(at).await;
                        let _ = to.write_all(&bytes).await;
                    }
                });
            }
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread")]
async fn slots_of_many_consumers_are_renewed_in_time_over_a_long_way() {
    const CONSUMERS: u64 = 200;
    let server = RedisServer::start();
    let (limits, lease) = (two_at_once(), Duration::from_secs(2));
    let port = long_way(server.port(), Duration::from_millis(10)).await;
    let holds = leasing(&format!("redis://127.0.0.1:{port}"), lease);
    let all: Vec<_> = (0..CONSUMERS).map(|it| Customer::new(&format!("c{it}"))).collect();
    let (holds, limits) = (&holds, &limits);
    join_all(all.iter().zip(1..).map(|(who, number)| async move {
        assert!(take(who, holds, limits, number).await.unwrap());
    }))
    .await;
    let until = Instant::now() + lease * 2;
    while Instant::now() < until {
        tokio::time::sleep(lease / 10).await;
        assert_eq!(server.keys().len(), all.len(), "slots were lost");
    }
}
