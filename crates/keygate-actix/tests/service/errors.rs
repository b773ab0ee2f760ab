//! Errors are the service's own, and are metered by what they are rendered as.

use std::fmt;

use actix_web::{
    App, Error, HttpResponse, ResponseError,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    error::ErrorNotFound,
    middleware::{Next, from_fn},
    test::init_service,
    web,
};
use keygate::gate::GateBuilder;

use crate::{
    send::{Answer, send},
    support::{CLIENT_ERROR, Door, SERVER_ERROR},
};

/// An error that says one status and is rendered with another.
#[derive(Debug)]
struct Teapot;

impl fmt::Display for Teapot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a teapot")
    }
}

impl ResponseError for Teapot {
    fn error_response(&self) -> HttpResponse {
        HttpResponse::build(418.try_into().unwrap()).insert_header(("x-pot", "tea")).body("short")
    }
}

/// Middleware that calls on or fails, by the path.
async fn fail(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    match request.path() {
        "/teapot" => Err(Teapot.into()),
        "/missing" => Err(ErrorNotFound("no such thing")),
        _ => next.call(request).await,
    }
}

async fn answer(door: &Door, path: &str) -> Answer {
    let handler = async || Err::<&str, _>(Teapot);
    let app = App::new()
        .route("/handler", web::get().to(handler))
        .wrap(from_fn(fail))
        .wrap(door.keys().cost(2).refund_on(500..=599));
    send(&init_service(app).await, door.get(path)).await
}

#[actix_web::test]
async fn an_error_of_middleware_stays_one_and_is_rendered_with_the_fields() {
    let door = Door::built(9, GateBuilder::tell_admitted).await;
    let answer = answer(&door, "/teapot").await;
    assert!(answer.was_err);
    assert_eq!((answer.status, answer.text.as_str()), (418, "short"));
    assert_eq!(answer.error.as_deref(), Some("a teapot"));
    assert_eq!(answer.values("x-pot"), ["tea"]);
    assert_eq!(answer.values("ratelimit"), [r#""daily";r=7;t=43200"#]);
    assert_eq!(answer.admitted().cost(), 2);
    assert_eq!(door.usage().await, [(CLIENT_ERROR, 1, 2)], "not by what it says, but is");
}

#[actix_web::test]
async fn an_error_of_actix_is_metered_by_its_status() {
    let door = Door::of(9).await;
    let answer = answer(&door, "/missing").await;
    assert_eq!((answer.status, answer.was_err), (404, true));
    assert_eq!(answer.values("ratelimit").len(), 1);
    assert_eq!(door.usage().await, [(CLIENT_ERROR, 1, 2)]);
}

#[actix_web::test]
async fn an_error_of_a_handler_is_a_response_that_still_knows_its_error() {
    let door = Door::of(9).await;
    let answer = answer(&door, "/handler").await;
    assert_eq!((answer.status, answer.was_err), (418, false));
    assert_eq!(answer.error.as_deref(), Some("a teapot"));
    assert_eq!(answer.values("ratelimit").len(), 1);
    assert_eq!(door.usage().await, [(CLIENT_ERROR, 1, 2)]);
}

#[actix_web::test]
async fn an_error_of_middleware_gives_back_what_it_cost_if_so_set() {
    let door = Door::of(9).await;
    let app = App::new()
        .wrap(from_fn(async |_: ServiceRequest, _: Next<actix_web::body::BoxBody>| {
            Err::<ServiceResponse, _>(actix_web::error::ErrorBadGateway("gone"))
        }))
        .wrap(door.keys().cost(2).refund_on(500..=599));
    let app = init_service(app).await;
    for _ in 0..5 {
        assert_eq!(send(&app, door.get("/")).await.status, 502);
    }
    assert_eq!(door.usage().await, [(SERVER_ERROR, 5, 0)]);
}

#[actix_web::test]
async fn an_error_through_two_of_them_is_rendered_once_for_each_gate() {
    let (outer, inner) = (Door::of(9).await, Door::of(5).await);
    let app = App::new()
        .wrap(from_fn(fail))
        .wrap(inner.keys())
        .wrap(inner.keys())
        .wrap(outer.keys().with(keygate::requirement::Requirement::public()));
    let answer = send(&init_service(app).await, inner.get("/teapot")).await;
    assert_eq!(answer.values("ratelimit"), [r#""daily";r=4;t=43200"#]);
    assert_eq!(inner.usage().await, [(CLIENT_ERROR, 1, 1)]);
}
