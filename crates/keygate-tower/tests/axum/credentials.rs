//! What of the key is left for inner layers and handlers to see.

use axum::{
    Router,
    body::Body,
    extract::{OriginalUri, Request},
    routing::get,
};
use http::{HeaderMap, Uri};
use http_body_util::BodyExt as _;
use keygate::wire::Wire;
use tower::{Layer as _, ServiceExt as _, service_fn};

use crate::{
    send::{status, text},
    support::{Door, text_of},
};

async fn seen(headers: HeaderMap) -> String {
    let names = ["authorization", "x-api-key", "x-trace"];
    let seen = names.map(|name| headers.get(name).map(|value| (name, value.is_sensitive())));
    format!("{:?}", seen.into_iter().flatten().collect::<Vec<_>>())
}

#[tokio::test]
async fn the_header_of_the_key_is_marked_sensitive_and_no_other() {
    let door = Door::of(9).await;
    let app = Router::new().route("/", get(seen)).layer(door.layer());
    let request = door.get("/").header("x-trace", "1");
    assert_eq!(text(&app, request).await, r#"[("authorization", true), ("x-trace", false)]"#);
    let key = door.issued.key.expose();
    let request = Request::get("/").header("x-api-key", key).header("authorization", "Basic YTpi");
    assert_eq!(text(&app, request).await, r#"[("authorization", false), ("x-api-key", true)]"#);
}

#[tokio::test]
async fn a_key_that_stands_twice_is_hidden_twice() {
    let door = Door::of(9).await;
    let app = Router::new().route("/", get(seen)).layer(door.layer());
    let request = door.get("/").header("x-api-key", door.issued.key.expose());
    assert_eq!(text(&app, request).await, r#"[("authorization", true), ("x-api-key", true)]"#);
}

#[tokio::test]
async fn the_header_of_the_key_is_removed_if_so_set() {
    let strip = Wire::default().strip_credential();
    let door = Door::built(9, |builder| builder.wire(strip)).await;
    let app = Router::new().route("/", get(seen)).layer(door.layer());
    let request = door.get("/").header("x-trace", "1");
    assert_eq!(text(&app, request).await, r#"[("x-trace", false)]"#);
}

async fn queried() -> Door {
    let wire = Wire::default().query("api_key").unwrap();
    Door::built(9, |builder| builder.wire(wire)).await
}

#[tokio::test]
async fn the_key_is_taken_out_of_the_uri_and_nothing_else() {
    let door = queried().await;
    let key = door.issued.key.expose();
    let service = door.layer().layer(service_fn(|request: Request<()>| async move {
        Ok::<_, ()>(http::Response::new(request.uri().to_string()))
    }));
    for (sent, seen) in [
        (format!("/?api_key={key}"), "/"),
        (format!("/a%20b?x=1&api_key={key}&y=%26"), "/a%20b?x=1&y=%26"),
        (format!("/a?api_key={key}&flag"), "/a?flag"),
        (format!("http://example.org:8080/a?api_key={key}"), "http://example.org:8080/a"),
        (format!("https://example.org?api_key={key}&x=1"), "https://example.org/?x=1"),
        (format!("/a?my_api_key=1&api_key={key}&api_key2=2"), "/a?my_api_key=1&api_key2=2"),
    ] {
        let request = Request::get(&sent).body(()).unwrap();
        let response = service.clone().oneshot(request).await.unwrap();
        assert_eq!(text_of(response).await, seen);
    }
}

async fn uris(OriginalUri(original): OriginalUri, uri: Uri) -> String {
    format!("{original} {uri}")
}

#[tokio::test]
async fn the_original_uri_keeps_the_key_when_the_layer_is_within_the_router() {
    let door = queried().await;
    let sent = format!("/?api_key={}&x=1", door.issued.key.expose());
    let app = Router::new().route("/", get(uris)).layer(door.layer());
    assert_eq!(text(&app, Request::get(&sent)).await, format!("{sent} /?x=1"));
}

#[tokio::test]
async fn the_original_uri_is_free_of_the_key_when_the_layer_is_around_the_router() {
    let door = queried().await;
    let sent = format!("/?api_key={}&x=1", door.issued.key.expose());
    let service = door.layer().layer(Router::new().route("/", get(uris)));
    let request = Request::get(&sent).body(Body::empty()).unwrap();
    let response = service.oneshot(request).await.unwrap();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, "/?x=1 /?x=1");
}

#[tokio::test]
async fn a_query_is_refused_and_left_alone_unless_turned_on() {
    let door = Door::of(9).await;
    let app = Router::new().route("/", get(uris)).layer(door.layer());
    let uri = format!("/?api_key={}", door.issued.key.expose());
    assert_eq!(status(&app, Request::get(&uri)).await, 401);
    assert_eq!(text(&app, door.get("/?api_key=mine")).await, "/?api_key=mine /?api_key=mine");
}
