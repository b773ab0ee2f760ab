//! Before services of gRPC, with a client of another make, over real connections.

use std::{sync::Arc, time::Duration};

use axum::{Router, routing::get};
use futures_util::{StreamExt as _, stream};
use keygate::{
    usage::{Outcome, StatusClass},
    verdict::Reason,
};
use keygate_tower::KeygateLayer;
use tokio::{net::TcpListener, time::timeout};
use tonic::{Code, service::Routes, transport};

use self::{
    echo::{Client, Echo, reason, wait},
    support::{
        Door, SUCCESS,
        broken::Broken,
        talk::{self, PATIENCE, Server},
    },
};

#[cfg(test)]
#[path = "grpc/echo.rs"]
mod echo;
#[cfg(test)]
mod support;
#[cfg(test)]
#[path = "grpc/trailers.rs"]
mod trailers;

const CLIENT_ERROR: Outcome = Outcome::Admitted(StatusClass::ClientError);
const SERVER_ERROR: Outcome = Outcome::Admitted(StatusClass::ServerError);

/// The service alone, behind this layer.
async fn serve(layer: KeygateLayer) -> Server {
    talk::serve(Routes::new(Echo).into_axum_router().layer(layer)).await
}

/// A client that shows the key.
async fn client(door: &Door, server: &Server) -> Client {
    let bearer = format!("Bearer {}", door.issued.key.expose());
    Client::of(server.address).await.with("authorization", &bearer)
}

