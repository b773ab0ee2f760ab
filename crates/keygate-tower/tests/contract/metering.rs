//! A request is metered exactly once, however it ends.

use std::{future::pending, panic::AssertUnwindSafe, pin::pin};

use futures_util::FutureExt as _;
use http::{Request, Response, StatusCode};
use keygate::{
    usage::{Outcome, StatusClass},
    verdict::Reason,
};
use tower::{Layer as _, Service as _, ServiceExt as _, service_fn};

use crate::{
    inner::{Held, Strict, poll_once},
    support::{Door, SUCCESS},
};

const FAILURE: Outcome = Outcome::Admitted(StatusClass::ServerError);

type Answer = Result<Response<String>, ()>;

async fn hang(_: Request<()>) -> Answer {
    pending().await
}

#[tokio::test]
async fn an_answer_is_metered_once_by_its_status() {
    let door = Door::of(9).await;
    for status in [200, 404, 500] {
        let service = door.layer().layer(service_fn(move |_| async move {
            let mut response = Response::new(String::new());
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            Ok::<_, ()>(response)
        }));
        let response = service.oneshot(door.get("/").body(()).unwrap()).await.unwrap();
        assert_eq!(response.status(), status);
    }
    let classes = [StatusClass::Success, StatusClass::ClientError, StatusClass::ServerError];
    assert_eq!(door.usage().await, classes.map(|class| (Outcome::Admitted(class), 1, 1)));
}

#[tokio::test]
async fn an_answer_that_nobody_reads_any_more_stays_metered_once() {
    let door = Door::of(9).await;
    let mut service = door.layer().layer(Strict::default());
    let request = door.get("/").body(()).unwrap();
    {
        let mut response = pin!(service.ready().await.unwrap().call(request));
        assert!(poll_once(response.as_mut()).is_ready());
        assert_eq!(door.usage().await, [(SUCCESS, 1, 1)]);
    }
    assert_eq!(door.usage().await, [(SUCCESS, 1, 1)]);
}

#[tokio::test]
async fn stores_that_answer_at_once_are_asked_in_the_call() {
    let door = Door::limited("{ name = 'parallel', concurrency = 1 }", |builder| builder).await;
    let strict = Strict::default();
    let mut service = door.layer().layer(strict.clone());
    let request = door.get("/").body(()).unwrap();
    let never_polled = service.ready().await.unwrap().call(request);
    assert_eq!(strict.log.counts(), (1, 0), "the service was called");
    let request = door.get("/").body(()).unwrap();
    let refused = service.ready().await.unwrap().call(request);
    let denied = (Outcome::Denied(Reason::TooManyConcurrent), 1, 0);
    assert_eq!(door.usage().await, [denied]);

    drop((never_polled, refused));
    assert_eq!(door.usage().await, [denied, (Outcome::Aborted, 1, 1)]);
    let request = door.get("/").body(()).unwrap();
    let response = service.ready().await.unwrap().call(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK, "the slot is free again");
}

#[tokio::test]
async fn a_store_that_takes_its_time_is_asked_when_it_is_polled() {
    let held = Held::new();
    held.released.add_permits(1);
    let door = Door::built(1, |builder| builder.counters(held)).await;
    let strict = Strict::default();
    let mut service = door.layer().layer(strict.clone());
    let request = door.get("/").body(()).unwrap();
    drop(service.ready().await.unwrap().call(request));
    assert_eq!(door.usage().await, [(Outcome::Aborted, 1, 0)]);
    assert_eq!(strict.log.counts(), (0, 0));

    let request = door.get("/").body(()).unwrap();
    let response = service.ready().await.unwrap().call(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK, "the only unit of the quota is still there");
}

#[tokio::test]
async fn a_response_that_was_returned_is_not_returned_again() {
    let door = Door::of(1).await;
    let mut service = door.layer().layer(Strict::default());
    let mut refused = pin!(service.ready().await.unwrap().call(Request::new(())));
    assert!(poll_once(refused.as_mut()).is_ready());
    assert!(poll_once(refused.as_mut()).is_pending());
}

#[tokio::test]
async fn a_client_that_leaves_before_the_verdict_is_metered_once_as_aborted() {
    let held = Held::new();
    let door = Door::built(9, |builder| builder.counters(held)).await;
    let strict = Strict::default();
    let mut service = door.layer().layer(strict.clone());
    {
        let request = door.get("/").body(()).unwrap();
        let mut response = pin!(service.ready().await.unwrap().call(request));
        assert!(poll_once(response.as_mut()).is_pending());
        assert_eq!(door.usage().await, []);
    }
    assert_eq!(door.usage().await, [(Outcome::Aborted, 1, 0)]);
    assert_eq!(strict.log.counts(), (0, 0));
}

#[tokio::test]
async fn a_client_that_leaves_before_the_answer_is_metered_once_as_aborted() {
    let door = Door::of(9).await;
    let mut service = door.layer().layer(service_fn(hang));
    {
        let request = door.get("/").body(()).unwrap();
        let mut response = pin!(service.ready().await.unwrap().call(request));
        assert!(poll_once(response.as_mut()).is_pending());
        assert_eq!(door.usage().await, []);
    }
    assert_eq!(door.usage().await, [(Outcome::Aborted, 1, 1)]);
}

#[tokio::test]
async fn a_service_that_panics_when_called_is_metered_once_as_failed() {
    let door = Door::of(9).await;
    let service = door.layer().layer(service_fn(|request: Request<()>| {
        assert_ne!(request.uri().path(), "/", "a bug in a service");
        hang(request)
    }));
    let task = tokio::spawn(service.oneshot(door.get("/").body(()).unwrap()));
    assert!(task.await.unwrap_err().is_panic());
    assert_eq!(door.usage().await, [(FAILURE, 1, 1)]);
}

#[tokio::test]
async fn a_handler_that_panics_is_metered_once_as_failed() {
    let door = Door::of(9).await;
    let service = door.layer().layer(service_fn(|request: Request<()>| async move {
        tokio::task::yield_now().await;
        assert_ne!(request.uri().path(), "/", "a bug in a handler");
        Answer::Err(())
    }));
    let task = tokio::spawn(service.oneshot(door.get("/").body(()).unwrap()));
    assert!(task.await.unwrap_err().is_panic());
    assert_eq!(door.usage().await, [(FAILURE, 1, 1)]);
}

#[tokio::test]
async fn a_panic_that_is_caught_around_it_is_a_failure_too() {
    let door = Door::of(9).await;
    let service = door.layer().refund_on(500..=599).layer(service_fn(async |_: Request<()>| {
        tokio::task::yield_now().await;
        assert_eq!(1, 2, "a bug in a handler");
        Answer::Err(())
    }));
    // As tower-http's `CatchPanic` does: it drops what panicked once it has made a response.
    let mut answer =
        pin!(AssertUnwindSafe(service.oneshot(door.get("/").body(()).unwrap())).catch_unwind());
    assert!(answer.as_mut().await.is_err());
    assert_eq!(door.usage().await, [(FAILURE, 1, 0)]);
}
