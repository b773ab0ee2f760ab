//! Beside the CORS layer of tower-http.

use axum::{Router, routing::get};
use http::{HeaderName, Method, Request, request};
use tower_http::cors::{Any, CorsLayer};

use crate::{
    send::{send, status, values},
    support::Door,
};

const EXPOSED: &str = "RateLimit-Policy, RateLimit, Retry-After";

fn cors() -> CorsLayer {
    let shown = [HeaderName::from_static("authorization")];
    CorsLayer::new().allow_origin(Any).allow_methods([Method::GET]).allow_headers(shown)
}

fn preflight() -> request::Builder {
    Request::options("/")
        .header("origin", "https://shop.example")
        .header("access-control-request-method", "GET")
        .header("access-control-request-headers", "authorization")
}

fn routes() -> Router {
    Router::new().route("/", get(|| async { "ok" }))
}

#[tokio::test]
async fn a_preflight_is_answered_whichever_layer_is_outside() {
    let door = Door::of(9).await;
    for app in
        [routes().layer(door.layer()).layer(cors()), routes().layer(cors()).layer(door.layer())]
    {
        let response = send(&app, preflight()).await;
        assert_eq!(response.status(), 200);
        assert_eq!(values(&response, "access-control-allow-headers"), ["authorization"]);
        assert_eq!(values(&response, "ratelimit"), [] as [&str; 0]);
    }
    assert_eq!(door.usage().await, []);
}

#[tokio::test]
async fn only_a_preflight_passes_without_a_key() {
    let door = Door::of(9).await;
    let app = routes().layer(cors()).layer(door.layer());
    assert_eq!(status(&app, Request::options("/")).await, 401);
    assert_eq!(status(&app, preflight().method("GET")).await, 401);
    let no_origin = Request::options("/").header("access-control-request-method", "GET");
    assert_eq!(status(&app, no_origin).await, 401);
}

#[tokio::test]
async fn scripts_of_another_origin_may_read_the_fields() {
    let door = Door::of(9).await;
    let app = routes().layer(door.layer()).layer(cors());
    let response = send(&app, door.get("/").header("origin", "https://shop.example")).await;
    assert_eq!(values(&response, "access-control-expose-headers"), [EXPOSED]);
    assert_eq!(values(&response, "access-control-allow-origin"), ["*"]);
    let response = send(&app, door.get("/")).await;
    assert_eq!(values(&response, "access-control-expose-headers"), [] as [&str; 0]);
}

#[tokio::test]
async fn a_refusal_can_be_read_by_scripts_when_cors_is_outside() {
    let door = Door::of(9).await;
    let app = routes().layer(door.layer()).layer(cors());
    let response = send(&app, Request::get("/").header("origin", "https://shop.example")).await;
    assert_eq!(response.status(), 401);
    assert_eq!(values(&response, "access-control-allow-origin"), ["*"]);
}

#[tokio::test]
async fn what_cors_exposes_inside_is_added_to() {
    let door = Door::of(9).await;
    let exposing = cors().expose_headers([HeaderName::from_static("x-total")]);
    let app = routes().layer(exposing).layer(door.layer());
    let response = send(&app, door.get("/").header("origin", "https://shop.example")).await;
    assert_eq!(values(&response, "access-control-expose-headers"), ["x-total", EXPOSED]);
}

#[tokio::test]
async fn what_cors_exposes_outside_is_the_last_word() {
    let door = Door::of(9).await;
    let exposing = cors().expose_headers([HeaderName::from_static("x-total")]);
    let app = routes().layer(door.layer()).layer(exposing);
    let response = send(&app, door.get("/").header("origin", "https://shop.example")).await;
    // tower-http overwrites: who lists fields there lists the RateLimit fields as well.
    assert_eq!(values(&response, "access-control-expose-headers"), ["x-total"]);
}
