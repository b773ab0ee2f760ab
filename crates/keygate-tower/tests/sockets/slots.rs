//! How long a request holds its slot.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use axum::{Router, body::Body, routing::get};
use bytes::Bytes;
use http::Request;
use http_body::Frame;
use tokio::{sync::mpsc, time::timeout};

use crate::support::{
    Door, SUCCESS,
    talk::{self, PATIENCE, Server},
};

/// A body that says what it is told to.
struct Told(mpsc::UnboundedReceiver<&'static str>);

impl http_body::Body for Told {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|said| said.map(|said| Ok(Frame::data(Bytes::from(said)))))
    }
}

/// A server whose first answer is told word by word, and a door with one slot.
async fn one_at_a_time() -> (Door, Server, mpsc::UnboundedSender<&'static str>) {
    let door = Door::limited("{ name = 'at_once', concurrency = 1 }", |builder| builder).await;
    let (tell, told) = mpsc::unbounded_channel();
    let told = Arc::new(Mutex::new(Some(told)));
    let answer = || async move {
        let told = told.lock().unwrap().take();
        told.map_or_else(Body::empty, |told| Body::new(Told(told)))
    };
    let server = talk::serve(Router::new().route("/", get(answer)).layer(door.layer())).await;
    (door, server, tell)
}

fn request(door: &Door) -> Request<()> {
    door.get("/").header("connection", "close").body(()).unwrap()
}

async fn status(door: &Door, server: &Server) -> String {
    let mut stream = talk::send(server, &request(door)).await;
    let head = talk::read_until(&mut stream, "\r\n\r\n").await;
    head.split(' ').nth(1).unwrap().to_owned()
}

async fn is_free_soon(door: &Door, server: &Server) {
    let free = async { while status(door, server).await != "200" {} };
    timeout(PATIENCE, free).await.expect("the slot is free in time");
}

#[tokio::test]
async fn a_slot_is_held_until_the_last_word_of_a_streamed_body() {
    let (door, server, tell) = one_at_a_time().await;
    let mut stream = talk::send(&server, &request(&door)).await;
    for word in ["one", "two"] {
        tell.send(word).unwrap();
        talk::read_until(&mut stream, word).await;
        assert_eq!(status(&door, &server).await, "429");
    }
    assert!(door.usage().await.iter().all(|row| row.0 != SUCCESS), "it is not over");
    drop(tell);
    talk::read_until(&mut stream, "0\r\n\r\n").await;
    is_free_soon(&door, &server).await;
    assert_eq!(door.usage().await.first(), Some(&(SUCCESS, 2, 2)));
}

#[tokio::test]
async fn a_client_that_goes_away_in_mid_body_frees_its_slot() {
    let (door, server, tell) = one_at_a_time().await;
    let mut stream = talk::send(&server, &request(&door)).await;
    tell.send("one").unwrap();
    talk::read_until(&mut stream, "one").await;
    assert_eq!(status(&door, &server).await, "429");
    drop(stream);
    is_free_soon(&door, &server).await;
    assert_eq!(door.usage().await.first(), Some(&(SUCCESS, 2, 2)), "its head was sent");
}
