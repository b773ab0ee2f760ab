//! Together with the middleware of actix-web, around it and inside it.

use std::{
    pin::pin,
    task::{Context, Poll},
};

use actix_web::{
    App, Error,
    dev::{Service, ServiceRequest, ServiceResponse, Transform as _},
    http::{StatusCode, header},
    middleware::{
        Compat, Condition, DefaultHeaders, ErrorHandlerResponse, ErrorHandlers, Logger, Next,
        NormalizePath, from_fn,
    },
    test::{TestRequest, init_service},
    web,
};
use futures_util::future::{Ready, ready};
use keygate::verdict::Reason;

use crate::{
    send::{poll_once, send, status},
    support::{Door, SUCCESS},
};

async fn ok() -> &'static str {
    "ok"
}

#[actix_web::test]
async fn middleware_around_it_sees_refusals() {
    let door = Door::of(9).await;
    let handlers = ErrorHandlers::new().handler(StatusCode::UNAUTHORIZED, |mut response| {
        response.headers_mut().insert(header::SERVER, header::HeaderValue::from_static("seen"));
        Ok(ErrorHandlerResponse::Response(response.map_into_left_body()))
    });
    let app = App::new()
        .route("/", web::get().to(ok))
        .wrap(door.keys())
        .wrap(handlers)
        .wrap(DefaultHeaders::new().add(("x-version", "7")))
        .wrap(Logger::default());
    let answer = send(&init_service(app).await, TestRequest::get()).await;
    assert_eq!((answer.status, answer.refused()), (401, Reason::MissingKey));
    assert_eq!((answer.values("server"), answer.values("x-version")), (vec!["seen"], vec!["7"]));
}

#[actix_web::test]
async fn it_stands_in_every_place_of_a_stack() {
    let door = Door::of(9).await;
    let scope = web::scope("/v1")
        .route("/me", web::get().to(ok))
        .wrap(Compat::new(door.keys()))
        .wrap(from_fn(async |request, next: Next<_>| next.call(request).await));
    let app = App::new()
        .service(scope)
        .wrap(Condition::new(true, door.keys()))
        .wrap(NormalizePath::trim())
        .wrap(Condition::new(false, door.keys().require("admin").unwrap()));
    let app = init_service(app).await;
    assert_eq!(status(&app, door.get("/v1/me/")).await, 200);
    assert_eq!(door.usage().await, [(SUCCESS, 1, 1)]);
}

/// A service that is never ready.
struct Busy;

impl Service<ServiceRequest> for Busy {
    type Response = ServiceResponse;
    type Error = Error;
    type Future = Ready<Result<ServiceResponse, Error>>;

    fn poll_ready(&self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Pending
    }

    fn call(&self, request: ServiceRequest) -> Self::Future {
        ready(Ok(request.into_response(actix_web::HttpResponse::Ok().finish())))
    }
}

#[actix_web::test]
async fn it_is_ready_when_its_service_is() {
    let door = Door::of(9).await;
    let service = door.keys().new_transform(Busy).await.unwrap();
    let ready = std::future::poll_fn(|cx| service.poll_ready(cx));
    assert!(matches!(poll_once(pin!(ready)), Poll::Pending));
}
