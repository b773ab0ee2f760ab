//! Charges that wait for others, when somebody does not stay until the end: a client, Redis, a runtime.

use std::{sync::Arc, time::Duration};

use futures_util::FutureExt;
use keygate::port::{Charge, CounterStore, Owner};
use keygate_tests::{PATIENCE, RedisServer};
use rustix::process::Signal;
use tokio::{
    runtime::Runtime,
    time::{Instant, sleep, timeout},
};

use super::support::{
    Customer, all, assert_all_is_answered, becomes_idle, go_on, impatient, limits, monthly, pause,
    remaining, replica, settled, spawn, warmed_up,
};
use crate::guard::Circuit;

#[tokio::test(flavor = "multi_thread")]
async fn the_first_may_go_away_in_the_middle_of_its_call() {
    let server = RedisServer::start();
    let (replica, acme) = (warmed_up(replica(&server), &server).await, Customer::new("acme"));
    let limits = limits([monthly("monthly", 100)]);
    for round in 0..5 {
        pause(&server);
        let first = spawn(&replica, &limits, &acme, 1);
        settled().await;
        let others: Vec<_> = (0..9).map(|_| spawn(&replica, &limits, &acme, 1)).collect();
        settled().await;
        first.abort();
        first.await.unwrap_err();
        go_on(&server);
        // The first was sent, and counts.
        let left = 99 - round * 10;
        let mut told = remaining(&all(others).await);
        told.sort_unstable();
        assert_eq!(told, (left - 9..left).collect::<Vec<_>>());
    }
    assert_all_is_answered(&replica);
    becomes_idle(&replica, &acme).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_goes_away_while_it_waits_is_charged_nothing() {
    let server = RedisServer::start();
    let (replica, acme) = (warmed_up(replica(&server), &server).await, Customer::new("acme"));
    let limits = limits([monthly("monthly", 100)]);
    pause(&server);
    let first = spawn(&replica, &limits, &acme, 1);
    settled().await;
    let stay: Vec<_> = (0..39).map(|_| spawn(&replica, &limits, &acme, 1)).collect();
    let go: Vec<_> = (0..10).map(|_| spawn(&replica, &limits, &acme, 1)).collect();
    settled().await;
    for task in go {
        task.abort();
        task.await.unwrap_err();
    }
    go_on(&server);
    first.await.unwrap().unwrap();
    all(stay).await;
    assert_eq!(acme.remaining(&replica, &limits).await, [60]);
    assert_all_is_answered(&replica);
    becomes_idle(&replica, &acme).await;
}

#[tokio::test]
async fn those_who_went_away_do_not_pile_up() {
    let server = RedisServer::start();
    let (replica, acme) = (warmed_up(replica(&server), &server).await, Customer::new("acme"));
    let limits = limits([monthly("monthly", 100)]);
    pause(&server);
    let stay: Vec<_> = (0..20).map(|_| spawn(&replica, &limits, &acme, 1)).collect();
    settled().await;
    let known = replica.0.seen.of(Owner::Consumer(&acme.consumer), &replica.0.layout);
    for _ in 0..5_000 {
        assert!(acme.charge(&replica, &limits, 1).now_or_never().is_none(), "it waits");
        assert!(known.queues.members() <= 64);
    }
    go_on(&server);
    all(stay).await;
    assert_eq!(acme.remaining(&replica, &limits).await, [80]);
    becomes_idle(&replica, &acme).await;
}

#[tokio::test]
async fn who_never_polls_keeps_nobody_waiting() {
    let server = RedisServer::start();
    let (replica, acme) = (warmed_up(replica(&server), &server).await, Customer::new("acme"));
    let (limits, consumer) = (limits([monthly("monthly", 100)]), &acme.consumer);
    let (limits, key) = (&limits, acme.key);
    let unpolled = replica.charge(&Charge { consumer, key, limits, cost: 1, slot: None });
    let readings = acme.charge(&replica, limits, 1).await.unwrap();
    drop(unpolled);
    assert_eq!(readings[0].remaining, 99);
    assert_eq!(acme.remaining(&replica, limits).await, [99]);
    becomes_idle(&replica, &acme).await;
}

/// As where the thread of its task is busy with another one.
#[tokio::test]
async fn a_first_that_is_not_polled_again_is_not_waited_for_beyond_its_deadline() {
    const DEADLINE: Duration = Duration::from_millis(400);
    let server = RedisServer::start();
    let replica = warmed_up(impatient(&server, DEADLINE), &server).await;
    let (limits, acme) = (limits([monthly("monthly", 100)]), Customer::new("acme"));
    for left in [98, 88] {
        let mut first = Box::pin(acme.charge(&replica, &limits, 1));
        assert!(first.as_mut().now_or_never().is_none());
        // It was sent, and nobody takes the answer.
        sleep(DEADLINE / 2).await;
        let early: Vec<_> = (0..5).map(|_| spawn(&replica, &limits, &acme, 1)).collect();
        assert_eq!(remaining(&all(early).await), (left - 4..=left).rev().collect::<Vec<_>>());
        let late: Vec<_> = (0..4).map(|_| spawn(&replica, &limits, &acme, 1)).collect();
        assert_eq!(remaining(&all(late).await), (left - 8..left - 4).rev().collect::<Vec<_>>());
        becomes_idle(&replica, &acme).await;
        assert_eq!(first.await.unwrap()[0].remaining, left + 1);
    }
    assert_all_is_answered(&replica);
    becomes_idle(&replica, &acme).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_redis_keeps_nobody_beyond_its_deadline() {
    const DEADLINE: Duration = Duration::from_millis(200);
    const SLACK: Duration = Duration::from_millis(100);
    let server = RedisServer::start();
    let replica = warmed_up(impatient(&server, DEADLINE), &server).await;
    let (limits, acme) = (limits([monthly("monthly", 10_000)]), Customer::new("acme"));
    server.signal(Signal::STOP);
    let mut late = Vec::new();
    for _ in 0..60 {
        let (replica, limits, acme) = (Arc::clone(&replica), Arc::clone(&limits), acme.clone());
        late.push(tokio::spawn(async move {
            let start = Instant::now();
            (acme.charge(&replica, &limits, 1).await, start.elapsed())
        }));
        sleep(Duration::from_millis(5)).await;
    }
    for task in late {
        let (answer, took) = task.await.unwrap();
        assert!(answer.is_err() && took < DEADLINE + SLACK, "{took:?}");
    }
    assert_all_is_answered(&replica);
    becomes_idle(&replica, &acme).await;
    server.signal(Signal::CONT);
    let recovered = async {
        let mut tries = 1;
        while acme.charge(&replica, &limits, 1).await.is_err() {
            tries += 1;
            sleep(Duration::from_millis(10)).await;
        }
        tries
    };
    let tries = timeout(PATIENCE, recovered).await.expect("all goes on");
    assert_eq!(replica.0.guard.health().circuit(), Circuit::Closed);
    let tasks = (0..100).map(|_| spawn(&replica, &limits, &acme, 1)).collect();
    assert_eq!(remaining(&all(tasks).await).len(), 100);
    assert_all_is_answered(&replica);
    becomes_idle(&replica, &acme).await;
    // Each was counted once at most.
    let counted = 10_000 - acme.remaining(&replica, &limits).await[0];
    assert!((101..=160 + tries).contains(&counted), "{counted}");
}

#[test]
fn who_waits_makes_its_call_itself_where_the_runtime_of_the_counters_has_ended() {
    let server = RedisServer::start();
    let made_in = Runtime::new().unwrap();
    let replica = made_in.block_on(async { Arc::new(replica(&server)) });
    drop(made_in);
    Runtime::new().unwrap().block_on(async {
        let (limits, acme) = (limits([monthly("monthly", 100)]), Customer::new("acme"));
        for _ in 0..2 {
            let tasks = (0..60).map(|_| spawn(&replica, &limits, &acme, 1)).collect();
            let answers = timeout(PATIENCE, all(tasks)).await.expect("nobody is left waiting");
            assert!(answers.len() == 60);
        }
        assert_eq!(acme.remaining(&replica, &limits).await, [0]);
        assert_all_is_answered(&replica);
        becomes_idle(&replica, &acme).await;
    });
}
