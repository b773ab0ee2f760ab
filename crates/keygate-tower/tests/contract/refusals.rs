//! Whatever the reason, a refusal is answered without the service.

use std::sync::{Arc, atomic::Ordering::SeqCst};

use http::{Request, StatusCode};
use keygate::{Verdict, usage::Outcome, verdict::Reason};
use keygate_tower::KeygateLayer;
use tower::{Layer as _, ServiceExt as _};

use crate::{
    inner::Strict,
    support::{Door, SUCCESS, broken::Broken, text_of},
};

/// Sends one request that must be refused for this reason, and holds what follows from it.
async fn is_refused(door: &Door, layer: KeygateLayer, request: Request<()>, reason: Reason) {
    let strict = Strict::default();
    let before = door.usage().await;
    let response = layer.layer(strict.clone()).oneshot(request).await.unwrap();

    assert_eq!(strict.log.counts(), (0, 0), "{reason:?} reached the service");
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    match response.extensions().get() {
        Some(Verdict::Rejected(rejection)) => assert_eq!(rejection.reason(), reason),
        other => panic!("{reason:?} gave {other:?}"),
    }
    let body = text_of(response).await;
    assert!(body.contains(&format!(r#""code":"{}""#, reason.code())), "{body}");
    let mut expected = before;
    expected.push((Outcome::Denied(reason), 1, 0));
    expected.sort_unstable();
    assert_eq!(door.usage().await, expected, "{reason:?} is metered once");
}

fn request(key: &str) -> Request<()> {
    Request::get("/").header("x-api-key", key).body(()).unwrap()
}

#[tokio::test]
async fn no_key_never_reaches_the_service() {
    let door = Door::of(1).await;
    let request = Request::new(());
    is_refused(&door, door.layer(), request, Reason::MissingKey).await;
}

#[tokio::test]
async fn a_malformed_key_never_reaches_the_service() {
    let door = Door::of(1).await;
    is_refused(&door, door.layer(), request("kg_live_x"), Reason::MalformedKey).await;
}

#[tokio::test]
async fn the_key_of_another_gate_never_reaches_the_service() {
    let (door, other) = (Door::of(1).await, Door::of(1).await);
    let request = request(other.issued.key.expose());
    is_refused(&door, door.layer(), request, Reason::UnknownKey).await;
}

#[tokio::test]
async fn a_revoked_key_never_reaches_the_service() {
    let door = Door::of(1).await;
    door.gate.keyring().revoke(door.issued.record.id).await.unwrap();
    let request = door.get("/").body(()).unwrap();
    is_refused(&door, door.layer(), request, Reason::RevokedKey).await;
}

#[tokio::test]
async fn two_keys_never_reach_the_service() {
    let door = Door::of(1).await;
    let request = door.get("/").header("x-api-key", "another").body(()).unwrap();
    is_refused(&door, door.layer(), request, Reason::AmbiguousCredential).await;
}

#[tokio::test]
async fn a_missing_scope_never_reaches_the_service_and_costs_nothing() {
    let door = Door::of(1).await;
    let layer = door.layer().require("users:read").unwrap();
    let refused = door.get("/").body(()).unwrap();
    is_refused(&door, layer, refused, Reason::InsufficientScope).await;

    let allowed = door.get("/").body(()).unwrap();
    let response = door.layer().layer(Strict::default()).oneshot(allowed).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
}

#[tokio::test]
async fn an_exhausted_quota_never_reaches_the_service() {
    let door = Door::of(1).await;
    let strict = Strict::default();
    let first = door.get("/").body(()).unwrap();
    door.layer().layer(strict.clone()).oneshot(first).await.unwrap();
    assert_eq!(strict.log.calls.load(SeqCst), 1);
    assert_eq!(door.usage().await, [(SUCCESS, 1, 1)]);

    let second = door.get("/").body(()).unwrap();
    is_refused(&door, door.layer(), second, Reason::QuotaExhausted).await;
}

#[tokio::test]
async fn a_cost_above_the_capacity_never_reaches_the_service() {
    let door = Door::of(4).await;
    let request = door.get("/").body(()).unwrap();
    is_refused(&door, door.layer().cost(5), request, Reason::CostExceedsLimit).await;
}

#[tokio::test]
async fn a_fault_of_the_counters_never_reaches_the_service() {
    let door = Door::built(1, |builder| builder.counters(Arc::new(Broken))).await;
    let request = door.get("/").body(()).unwrap();
    is_refused(&door, door.layer(), request, Reason::LimiterUnavailable).await;
}