#[tokio::test]
async fn a_call_with_a_key_is_admitted_and_told_its_limits() {
    let door = Door::of(9).await;
    let server = serve(door.layer()).await;
    let response = client(&door, &server).await.say("hello").await.unwrap();
    assert_eq!(response.metadata().get("ratelimit").unwrap(), r#""daily";r=8;t=43200"#);
    assert_eq!(response.into_inner(), "hello");
    let stranger = Client::of(server.address).await;
    stranger.with("x-api-key", door.issued.key.expose()).say("hello").await.unwrap();
    assert_eq!(door.usage().await, [(SUCCESS, 2, 2)]);
}

#[tokio::test]
async fn the_layer_of_a_server_of_tonic_does_as_well() {
    let door = Door::of(1).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = transport::Server::builder().layer(door.layer()).add_service(Echo);
    let incoming = transport::server::TcpIncoming::from(listener);
    let task = tokio::spawn(async { server.serve_with_incoming(incoming).await.unwrap() });
    let server = Server { address, task };
    let client = client(&door, &server).await;
    assert_eq!(client.say("hello").await.unwrap().into_inner(), "hello");
    let refused = client.say("hello").await.unwrap_err();
    assert_eq!((refused.code(), &*reason(&refused)), (Code::ResourceExhausted, "QUOTA_EXHAUSTED"));
}

#[tokio::test]
async fn a_call_without_a_key_is_unauthenticated() {
    let door = Door::of(9).await;
    let server = serve(door.layer()).await;
    let refused = Client::of(server.address).await.say("hello").await.unwrap_err();
    assert_eq!((refused.code(), &*reason(&refused)), (Code::Unauthenticated, "MISSING_KEY"));
    assert_eq!(refused.message(), "This API needs a key, and none was sent.");
    assert_eq!(wait(&refused), None);
    let guest = Client::of(server.address).await.with("x-api-key", "kg_live_nobody");
    let refused = guest.say("hello").await.unwrap_err();
    assert_eq!((refused.code(), &*reason(&refused)), (Code::Unauthenticated, "MALFORMED_KEY"));
    let denied = |reason| (Outcome::Denied(reason), 1, 0);
    let expected = [denied(Reason::MissingKey), denied(Reason::MalformedKey)];
    assert_eq!(door.usage().await, expected);
}

#[tokio::test]
async fn a_key_in_binary_metadata_is_no_key() {
    let door = Door::of(9).await;
    let server = serve(door.layer()).await;
    let key = door.issued.key.expose().as_bytes();
    let client = Client::of(server.address).await.with_bytes("x-api-key-bin", key);
    let refused = client.say("hello").await.unwrap_err();
    assert_eq!((refused.code(), &*reason(&refused)), (Code::Unauthenticated, "MISSING_KEY"));
    let key = door.issued.key.expose();
    let admitted = client.with("x-api-key", key).say("hello").await.unwrap();
    assert_eq!(admitted.into_inner(), "hello");
}

#[tokio::test]
async fn a_call_that_lacks_a_scope_is_denied_permission() {
    let door = Door::of(9).await;
    let server = serve(door.layer().require("admin").unwrap()).await;
    let refused = client(&door, &server).await.say("hello").await.unwrap_err();
    assert_eq!(
        (refused.code(), &*reason(&refused)),
        (Code::PermissionDenied, "INSUFFICIENT_SCOPE")
    );
}

#[tokio::test]
async fn a_call_beyond_a_limit_is_told_how_long_to_wait() {
    let door = Door::of(1).await;
    let server = serve(door.layer()).await;
    let client = client(&door, &server).await;
    client.say("hello").await.unwrap();
    let refused = client.say("hello").await.unwrap_err();
    assert_eq!((refused.code(), &*reason(&refused)), (Code::ResourceExhausted, "QUOTA_EXHAUSTED"));
    assert_eq!(wait(&refused), Some(Duration::from_secs(43_200)));
    assert_eq!(refused.metadata().get("ratelimit").unwrap(), r#""daily";r=0;t=43200"#);
    assert_eq!(door.usage().await.last(), Some(&(Outcome::Denied(Reason::QuotaExhausted), 1, 0)));
}

#[tokio::test]
async fn a_call_that_cannot_be_counted_finds_the_service_unavailable() {
    let door = Door::built(1, |builder| builder.counters(Arc::new(Broken))).await;
    let server = serve(door.layer()).await;
    let refused = client(&door, &server).await.say("hello").await.unwrap_err();
    assert_eq!((refused.code(), &*reason(&refused)), (Code::Unavailable, "LIMITER_UNAVAILABLE"));
    assert_eq!(wait(&refused), Some(Duration::from_secs(1)));
}

#[tokio::test]
async fn an_error_of_the_service_is_metered_as_what_it_is() {
    let door = Door::of(9).await;
    let server = serve(door.layer().refund_on(500..=599)).await;
    let client = client(&door, &server).await;
    for code in [Code::NotFound, Code::Internal] {
        let failed = client.say(&format!("fail {}", i32::from(code))).await.unwrap_err();
        assert_eq!((failed.code(), failed.message()), (code, "as you wish"));
    }
    assert_eq!(client.say("hello").await.unwrap().into_inner(), "hello");
    assert_eq!(door.usage().await, [(SUCCESS, 1, 1), (CLIENT_ERROR, 1, 1), (SERVER_ERROR, 1, 0)]);
}

#[tokio::test]
async fn one_layer_serves_both_protocols_on_one_budget() {
    let door = Door::of(2).await;
    let rest = Router::new().route("/v1/echo", get(|| async { "hello" }));
    let app = Routes::new(Echo).into_axum_router().merge(rest).layer(door.layer());
    let app = app.merge(Router::new().route("/healthz", get(|| async { "ok" })));
    let server = talk::serve(app).await;

    let get = async |path, until| {
        let mut stream = talk::send(&server, &door.get(path).body(()).unwrap()).await;
        talk::read_until(&mut stream, until).await
    };
    get("/healthz", "ok").await;
    get("/v1/echo", "hello").await;
    let client = client(&door, &server).await;
    client.say("hello").await.unwrap();
    assert_eq!(client.say("hello").await.unwrap_err().code(), Code::ResourceExhausted);
    get("/v1/echo", "quota_exhausted").await;
    let denied = (Outcome::Denied(Reason::QuotaExhausted), 2, 0);
    assert_eq!(door.usage().await, [(SUCCESS, 2, 2), denied]);
}

#[tokio::test]
async fn each_message_of_a_stream_is_charged_until_the_stream_is_refused() {
    let door = Door::of(4).await;
    let server = serve(door.layer()).await;
    let mut replies = client(&door, &server).await.repeat("again").await.unwrap();
    for _ in 0..3 {
        assert_eq!(replies.message().await.unwrap().as_deref(), Some("again"));
    }
    let refused = replies.message().await.unwrap_err();
    assert_eq!((refused.code(), &*reason(&refused)), (Code::ResourceExhausted, "QUOTA_EXHAUSTED"));
    assert_eq!(wait(&refused), Some(Duration::from_secs(43_200)));
    drop(replies);
    assert_eq!(talk::metered(&door).await, [(CLIENT_ERROR, 1, 4)], "once, with all its messages");
}

#[tokio::test]
async fn both_ways_of_a_conversation_are_one_request() {
    let door = Door::of(9).await;
    let server = serve(door.layer()).await;
    let client = client(&door, &server).await;
    let texts = stream::iter(["one", "two"].map(str::to_owned));
    let replies = client.converse(texts).await.unwrap();
    let said: Vec<_> = replies.map(Result::unwrap).collect().await;
    assert_eq!(said, ["one", "two"]);
    assert_eq!(talk::metered(&door).await, [(SUCCESS, 1, 3)]);
}

#[tokio::test]
async fn a_key_that_is_revoked_ends_the_conversation() {
    let door = Door::of(9).await;
    let server = serve(door.layer()).await;
    let (tell, told) = tokio::sync::mpsc::unbounded_channel();
    let texts = stream::unfold(told, |mut told| async { Some((told.recv().await?, told)) });
    let mut replies = client(&door, &server).await.converse(texts).await.unwrap();
    tell.send("one".to_owned()).unwrap();
    assert_eq!(replies.message().await.unwrap().as_deref(), Some("one"));
    door.gate.keyring().revoke(door.issued.record.id).await.unwrap();
    tell.send("two".to_owned()).unwrap();
    let refused = replies.message().await.unwrap_err();
    assert_eq!((refused.code(), &*reason(&refused)), (Code::Unauthenticated, "REVOKED_KEY"));
}

#[tokio::test]
async fn a_stream_holds_its_slot_to_its_end() {
    let door = Door::limited("{ name = 'at_once', concurrency = 1 }", |builder| builder).await;
    let server = serve(door.layer()).await;
    let client = client(&door, &server).await;
    let mut replies = client.repeat("again").await.unwrap();
    replies.message().await.unwrap();
    let refused = client.say("hello").await.unwrap_err();
    assert_eq!(
        (refused.code(), &*reason(&refused)),
        (Code::ResourceExhausted, "TOO_MANY_CONCURRENT")
    );
    // The client has heard enough: HTTP/2 resets the stream.
    drop(replies);
    let free = async { while client.say("hello").await.is_err() {} };
    timeout(PATIENCE, free).await.expect("the slot is free in time");
}
