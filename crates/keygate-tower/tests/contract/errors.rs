//! Errors are the service's own, unchanged.

use std::{
    future::{Ready, ready},
    task::{Context, Poll},
};

use http::{Request, Response};
use keygate::usage::{Outcome, StatusClass};
use tower::{Layer as _, Service, ServiceExt as _};

use crate::support::Door;

const SERVER_ERROR: Outcome = Outcome::Admitted(StatusClass::ServerError);

/// An error that does not even implement `Error`.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Failure(&'static str);

#[derive(Clone)]
struct Failing {
    readiness: Result<(), Failure>,
}

impl Service<Request<()>> for Failing {
    type Response = Response<String>;
    type Error = Failure;
    type Future = Ready<Result<Response<String>, Failure>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(self.readiness)
    }

    fn call(&mut self, _: Request<()>) -> Self::Future {
        ready(Err(Failure("call")))
    }
}

#[tokio::test]
async fn a_readiness_error_passes_unchanged_and_meters_nothing() {
    let door = Door::of(9).await;
    let mut service = door.layer().layer(Failing { readiness: Err(Failure("readiness")) });
    assert_eq!(service.ready().await.err(), Some(Failure("readiness")));
    assert_eq!(door.usage().await, []);
}

#[tokio::test]
async fn an_error_of_the_service_passes_unchanged_and_is_metered_as_a_server_error() {
    let door = Door::of(9).await;
    let service = door.layer().layer(Failing { readiness: Ok(()) });
    let result = service.oneshot(door.get("/").body(()).unwrap()).await;
    assert_eq!(result.err(), Some(Failure("call")));
    assert_eq!(door.usage().await, [(SERVER_ERROR, 1, 1)]);
}

#[tokio::test]
async fn an_error_of_the_service_is_refunded_as_a_500() {
    let door = Door::of(1).await;
    let service = door.layer().refund_on(500..=500).layer(Failing { readiness: Ok(()) });
    for _ in 0..2 {
        let result = service.clone().oneshot(door.get("/").body(()).unwrap()).await;
        assert_eq!(result.err(), Some(Failure("call")));
    }
    assert_eq!(door.usage().await, [(SERVER_ERROR, 2, 0)]);
}
