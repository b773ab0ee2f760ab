//! A response that has begun is metered by how it ends.

use axum::{Router, body::Body, routing::post};
use bytes::Bytes;
use futures_util::stream;
use http::{Method, Response};
use keygate::usage::Outcome;
use keygate_tower::KeygateLayer;
use tokio::time::timeout;
use tonic::{Code, Streaming};

use crate::{
    CLIENT_ERROR, SERVER_ERROR, client, serve,
    support::{
        Door, SUCCESS,
        talk::{self, PATIENCE, Server},
    },
};

/// A message of gRPC: neither compressed nor long.
const MESSAGE: &[u8] = b"\0\0\0\0\0";

/// Hears the two replies of a recital, and with which code it ends.
async fn end_of(mut replies: Streaming<String>) -> Code {
    for text in ["one", "two"] {
        assert_eq!(replies.message().await.unwrap().as_deref(), Some(text));
    }
    match replies.message().await {
        Ok(more) => more.map_or(Code::Ok, |text| panic!("it goes on with {text}")),
        Err(status) => status.code(),
    }
}

#[tokio::test]
async fn a_stream_is_metered_by_the_status_that_comes_after_its_messages() {
    for (code, outcome) in [
        (Code::Ok, SUCCESS),
        (Code::NotFound, CLIENT_ERROR),
        (Code::Internal, SERVER_ERROR),
        (Code::Unavailable, SERVER_ERROR),
    ] {
        let door = Door::of(9).await;
        let server = serve(door.layer()).await;
        let replies = client(&door, &server).await.recite(code).await.unwrap();
        assert_eq!(end_of(replies).await, code);
        assert_eq!(talk::metered(&door).await, [(outcome, 1, 1)], "{code:?}");
    }
}

#[tokio::test]
async fn a_status_in_the_head_or_after_messages_is_metered_alike() {
    for code in [Code::Cancelled, Code::Unknown, Code::NotFound, Code::Internal] {
        let (before, after) = (Door::of(9).await, Door::of(9).await);
        let (early, late) = (serve(before.layer()).await, serve(after.layer()).await);
        let text = format!("fail {}", i32::from(code));
        assert_eq!(client(&before, &early).await.say(&text).await.unwrap_err().code(), code);
        assert_eq!(end_of(client(&after, &late).await.recite(code).await.unwrap()).await, code);
        assert_eq!(talk::metered(&before).await, talk::metered(&after).await, "{code:?}");
    }
}

#[tokio::test]
async fn a_stream_that_fails_is_given_back_where_the_route_says_so() {
    let door = Door::of(4).await;
    let server = serve(door.layer().cost(4).refund_on(500..=599)).await;
    let client = client(&door, &server).await;
    for code in [Code::Unavailable, Code::Internal, Code::NotFound] {
        // The whole quota each time.
        assert_eq!(end_of(client.recite(code).await.unwrap()).await, code);
    }
    assert_eq!(client.say("hello").await.unwrap_err().code(), Code::ResourceExhausted);
    let usage = door.usage().await;
    assert_eq!(usage[..2], [(CLIENT_ERROR, 1, 4), (SERVER_ERROR, 2, 0)]);
}

#[tokio::test]
async fn messages_that_were_charged_are_given_back_with_their_request() {
    let door = Door::of(4).await;
    let server = serve(door.layer().refund_on(429..=429)).await;
    let client = client(&door, &server).await;
    let mut replies = client.repeat("again").await.unwrap();
    while let Ok(reply) = replies.message().await {
        assert_eq!(reply.as_deref(), Some("again"));
    }
    assert_eq!(talk::metered(&door).await, [(CLIENT_ERROR, 1, 0)]);
    let said = client.say("hello").await.unwrap();
    assert_eq!(said.metadata().get("ratelimit").unwrap(), r#""daily";r=3;t=43200"#);
}

#[tokio::test]
async fn a_client_that_has_heard_enough_is_metered_once_as_aborted() {
    let door = Door::of(9).await;
    let server = serve(door.layer().refund_on(0..=599)).await;
    let client = client(&door, &server).await;
    let mut replies = client.linger("hello").await.unwrap();
    assert_eq!(replies.message().await.unwrap().as_deref(), Some("hello"));
    assert_eq!(door.usage().await, [], "it goes on");
    // HTTP/2 resets the stream.
    drop(replies);
    assert_eq!(talk::metered(&door).await, [(Outcome::Aborted, 1, 2)]);

    // Nothing is added later, neither by the next call nor by the end of the connection.
    client.say("hello").await.unwrap();
    drop(client);
    assert_eq!(door.usage().await, [(SUCCESS, 1, 0), (Outcome::Aborted, 1, 2)]);
}

#[tokio::test]
async fn a_client_that_is_gone_is_metered_once_as_aborted() {
    let door = Door::of(9).await;
    let server = serve(door.layer()).await;
    let client = client(&door, &server).await;
    let mut replies = client.linger("hello").await.unwrap();
    assert_eq!(replies.message().await.unwrap().as_deref(), Some("hello"));
    drop((client, replies));
    assert_eq!(talk::metered(&door).await, [(Outcome::Aborted, 1, 2)]);
}

#[tokio::test]
async fn a_stream_that_fails_frees_its_slot() {
    let door = Door::limited("{ name = 'at_once', concurrency = 1 }", |builder| builder).await;
    let server = serve(door.layer()).await;
    let client = client(&door, &server).await;
    assert_eq!(end_of(client.recite(Code::Internal).await.unwrap()).await, Code::Internal);
    let free = async { while client.say("hello").await.is_err() {} };
    timeout(PATIENCE, free).await.expect("the slot is free in time");
    assert!(door.usage().await.contains(&(SERVER_ERROR, 1, 1)));
}

/// A service that answers each call with this content type and this body.
async fn answering(layer: KeygateLayer, kind: &'static str, body: fn() -> Body) -> Server {
    let answer = move || async move {
        Response::builder().header("content-type", kind).body(body()).unwrap()
    };
    talk::serve(Router::new().route("/test.Echo/Repeat", post(answer)).layer(layer)).await
}

/// One message, and then a fault.
fn failing() -> Body {
    Body::from_stream(stream::iter([Ok(Bytes::from_static(MESSAGE)), Err("out of order")]))
}

#[tokio::test]
async fn a_response_that_ends_without_a_status_has_failed() {
    let whole = || Body::from(MESSAGE);
    let streamed = || Body::from_stream(stream::iter([Ok::<_, String>(MESSAGE)]));
    for body in [Body::empty, whole, streamed, failing] {
        let door = Door::of(9).await;
        let server = answering(door.layer(), "application/grpc", body).await;
        if let Ok(mut replies) = client(&door, &server).await.repeat("hello").await {
            while let Ok(Some(reply)) = replies.message().await {
                assert_eq!(reply, "");
            }
        }
        assert_eq!(talk::metered(&door).await, [(SERVER_ERROR, 1, 1)]);
    }
}

/// Or a client could have what is given back on failures for nothing.
#[tokio::test]
async fn an_answer_that_is_no_grpc_is_metered_by_its_head_whatever_the_request_speaks() {
    for body in [Body::empty, || Body::from("hello"), failing] {
        let door = Door::of(9).await;
        let layer = door.layer().refund_on(500..=599);
        let server = answering(layer, "text/plain", body).await;
        let mut call = door.get("/test.Echo/Repeat").header("content-type", "application/grpc");
        call = call.method(Method::POST).header("content-length", "0");
        let _stream = talk::send(&server, &call.body(()).unwrap()).await;
        assert_eq!(talk::metered(&door).await, [(SUCCESS, 1, 1)]);
    }
}
