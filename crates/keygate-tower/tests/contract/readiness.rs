//! Only a service that said it is ready is called, once for each time it said so.

use std::{
    pin::pin,
    sync::atomic::Ordering::SeqCst,
    task::{Context, Waker},
};

use http::Request;
use keygate::requirement::Requirement;
use tower::{Layer as _, Service as _, ServiceExt as _};

use crate::{
    inner::{Strict, poll_once},
    support::Door,
};

#[tokio::test]
async fn the_service_polled_ready_is_the_one_called() {
    let door = Door::of(9).await;
    let strict = Strict::default();
    let mut service = door.layer().layer(strict.clone());
    for round in 1..=5 {
        let request = door.get("/").body(()).unwrap();
        service.ready().await.unwrap().call(request).await.unwrap();
        assert_eq!(strict.log.counts(), (round, 0));
    }
}

#[tokio::test]
async fn a_public_route_keeps_the_same_contract() {
    let door = Door::of(9).await;
    let strict = Strict::default();
    let mut service = door.layer().with(Requirement::public()).layer(strict.clone());
    for round in 1..=3 {
        service.ready().await.unwrap().call(Request::new(())).await.unwrap();
        assert_eq!(strict.log.counts(), (round, 0));
    }
}

#[tokio::test]
async fn clones_do_not_share_a_readiness() {
    let door = Door::of(9).await;
    let strict = Strict::default();
    let mut first = door.layer().layer(strict.clone());
    first.ready().await.unwrap();
    // Cloned between readiness and call, as routers do.
    let mut second = first.clone();
    let one = first.call(door.get("/").body(()).unwrap());
    let two = second.ready().await.unwrap().call(door.get("/").body(()).unwrap());
    two.await.unwrap();
    one.await.unwrap();
    assert_eq!(strict.log.counts(), (2, 0));
}

#[tokio::test]
async fn a_readiness_survives_a_clone_and_further_polls() {
    let door = Door::of(9).await;
    let strict = Strict::default();
    let mut service = door.layer().layer(strict.clone());
    for _ in 0..3 {
        service.ready().await.unwrap();
    }
    service.call(door.get("/").body(()).unwrap()).await.unwrap();
    assert_eq!(strict.log.counts(), (1, 0));
}

#[tokio::test]
async fn back_pressure_comes_through_and_is_respected() {
    let door = Door::of(9).await;
    let strict = Strict::default();
    let mut service = door.layer().layer(strict.clone());
    for round in 1..=3 {
        strict.log.busy.store(4, SeqCst);
        let mut cx = Context::from_waker(Waker::noop());
        assert!(service.poll_ready(&mut cx).is_pending());
        let request = door.get("/").body(()).unwrap();
        service.ready().await.unwrap().call(request).await.unwrap();
        assert_eq!(strict.log.busy.load(SeqCst), 0);
        assert_eq!(strict.log.counts(), (round, 0));
    }
}

#[tokio::test]
async fn a_call_needs_no_further_readiness_once_made() {
    let door = Door::of(9).await;
    let strict = Strict::default();
    let mut service = door.layer().layer(strict.clone());
    let request = door.get("/").body(()).unwrap();
    let mut response = pin!(service.ready().await.unwrap().call(request));
    // Whoever comes next has to wait; this request does not.
    strict.log.busy.store(usize::MAX, SeqCst);
    assert!(poll_once(response.as_mut()).is_ready());
    assert_eq!(strict.log.counts(), (1, 0));
}
