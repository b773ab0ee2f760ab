//! The service is called after the verdict, and by nobody who did not wait for it.

use std::{pin::pin, sync::Arc, time::Duration};

use http::Response;
use tokio::sync::Notify;
use tower::{Layer as _, Service as _, ServiceExt as _, service_fn};

use crate::{
    inner::{Held, Strict, poll_once},
    support::{Door, SUCCESS, text_of},
};

#[tokio::test]
async fn the_service_is_called_only_after_the_verdict() {
    let held = Held::new();
    let door = Door::built(9, |builder| builder.counters(held.clone())).await;
    let strict = Strict::default();
    let mut service = door.layer().layer(strict.clone());

    let request = door.get("/").body(()).unwrap();
    let mut response = pin!(service.ready().await.unwrap().call(request));
    for _ in 0..3 {
        assert!(poll_once(response.as_mut()).is_pending());
        assert_eq!(strict.log.counts(), (0, 0));
    }
    held.released.add_permits(1);
    assert_eq!(text_of(response.await.unwrap()).await, "inner");
    assert_eq!(strict.log.counts(), (1, 0));
}

#[tokio::test]
async fn verdicts_may_come_in_any_order() {
    let held = Held::new();
    let door = Door::built(9, |builder| builder.counters(held.clone())).await;
    let strict = Strict::default();
    let mut first = door.layer().layer(strict.clone());
    let mut second = first.clone();

    first.ready().await.unwrap();
    second.ready().await.unwrap();
    let mut one = pin!(first.call(door.get("/1").body(()).unwrap()));
    let two = second.call(door.get("/2").body(()).unwrap());
    assert!(poll_once(one.as_mut()).is_pending());
    let two = tokio::spawn(two);
    held.released.add_permits(2);
    one.await.unwrap();
    two.await.unwrap().unwrap();
    assert_eq!(strict.log.counts(), (2, 0));
}

#[tokio::test]
async fn a_waiting_task_is_woken_by_the_verdict_and_then_by_the_service() {
    let held = Held::new();
    let door = Door::built(9, |builder| builder.counters(held.clone())).await;
    let (called, finish) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (begun, end) = (Arc::clone(&called), Arc::clone(&finish));
    let service = door.layer().layer(service_fn(move |_| {
        let (begun, end) = (Arc::clone(&begun), Arc::clone(&end));
        async move {
            begun.notify_one();
            end.notified().await;
            Ok::<_, ()>(Response::new(String::new()))
        }
    }));

    let task = tokio::spawn(service.oneshot(door.get("/").body(()).unwrap()));
    tokio::task::yield_now().await;
    held.released.add_permits(1);
    let patience = Duration::from_secs(10);
    tokio::time::timeout(patience, called.notified()).await.unwrap();
    finish.notify_one();
    tokio::time::timeout(patience, task).await.unwrap().unwrap().unwrap();
    assert_eq!(door.usage().await, [(SUCCESS, 1, 1)]);
}
