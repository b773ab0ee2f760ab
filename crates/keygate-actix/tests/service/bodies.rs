//! Bodies pass untouched: neither read, nor buffered, nor merged. And the slot that they hold.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll},
};

use actix_web::{
    App, HttpResponse,
    body::{BodySize, MessageBody},
    test::{init_service, try_call_service},
    web::{self, Bytes},
};
use futures_util::{StreamExt as _, future::poll_fn, stream};
use keygate::verdict::Reason;

use crate::{
    send::send,
    support::{Door, SUCCESS},
};

/// A body that makes each chunk when it is asked for it, and counts how often it was.
struct Trickle {
    chunks: Vec<&'static str>,
    asked: Arc<AtomicUsize>,
}

impl MessageBody for Trickle {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Sized(42)
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Infallible>>> {
        self.asked.fetch_add(1, SeqCst);
        Poll::Ready(self.chunks.pop().map(|chunk| Ok(Bytes::from_static(chunk.as_bytes()))))
    }
}

#[actix_web::test]
async fn a_response_body_reaches_the_client_chunk_by_chunk() {
    let door = Door::of(9).await;
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let handler = move || {
        let body = Trickle { chunks: vec!["two", "one"], asked: Arc::clone(&count) };
        async { HttpResponse::Ok().body(body) }
    };
    let app = init_service(App::new().route("/", web::get().to(handler)).wrap(door.keys())).await;
    let response = try_call_service(&app, door.get("/").to_request()).await.unwrap();
    let mut body = Box::pin(response.into_body());
    assert_eq!(door.usage().await, [(SUCCESS, 1, 1)], "metered with the head");
    assert_eq!(body.size(), BodySize::Sized(42));
    for (index, expected) in ["one", "two"].into_iter().enumerate() {
        assert_eq!(asked.load(SeqCst), index, "nobody reads ahead");
        let chunk = poll_fn(|cx| body.as_mut().poll_next(cx)).await.unwrap();
        assert_eq!(chunk.unwrap_or_else(|_| panic!("fails")), expected);
    }
    assert!(poll_fn(|cx| body.as_mut().poll_next(cx)).await.is_none());
}

#[actix_web::test]
async fn a_body_of_plain_bytes_stays_one() {
    let door = Door::of(9).await;
    let app = App::new().route("/", web::get().to(|| async { "ok" })).wrap(door.keys());
    let app = init_service(app).await;
    let request = || door.get("/").to_request();
    let response = try_call_service(&app, request()).await.unwrap();
    assert_eq!(response.into_body().try_into_bytes().ok(), Some(Bytes::from_static(b"ok")));
}

const SLOT: &str = "name = 'at_once', concurrency = 1";

#[actix_web::test]
async fn a_slot_is_held_until_the_body_has_been_sent() {
    let door = Door::limited(SLOT, |it| it).await;
    let handler = async || {
        let chunks = stream::iter(["one", "two"]).map(|it| Ok::<_, Infallible>(Bytes::from(it)));
        HttpResponse::Ok().streaming(chunks)
    };
    let app = init_service(App::new().route("/", web::get().to(handler)).wrap(door.keys())).await;
    let response = try_call_service(&app, door.get("/").to_request()).await.unwrap();
    let mut body = Box::pin(response.into_body());
    let is_taken = async || {
        let answer = send(&app, door.get("/")).await;
        answer.status == 429 && answer.refused() == Reason::TooManyConcurrent
    };
    for _ in 0..2 {
        assert!(is_taken().await, "taken while it is sent");
        poll_fn(|cx| body.as_mut().poll_next(cx)).await.unwrap().unwrap_or_else(|_| panic!());
    }
    assert!(is_taken().await, "the end has not been heard of");
    assert!(poll_fn(|cx| body.as_mut().poll_next(cx)).await.is_none());
    assert!(!is_taken().await, "free at the end, though the body is still at hand");
}

#[actix_web::test]
async fn a_slot_is_free_when_the_body_is_dropped_and_not_before() {
    let door = Door::limited(SLOT, |it| it).await;
    let app = App::new().route("/", web::get().to(|| async { "ok" })).wrap(door.keys());
    let app = init_service(app).await;
    let response = try_call_service(&app, door.get("/").to_request()).await.unwrap();
    // Boxed, as other middleware does: bytes that were taken out would hold no slot.
    let body = response.into_body().boxed();
    assert_eq!(send(&app, door.get("/")).await.status, 429);
    drop(body);
    assert_eq!(send(&app, door.get("/")).await.status, 200);
}
