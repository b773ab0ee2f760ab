//! Together with tower's own layers, around the gate and inside it.

use std::{convert::Infallible, future::pending, pin::pin, time::Duration};

use http::{Request, Response, StatusCode};
use keygate::usage::{Outcome, StatusClass};
use tower::{
    BoxError, Service, ServiceBuilder, ServiceExt as _, load_shed::error::Overloaded, service_fn,
    timeout::error::Elapsed,
};

use crate::{
    inner::{Strict, poll_once},
    support::{Door, SUCCESS},
};

const PATIENCE: Duration = Duration::from_secs(10);
const SERVER_ERROR: Outcome = Outcome::Admitted(StatusClass::ServerError);

async fn hang(_: Request<()>) -> Result<Response<String>, Infallible> {
    pending().await
}

async fn answer<S, B>(service: &mut S, request: Request<()>) -> Result<StatusCode, S::Error>
where
    S: Service<Request<()>, Response = Response<B>>,
{
    let answer = async { service.ready().await?.call(request).await };
    let response = tokio::time::timeout(PATIENCE, answer).await.expect("answered in time")?;
    Ok(response.status())
}

#[tokio::test]
async fn a_refusal_gives_back_its_place_in_a_concurrency_limit() {
    let door = Door::of(9).await;
    let strict = Strict::default();
    let mut service =
        ServiceBuilder::new().layer(door.layer()).concurrency_limit(1).service(strict.clone());
    for round in 1..=3 {
        assert_eq!(answer(&mut service, Request::new(())).await, Ok(StatusCode::UNAUTHORIZED));
        let request = door.get("/").body(()).unwrap();
        assert_eq!(answer(&mut service, request).await, Ok(StatusCode::OK));
        assert_eq!(strict.log.counts(), (round, 0));
    }
}

#[tokio::test]
async fn a_refusal_gives_back_its_place_to_whoever_comes_next() {
    let door = Door::of(9).await;
    let strict = Strict::default();
    let mut refused =
        ServiceBuilder::new().layer(door.layer()).concurrency_limit(1).service(strict.clone());
    let mut next = refused.clone();
    assert_eq!(answer(&mut refused, Request::new(())).await, Ok(StatusCode::UNAUTHORIZED));
    let request = door.get("/").body(()).unwrap();
    assert_eq!(answer(&mut next, request).await, Ok(StatusCode::OK));
    assert_eq!(strict.log.counts(), (1, 0));
}

#[tokio::test]
async fn a_client_that_leaves_gives_back_its_place_in_a_concurrency_limit() {
    let door = Door::of(9).await;
    let mut service =
        ServiceBuilder::new().layer(door.layer()).concurrency_limit(1).service(service_fn(hang));
    for _ in 0..2 {
        let ready = tokio::time::timeout(PATIENCE, service.ready()).await.unwrap().unwrap();
        let mut response = pin!(ready.call(door.get("/").body(()).unwrap()));
        assert!(poll_once(response.as_mut()).is_pending());
        assert!(poll_once(pin!(service.ready())).is_pending());
    }
    assert_eq!(door.usage().await, [(Outcome::Aborted, 2, 2)]);
}

#[tokio::test]
async fn a_concurrency_limit_may_stand_around_it() {
    let door = Door::of(9).await;
    let strict = Strict::default();
    let mut service =
        ServiceBuilder::new().concurrency_limit(1).layer(door.layer()).service(strict.clone());
    for round in 1..=3 {
        let request = door.get("/").body(()).unwrap();
        assert_eq!(answer(&mut service, request).await, Ok(StatusCode::OK));
        assert_eq!(strict.log.counts(), (round, 0));
    }
}

#[tokio::test]
async fn a_buffer_may_stand_around_it_and_inside_it() {
    let door = Door::of(9).await;
    let strict = Strict::default();
    let mut service =
        ServiceBuilder::new().buffer(2).layer(door.layer()).buffer(2).service(strict.clone());
    for round in 1..=5 {
        // More rounds than places: each must give its place back.
        let status = answer(&mut service, Request::new(())).await.unwrap();
        assert_eq!(status, StatusCode::UNAUTHORIZED);
        let status = answer(&mut service, door.get("/").body(()).unwrap()).await.unwrap();
        assert_eq!(status, StatusCode::OK);
        assert_eq!(strict.log.counts(), (round, 0));
    }
}

#[tokio::test]
async fn load_is_shed_inside_it_as_an_error_of_the_service() {
    let door = Door::of(9).await;
    let mut service = ServiceBuilder::new()
        .layer(door.layer())
        .load_shed()
        .concurrency_limit(1)
        .service(service_fn(hang));
    let first = service.ready().await.unwrap().call(door.get("/").body(()).unwrap());
    let mut first = pin!(first);
    assert!(poll_once(first.as_mut()).is_pending());

    let error: BoxError = answer(&mut service, door.get("/").body(()).unwrap()).await.unwrap_err();
    assert!(error.is::<Overloaded>(), "{error}");
    assert_eq!(door.usage().await, [(SERVER_ERROR, 1, 1)]);
}

#[tokio::test]
async fn load_that_is_shed_around_it_is_not_metered() {
    let door = Door::of(9).await;
    let mut service = ServiceBuilder::new()
        .load_shed()
        .layer(door.layer())
        .concurrency_limit(1)
        .service(service_fn(hang));
    let first = service.ready().await.unwrap().call(door.get("/").body(()).unwrap());
    let mut first = pin!(first);
    assert!(poll_once(first.as_mut()).is_pending());

    let error: BoxError = answer(&mut service, door.get("/").body(()).unwrap()).await.unwrap_err();
    assert!(error.is::<Overloaded>(), "{error}");
    assert_eq!(door.usage().await, []);
}

#[tokio::test]
async fn a_timeout_inside_it_is_an_error_of_the_service() {
    let door = Door::of(9).await;
    let mut service = ServiceBuilder::new()
        .layer(door.layer())
        .timeout(Duration::from_millis(1))
        .service(service_fn(hang));
    let error: BoxError = answer(&mut service, door.get("/").body(()).unwrap()).await.unwrap_err();
    assert!(error.is::<Elapsed>(), "{error}");
    assert_eq!(door.usage().await, [(SERVER_ERROR, 1, 1)]);
}

#[tokio::test]
async fn a_timeout_around_it_aborts_the_request() {
    let door = Door::of(9).await;
    let mut service = ServiceBuilder::new()
        .timeout(Duration::from_millis(1))
        .layer(door.layer())
        .service(service_fn(hang));
    let error: BoxError = answer(&mut service, door.get("/").body(()).unwrap()).await.unwrap_err();
    assert!(error.is::<Elapsed>(), "{error}");
    assert_eq!(door.usage().await, [(Outcome::Aborted, 1, 1)]);
}

#[tokio::test]
async fn every_layer_at_once_admits_and_meters_once() {
    let door = Door::of(9).await;
    let strict = Strict::default();
    let mut service = ServiceBuilder::new()
        .buffer(1)
        .load_shed()
        .timeout(PATIENCE)
        .layer(door.layer())
        .concurrency_limit(1)
        .timeout(PATIENCE)
        .service(strict.clone());
    let status = answer(&mut service, door.get("/").body(()).unwrap()).await.unwrap();
    assert_eq!(status, StatusCode::OK);
    assert_eq!(strict.log.counts(), (1, 0));
    assert_eq!(door.usage().await, [(SUCCESS, 1, 1)]);
}
