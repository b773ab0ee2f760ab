//! Bodies pass untouched: neither read, nor buffered, nor wrapped.

use std::sync::{Arc, atomic::Ordering::SeqCst};

use http::{Request, Response, StatusCode};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use tower::{Layer as _, ServiceExt as _, service_fn};

use self::{
    support::{Door, SUCCESS},
    trickle::{Trickle, reads_frame_by_frame},
};

#[cfg(test)]
mod support;
#[cfg(test)]
#[path = "bodies/trickle.rs"]
mod trickle;

#[tokio::test]
async fn a_request_body_reaches_the_service_unread_with_its_trailers() {
    let door = Door::of(9).await;
    let service = door.layer().layer(service_fn(|request: Request<Trickle>| async move {
        assert_eq!(request.body().size_hint().exact(), Some(42));
        reads_frame_by_frame(request.into_body(), &["one", "two", "three"]).await;
        Ok::<_, ()>(Response::new(String::new()))
    }));
    let body = Trickle::of(&["one", "two", "three"]);
    let response = service.oneshot(door.get("/").body(body).unwrap()).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_response_body_reaches_the_client_unread_with_its_trailers() {
    let door = Door::of(9).await;
    let service = door.layer().layer(service_fn(|_: Request<()>| async {
        Ok::<_, ()>(Response::new(Trickle::of(&["one", "two"])))
    }));
    let response = service.oneshot(door.get("/").body(()).unwrap()).await.unwrap();
    assert_eq!(door.usage().await, [(SUCCESS, 1, 1)], "metered with the head");
    assert_eq!(response.body().size_hint().exact(), Some(42));
    reads_frame_by_frame(response.into_body(), &["one", "two"]).await;
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
    let problem = response.into_body().collect().await.unwrap().to_bytes();
    assert!(problem.starts_with(b"{\"type\":"), "{problem:?}");
}

/// Something that is no `Body` at all.
#[derive(Debug, PartialEq)]
struct Opaque(String);

impl From<String> for Opaque {
    fn from(text: String) -> Self {
        Self(text)
    }
}

#[tokio::test]
async fn anything_may_be_a_body_that_a_text_can_become() {
    let door = Door::of(1).await;
    let service = door.layer().layer(service_fn(|request: Request<Opaque>| async {
        Ok::<_, ()>(Response::new(request.into_body()))
    }));
    let request = || door.get("/").body(Opaque("mine".to_owned())).unwrap();
    let answered = service.clone().oneshot(request()).await.unwrap();
    assert_eq!(*answered.body(), Opaque("mine".to_owned()));
    let refused = service.oneshot(request()).await.unwrap();
    assert!(refused.body().0.contains("quota_exhausted"), "{refused:?}");
}
