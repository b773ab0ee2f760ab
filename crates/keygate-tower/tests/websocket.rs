//! Before a WebSocket of axum, with a client of another make, over real connections.

use keygate::{
    NewKey,
    usage::{Outcome, StatusClass},
    verdict::Reason,
};
use keygate_tower::KeygateLayer;
use tokio::time::timeout;

use self::{
    chat::{connect, door, handshake, hears_close, refusal, says},
    support::talk::{self, PATIENCE, Server},
};

#[cfg(test)]
#[path = "websocket/chat.rs"]
mod chat;
#[cfg(test)]
mod support;

const UPGRADED: Outcome = Outcome::Admitted(StatusClass::Informational);

async fn serve(layer: KeygateLayer) -> Server {
    talk::serve(chat::app().layer(layer)).await
}

const DAILY: &str = "{ name = 'daily', quota = 4, per = 'day' }";

#[tokio::test]
async fn a_key_in_a_header_opens_the_connection_and_is_charged_message_by_message() {
    let door = door(DAILY).await;
    let server = serve(door.layer()).await;
    let request = handshake(&server, &[("x-api-key", door.issued.key.expose())]);
    let (mut socket, response) = connect(request).await.unwrap();
    assert_eq!(response.headers()["ratelimit"], r#""daily";r=3;t=43200"#);
    for text in ["one", "two", "three"] {
        assert_eq!(says(&mut socket, text).await, text);
    }
    chat::send(&mut socket, "four").await;
    let close = (1013, "quota_exhausted; retry-after=43200".to_owned());
    assert_eq!(hears_close(&mut socket).await, close);
    assert_eq!(talk::metered(&door).await, [(UPGRADED, 1, 4)], "once, with all its messages");
}

#[tokio::test]
async fn a_key_among_the_subprotocols_is_never_seen_by_the_service() {
    let door = door(DAILY).await;
    let server = serve(door.layer()).await;
    let offered = format!("orders.v1, keygate.key.{}", door.issued.key.expose());
    let request = handshake(&server, &[("sec-websocket-protocol", &offered)]);
    let (mut socket, response) = connect(request).await.unwrap();
    assert_eq!(response.headers()["sec-websocket-protocol"], "orders.v1");
    assert_eq!(says(&mut socket, "offered?").await, "orders.v1");
}

#[tokio::test]
async fn a_handshake_is_refused_as_any_other_request() {
    let door = door(DAILY).await;
    let server = serve(door.layer()).await;
    let other = door.gate.keyring().issue(NewKey::new("acme", "free")).await.unwrap();
    let (one, two) = (door.issued.key.expose(), other.key.expose());
    let both = format!("orders.v1, keygate.key.{one}, keygate.key.{two}");
    let beside = format!("orders.v1, keygate.key.{two}");
    for (headers, status, code) in [
        (vec![], 401, "missing_key"),
        (vec![("sec-websocket-protocol", "orders.v1")], 401, "missing_key"),
        (vec![("sec-websocket-protocol", "orders.v1, keygate.key.nope")], 401, "malformed_key"),
        (vec![("sec-websocket-protocol", both.as_str())], 400, "ambiguous_credential"),
        (
            vec![("x-api-key", one), ("sec-websocket-protocol", beside.as_str())],
            400,
            "ambiguous_credential",
        ),
    ] {
        let (given, body) = refusal(handshake(&server, &headers)).await;
        assert_eq!(given, status, "{code}");
        assert!(body.contains(&format!(r#""code":"{code}""#)), "{body}");
    }
}

#[tokio::test]
async fn an_upgrade_to_something_else_shows_no_key_there() {
    let door = door(DAILY).await;
    let server = serve(door.layer()).await;
    let offered = format!("keygate.key.{}", door.issued.key.expose());
    let request = http::Request::get("/")
        .header("connection", "upgrade")
        .header("upgrade", "h2c")
        .header("sec-websocket-protocol", offered)
        .body(())
        .unwrap();
    talk::read_until(&mut talk::send(&server, &request).await, "missing_key").await;
    let denied = (Outcome::Denied(Reason::MissingKey), 1, 0);
    assert_eq!(door.usage().await, [denied]);
}

#[tokio::test]
async fn a_key_that_is_revoked_closes_the_connection_at_its_next_message() {
    let door = door(DAILY).await;
    let server = serve(door.layer()).await;
    let request = handshake(&server, &[("x-api-key", door.issued.key.expose())]);
    let (mut socket, _) = connect(request).await.unwrap();
    assert_eq!(says(&mut socket, "one").await, "one");
    door.gate.keyring().revoke(door.issued.record.id).await.unwrap();
    chat::send(&mut socket, "two").await;
    assert_eq!(hears_close(&mut socket).await, (1008, "revoked_key".to_owned()));
    assert_eq!(talk::metered(&door).await, [(UPGRADED, 1, 2)]);
}

#[tokio::test]
async fn a_connection_holds_its_slot_for_its_life() {
    let door = door("{ name = 'at_once', concurrency = 1 }").await;
    let server = serve(door.layer()).await;
    let request = || handshake(&server, &[("x-api-key", door.issued.key.expose())]);
    let (mut socket, _) = connect(request()).await.unwrap();
    assert_eq!(says(&mut socket, "one").await, "one", "messages take no slot");
    let (status, body) = refusal(request()).await;
    assert_eq!(status, 429);
    assert!(body.contains("too_many_concurrent"), "{body}");
    drop(socket);
    let free = async { while connect(request()).await.is_err() {} };
    timeout(PATIENCE, free).await.expect("the slot is free in time");
}
