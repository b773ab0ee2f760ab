//! Over real sockets: clients that leave, stay, and talk while they are answered.

use std::{future::pending, sync::Arc};

use axum::{
    Router,
    body::Body,
    routing::{get, post},
};
use http::{Method, Request};
use keygate::usage::Outcome;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::Notify,
    time::timeout,
};

use self::support::{
    Door, SUCCESS,
    talk::{self, PATIENCE},
};

#[cfg(test)]
#[path = "sockets/slots.rs"]
mod slots;
#[cfg(test)]
mod support;

/// Tells when the handler is dropped.
struct OnDrop(Arc<Notify>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

#[tokio::test]
async fn a_client_that_hangs_up_is_metered_once_as_aborted() {
    let door = Door::of(9).await;
    let (begun, ended) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (here, gone) = (Arc::clone(&begun), Arc::clone(&ended));
    let hang = move || {
        let (here, gone) = (Arc::clone(&here), OnDrop(Arc::clone(&gone)));
        async move {
            let _gone = gone;
            here.notify_one();
            pending::<()>().await;
        }
    };
    let server = talk::serve(Router::new().route("/", get(hang)).layer(door.layer())).await;

    let stream = talk::send(&server, &door.get("/").body(()).unwrap()).await;
    timeout(PATIENCE, begun.notified()).await.expect("the handler runs");
    assert_eq!(door.usage().await, []);
    drop(stream);
    timeout(PATIENCE, ended.notified()).await.expect("the handler is dropped");
    assert_eq!(talk::metered(&door).await, [(Outcome::Aborted, 1, 1)]);

    // Nothing is added later, neither by the connection's end nor by the next request.
    let next = Request::get("/").body(()).unwrap();
    talk::read_until(&mut talk::send(&server, &next).await, "missing_key").await;
    assert_eq!(door.usage().await.last(), Some(&(Outcome::Aborted, 1, 1)));
    assert_eq!(door.usage().await.len(), 2);
}

#[tokio::test]
async fn a_client_that_stays_is_metered_once_as_served() {
    let door = Door::of(9).await;
    let app = Router::new().route("/", get(|| async { "served" })).layer(door.layer());
    let server = talk::serve(app).await;
    let request = door.get("/").header("connection", "close").body(()).unwrap();
    let mut stream = talk::send(&server, &request).await;
    let heard = talk::read_until(&mut stream, "served").await;
    assert!(heard.starts_with("HTTP/1.1 200 OK\r\n"), "{heard}");
    assert!(heard.contains("ratelimit: \"daily\";r=8;t=43200\r\n"), "{heard}");
    drop(stream);
    assert_eq!(door.usage().await, [(SUCCESS, 1, 1)]);
}

#[tokio::test]
async fn a_refusal_is_a_whole_response_and_the_connection_goes_on() {
    let door = Door::of(9).await;
    let app = Router::new().route("/", get(|| async { "served" })).layer(door.layer());
    let server = talk::serve(app).await;
    let mut stream = talk::send(&server, &Request::get("/").body(()).unwrap()).await;
    let heard = talk::read_until(&mut stream, "missing_key\"}").await;
    assert!(heard.starts_with("HTTP/1.1 401 Unauthorized\r\n"), "{heard}");
    assert!(heard.contains("content-type: application/problem+json\r\n"), "{heard}");
    assert!(heard.contains("content-length: "), "{heard}");

    let again = b"HEAD / HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n";
    stream.write_all(again).await.unwrap();
    let mut rest = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut rest)).await.unwrap().unwrap();
    assert!(rest.starts_with("HTTP/1.1 401 Unauthorized\r\n"), "{rest}");
    assert!(rest.ends_with("\r\n\r\n"), "a response to HEAD has no body: {rest}");
}

#[tokio::test]
async fn client_and_handler_may_talk_at_the_same_time() {
    let door = Door::of(9).await;
    let echo = |body: Body| async { body };
    let server = talk::serve(Router::new().route("/", post(echo)).layer(door.layer())).await;
    let mut request = door.get("/").header("transfer-encoding", "chunked").body(()).unwrap();
    *request.method_mut() = Method::POST;

    let mut stream = talk::send(&server, &request).await;
    stream.write_all(b"3\r\none\r\n").await.unwrap();
    let heard = talk::read_until(&mut stream, "one\r\n").await;
    assert!(heard.starts_with("HTTP/1.1 200 OK\r\n"), "{heard}");
    // The answer to the first chunk is here before there is a second.
    stream.write_all(b"3\r\ntwo\r\n0\r\n\r\n").await.unwrap();
    talk::read_until(&mut stream, "3\r\ntwo\r\n0\r\n\r\n").await;
    assert_eq!(door.usage().await, [(SUCCESS, 1, 1)]);
}
