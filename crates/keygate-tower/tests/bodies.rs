//! Bodies pass untouched: neither read, nor buffered, nor changed.

use std::{
    convert::Infallible,
    future::ready,
    sync::{Arc, atomic::Ordering::SeqCst},
};

use bytes::{Buf, Bytes};
use http::{Request, Response, StatusCode};
use http_body::Body as _;
use http_body_util::{BodyExt as _, Full, combinators::UnsyncBoxBody};
use keygate::usage::{Outcome, StatusClass};
use tower::{Layer as _, ServiceExt as _, service_fn};

use self::{
    support::{Door, SUCCESS, text_of},
    trickle::{Trickle, reads_frame_by_frame},
};

#[cfg(test)]
mod support;
#[cfg(test)]
#[path = "bodies/trickle.rs"]
mod trickle;

const FAILURE: Outcome = Outcome::Admitted(StatusClass::ServerError);

#[tokio::test]
async fn a_request_body_reaches_the_service_unread_with_its_trailers() {
    let door = Door::of(9).await;
    let service = door.layer().layer(service_fn(|request: Request<Trickle>| async move {
        let asked = Arc::clone(&request.body().asked);
        reads_frame_by_frame(request.into_body(), asked, &["one", "two", "three"]).await;
        Ok::<_, ()>(Response::new(String::new()))
    }));
    let body = Trickle::of(&["one", "two", "three"]);
    let response = service.oneshot(door.get("/").body(body).unwrap()).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_response_body_reaches_the_client_unread_with_its_trailers() {
    let door = Door::of(9).await;
    let asked = Arc::default();
    let counter = Arc::clone(&asked);
    let service = door.layer().layer(service_fn(move |_: Request<()>| {
        ready(Ok::<_, ()>(Response::new(Trickle::counted_by(
            Arc::clone(&counter),
            &["one", "two"],
        ))))
    }));
    let response = service.oneshot(door.get("/").body(()).unwrap()).await.unwrap();
    assert_eq!(door.usage().await, [(SUCCESS, 1, 1)], "metered with the head");
    reads_frame_by_frame(response.into_body(), asked, &["one", "two"]).await;
}

#[tokio::test]
async fn a_response_of_grpc_reaches_the_client_unread_though_its_end_is_awaited() {
    let door = Door::of(9).await;
    let asked = Arc::default();
    let counter = Arc::clone(&asked);
    let service = door.layer().layer(service_fn(move |_: Request<()>| {
        let body = Trickle::counted_by(Arc::clone(&counter), &["one", "two"]);
        ready(Response::builder().header("content-type", "application/grpc").body(body))
    }));
    let request = door.get("/").header("content-type", "application/grpc");
    let response = service.oneshot(request.body(()).unwrap()).await.unwrap();
    assert_eq!(door.usage().await, [], "not metered with the head");
    reads_frame_by_frame(response.into_body(), asked, &["one", "two"]).await;
    assert_eq!(door.usage().await, [(FAILURE, 1, 1)], "the trailers have no status");
}

#[tokio::test]
async fn a_response_of_grpc_has_not_ended_before_its_end_was_seen() {
    let door = Door::of(9).await;
    let service = door.layer().layer(service_fn(|_: Request<()>| {
        let response = Response::builder().header("content-type", "application/grpc");
        ready(response.body(String::new()))
    }));
    let request = door.get("/").header("content-type", "application/grpc");
    let mut body = service.oneshot(request.body(()).unwrap()).await.unwrap().into_body();
    assert!(!body.is_end_stream());
    assert!(body.frame().await.is_none());
    assert!(body.is_end_stream());
    drop(body);
    assert_eq!(door.usage().await, [(FAILURE, 1, 1)]);
}

#[tokio::test]
async fn the_body_of_a_refused_request_is_dropped_unread() {
    let door = Door::of(9).await;
    let service = door.layer().layer(service_fn(|_: Request<Trickle>| async {
        Ok::<_, ()>(Response::new(Trickle::of(&[])))
    }));
    let body = Trickle::of(&["one"]);
    let asked = Arc::clone(&body.asked);
    let response = service.oneshot(Request::new(body)).await.unwrap();
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert_eq!((asked.load(SeqCst), Arc::strong_count(&asked)), (0, 1));
    let problem = text_of(response).await;
    assert!(problem.starts_with("{\"type\":"), "{problem}");
}

#[tokio::test]
async fn a_refusal_is_one_frame_of_a_length_known_before() {
    let door = Door::of(9).await;
    let service = door
        .layer()
        .layer(service_fn(|_: Request<()>| async { Ok::<_, ()>(Response::new(String::new())) }));
    let mut body = service.oneshot(Request::new(())).await.unwrap().into_body();
    let length = body.size_hint().exact().unwrap();
    assert!(!body.is_end_stream());
    let text = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(text.len() as u64, length);
    assert!(body.is_end_stream());
    assert!(body.frame().await.is_none());
}

#[tokio::test]
async fn a_body_that_no_text_can_become_is_refused_with_a_text_all_the_same() {
    let door = Door::of(1).await;
    let service = door.layer().layer(service_fn(|_: Request<()>| async {
        let body = Full::new(Bytes::from_static(b"mine"));
        Ok::<_, ()>(Response::new(UnsyncBoxBody::<Bytes, Infallible>::new(body)))
    }));
    let request = || door.get("/").body(()).unwrap();
    let answered = service.clone().oneshot(request()).await.unwrap();
    assert_eq!(text_of(answered).await, "mine");
    let refused = text_of(service.oneshot(request()).await.unwrap()).await;
    assert!(refused.contains("quota_exhausted"), "{refused}");
}

/// Data of the service's own, made of lines.
#[derive(Debug, PartialEq)]
struct Lines(Bytes);

impl From<String> for Lines {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl Buf for Lines {
    fn remaining(&self) -> usize {
        self.0.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.0.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.0.advance(count);
    }
}

#[tokio::test]
async fn data_may_be_anything_that_a_text_can_become() {
    let door = Door::of(1).await;
    let service = door.layer().layer(service_fn(|_: Request<()>| async {
        Ok::<_, ()>(Response::new(Full::new(Lines::from("mine\n".to_owned()))))
    }));
    let request = || door.get("/").body(()).unwrap();
    let mut answered = service.clone().oneshot(request()).await.unwrap().into_body();
    let data = answered.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(data, Lines(Bytes::from_static(b"mine\n")));
    let refused = text_of(service.oneshot(request()).await.unwrap()).await;
    assert!(refused.contains("quota_exhausted"), "{refused}");
}

#[tokio::test]
async fn a_body_that_nothing_is_held_with_can_be_the_services_own_again() {
    let door = Door::of(2).await;
    let service = door.layer().layer(service_fn(|_: Request<()>| {
        let response = Response::builder().header("content-type", "application/grpc");
        ready(response.body("mine".to_owned()))
    }));
    let plain = || door.get("/").body(()).unwrap();
    let grpc = door.get("/").header("content-type", "application/grpc").body(()).unwrap();
    let mut bodies = Vec::new();
    for request in [plain(), grpc, plain()] {
        let body = service.clone().oneshot(request).await.unwrap().into_body();
        bodies.push(body.into_own(|_| "wrapped".to_owned()));
    }
    assert_eq!(bodies, ["mine", "wrapped", "wrapped"], "the end of the second is awaited");
}
