//! What a router demands: scopes, an operation, a cost, or nothing.

use axum::{Router, routing::get};
use http::{Request, request::Parts};
use keygate::requirement::Requirement;
use keygate_tower::KeygateLayer;

use crate::{
    send::{send, status, values},
    support::{Door, SUCCESS},
};

fn app(layer: KeygateLayer) -> Router {
    Router::new().route("/", get(|| async { "ok" })).layer(layer)
}

/// The weight that the request claims for itself.
fn claimed(head: &Parts) -> u64 {
    let value = head.headers.get("x-weight").and_then(|value| value.to_str().ok());
    value.and_then(|value| value.parse().ok()).unwrap_or(1)
}

#[tokio::test]
async fn every_query_of_a_requirement_must_be_met() {
    let door = Door::of(9).await;
    let orders = door.layer().require("orders:read | admin").unwrap();
    assert_eq!(status(&app(orders.clone()), door.get("/")).await, 200);
    let both = orders.require("admin").unwrap();
    let response = send(&app(both), door.get("/")).await;
    assert_eq!(response.status(), 403);
    let challenge = values(&response, "www-authenticate");
    assert!(challenge[0].contains(r#"scope="orders:read admin""#), "{challenge:?}");
}

#[tokio::test]
async fn a_cost_is_charged_and_metered() {
    let door = Door::of(9).await;
    let response = send(&app(door.layer().cost(5)), door.get("/")).await;
    assert_eq!(values(&response, "ratelimit"), [r#""daily";r=4;t=43200"#]);
    assert_eq!(status(&app(door.layer().cost(5)), door.get("/")).await, 429);
    assert_eq!(door.usage().await.first(), Some(&(SUCCESS, 1, 5)));
}

#[tokio::test]
async fn a_cost_of_nothing_is_checked_and_metered_but_not_charged() {
    let door = Door::of(1).await;
    let free = app(door.layer().cost(0));
    assert_eq!(status(&app(door.layer()), door.get("/")).await, 200);
    assert_eq!(status(&free, door.get("/")).await, 200, "the quota is used up, and it fits");
    assert_eq!(status(&free, Request::get("/")).await, 401);
    assert_eq!(door.usage().await.first(), Some(&(SUCCESS, 2, 1)));
}

#[tokio::test]
async fn a_cost_above_the_capacity_is_refused_without_a_retry() {
    let door = Door::of(9).await;
    let response = send(&app(door.layer().cost(10)), door.get("/")).await;
    assert_eq!(response.status(), 429);
    assert_eq!(values(&response, "retry-after"), [] as [&str; 0]);
    let exhausting = app(door.layer().cost(9));
    assert_eq!(status(&exhausting, door.get("/")).await, 200);
    let response = send(&exhausting, door.get("/")).await;
    assert_eq!(values(&response, "retry-after"), ["43200"]);
}

#[tokio::test]
async fn a_request_may_be_weighed_by_its_head() {
    let door = Door::of(9).await;
    let app = app(door.layer().cost_from(claimed));
    for (weight, expected) in [("4", 200), ("0", 200), ("6", 429), ("10", 429), ("5", 200)] {
        let response = send(&app, door.get("/").header("x-weight", weight)).await;
        assert_eq!(response.status(), expected, "weight {weight}");
    }
    assert_eq!(door.usage().await.first(), Some(&(SUCCESS, 3, 9)));
}

#[tokio::test]
async fn what_weighs_a_request_does_not_see_the_key() {
    let door = Door::of(9).await;
    let layer =
        door.layer().cost_from(|head| u64::from(head.headers["authorization"].is_sensitive()) * 3);
    assert_eq!(status(&app(layer), door.get("/")).await, 200);
    assert_eq!(door.usage().await, [(SUCCESS, 1, 3)]);
}

#[tokio::test]
async fn the_last_word_on_the_cost_counts() {
    let door = Door::of(100).await;
    let weighed = door.layer().cost_from(|_| 7);
    for (layer, cost) in [
        (weighed.clone().cost(2), 2),
        (weighed.clone().with(Requirement::default().cost(3)), 3),
        (weighed.clone().require("orders:read").unwrap().operation("orders").unwrap(), 7),
        (door.layer().cost(2).cost_from(|_| 7), 7),
    ] {
        let before: u64 = door.usage().await.iter().map(|row| row.2).sum();
        assert_eq!(status(&app(layer.clone()), door.get("/")).await, 200);
        let after: u64 = door.usage().await.iter().map(|row| row.2).sum();
        assert_eq!(after - before, cost, "{layer:?}");
    }
}

#[tokio::test]
async fn a_public_requirement_opens_a_router() {
    let door = Door::of(9).await;
    let layer = door.layer().require("admin").unwrap().with(Requirement::public());
    assert_eq!(status(&app(layer), Request::get("/")).await, 200);
    assert_eq!(door.usage().await, []);
}

#[tokio::test]
async fn a_public_path_is_open_to_the_letter() {
    let door = Door::built(9, |builder| builder.public_path("/healthz")).await;
    let app = Router::new()
        .route("/healthz", get(|| async { "ok" }))
        .route("/healthz/", get(|| async { "secret" }))
        .layer(door.layer());
    assert_eq!(status(&app, Request::get("/healthz?verbose")).await, 200);
    assert_eq!(status(&app, Request::get("/healthz/")).await, 401);
    assert_eq!(status(&app, Request::get("/%68ealthz")).await, 401);
}

#[tokio::test]
async fn usage_is_told_apart_by_operation() {
    let door = Door::of(9).await;
    let orders = app(door.layer().operation("orders").unwrap());
    status(&orders, door.get("/")).await;
    status(&app(door.layer()), door.get("/")).await;
    assert_eq!(door.usage().await, [(SUCCESS, 1, 1), (SUCCESS, 1, 1)]);
}

#[tokio::test]
async fn mistakes_in_a_requirement_are_errors() {
    let door = Door::of(9).await;
    assert!(door.layer().require("orders:read &").is_err());
    assert!(door.layer().operation("").is_err());
}
