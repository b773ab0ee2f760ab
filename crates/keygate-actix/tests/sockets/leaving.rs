//! Clients that go away, and handlers that fail.

use std::{future::pending, sync::Arc};

use actix_web::{
    App, HttpResponse,
    web::{self, Bytes, Data},
};
use futures_util::{StreamExt as _, stream};
use keygate::usage::Outcome;
use tokio::{
    sync::{Notify, Semaphore},
    time::timeout,
};

use crate::{
    support::{Door, PATIENCE, SERVER_ERROR, SUCCESS},
    talk::{Client, metered, serve},
};

/// Tells when the handler runs.
async fn hang(begun: Data<Notify>) -> &'static str {
    begun.notify_one();
    pending().await
}

/// Tells when the handler runs, and waits to be let go.
async fn wait(begun: Data<Notify>, go: Data<Semaphore>) -> &'static str {
    begun.notify_one();
    let _ = go.acquire().await.unwrap();
    "served"
}

#[actix_web::test]
async fn a_client_that_hangs_up_is_metered_once_as_aborted() {
    let door = Door::of(9).await;
    let (keys, begun) = (door.keys(), Data::new(Notify::new()));
    let told = begun.clone();
    let server = serve!(
        App::new().app_data(told.clone()).route("/", web::get().to(hang)).wrap(keys.clone()),
        h1_allow_half_closed(false)
    );
    let mut client = Client::connect(&server).await;
    client.send("GET /", &[("authorization", &door.bearer().1)]).await;
    timeout(PATIENCE, begun.notified()).await.expect("the handler runs");
    assert_eq!(door.usage().await, []);
    drop(client);
    assert_eq!(metered(&door, 1).await, [(Outcome::Aborted, 1, 1)]);

    // Nothing is added later, neither by the connection's end nor by the next request.
    let mut client = Client::connect(&server).await;
    client.send("GET /", &[]).await;
    client.read_until("missing_key").await;
    assert_eq!(door.usage().await.last(), Some(&(Outcome::Aborted, 1, 1)));
    assert_eq!(door.usage().await.len(), 2);
}

#[actix_web::test]
async fn a_client_that_closes_its_side_is_served_unless_the_server_is_told_otherwise() {
    use tokio::io::AsyncWriteExt as _;
    let door = Door::of(9).await;
    let (keys, begun) = (door.keys(), Data::new(Notify::new()));
    let (told, go) = (begun.clone(), Data::new(Semaphore::new(0)));
    let gate = go.clone();
    let server = serve!(
        App::new()
            .app_data(told.clone())
            .app_data(gate.clone())
            .route("/", web::get().to(wait))
            .wrap(keys.clone())
    );
    let mut client = Client::connect(&server).await;
    client.send("GET /", &[("authorization", &door.bearer().1)]).await;
    timeout(PATIENCE, begun.notified()).await.expect("the handler runs");
    client.0.shutdown().await.unwrap();
    go.add_permits(1);
    client.read_until("served").await;
    assert_eq!(metered(&door, 1).await, [(SUCCESS, 1, 1)]);
}

#[actix_web::test]
async fn a_connection_that_is_reset_is_metered_once_as_aborted() {
    let door = Door::of(9).await;
    let (keys, begun) = (door.keys(), Data::new(Notify::new()));
    let told = begun.clone();
    let server = serve!(
        App::new().app_data(told.clone()).route("/", web::get().to(hang)).wrap(keys.clone())
    );
    let mut client = Client::connect(&server).await;
    client.send("GET /", &[("authorization", &door.bearer().1)]).await;
    timeout(PATIENCE, begun.notified()).await.expect("the handler runs");
    client.0.set_zero_linger().unwrap();
    drop(client);
    assert_eq!(metered(&door, 1).await, [(Outcome::Aborted, 1, 1)]);
}

#[actix_web::test]
async fn a_handler_that_panics_is_metered_once_as_failed_and_the_server_goes_on() {
    let door = Door::of(9).await;
    let keys = door.keys();
    let handler = async |path: web::Path<String>| {
        tokio::task::yield_now().await;
        assert_ne!(*path, "panic", "a bug in a handler");
        "served"
    };
    let server = serve!(App::new().route("/{path}", web::get().to(handler)).wrap(keys.clone()));
    let bearer = door.bearer().1;
    for round in 1..=3 {
        let mut client = Client::connect(&server).await;
        client.send("GET /panic", &[("authorization", &bearer)]).await;
        assert_eq!(client.rest().await, "");
        let usage = metered(&door, round).await;
        assert_eq!(usage, [(SERVER_ERROR, round, round)]);
    }
    for _ in 0..2 {
        let mut client = Client::connect(&server).await;
        client.send("GET /well", &[("authorization", &bearer)]).await;
        client.read_until("served").await;
    }
}

const SLOTS: &str = "name = 'at_once', concurrency = 2";

/// Two clients take both slots; what frees one lets the next in.
#[actix_web::test]
async fn slots_are_held_while_a_body_is_sent_and_free_when_it_was_or_nobody_reads() {
    let door = Door::limited(SLOTS, |it| it).await;
    let (keys, go) = (door.keys(), Data::new(Semaphore::new(0)));
    let gate = go.clone();
    let handler = async |go: Data<Semaphore>| {
        let go: Arc<Semaphore> = go.into_inner();
        let last = stream::once(async move {
            go.acquire().await.unwrap().forget();
            Ok::<_, actix_web::Error>(Bytes::from_static(b"last"))
        });
        HttpResponse::Ok().streaming(stream::iter([Ok(Bytes::from_static(b"first"))]).chain(last))
    };
    let server = serve!(
        App::new().app_data(gate.clone()).route("/", web::get().to(handler)).wrap(keys.clone()),
        h1_allow_half_closed(false)
    );
    let bearer = door.bearer().1;
    let begin = async || {
        let mut client = Client::connect(&server).await;
        client.send("GET /", &[("authorization", &bearer)]).await;
        let heard = client.read_until("\r\n\r\n").await;
        (heard.contains("200 OK"), client)
    };
    let (first, mut one) = begin().await;
    let (second, two) = begin().await;
    assert!(first && second);
    assert!(!begin().await.0, "both are taken while their bodies are sent");

    // One body comes to its end, and its connection stays open.
    go.add_permits(1);
    let (mut sent, mut left) = (false, two);
    tokio::select! {
        _ = one.read_until("last\r\n0\r\n\r\n") => sent = true,
        _ = left.read_until("last\r\n0\r\n\r\n") => {}
    }
    let (kept, leaves) = if sent { (one, left) } else { (left, one) };
    let until_one_is_free = async || loop {
        let (admitted, client) = begin().await;
        if admitted {
            break client;
        }
    };
    let third = timeout(PATIENCE, until_one_is_free()).await.expect("free once it was sent");
    assert!(!begin().await.0);

    // Another client leaves in the middle.
    drop(leaves);
    let fourth = timeout(PATIENCE, until_one_is_free()).await.expect("free once nobody reads");
    assert!(!begin().await.0);
    drop((kept, third, fourth));
}
