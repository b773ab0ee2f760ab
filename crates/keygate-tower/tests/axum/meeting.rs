//! Several layers on one route.

use std::sync::Arc;

use axum::{Extension, Router, routing::get};
use keygate::{
    Caller, Verdict,
    gate::GateBuilder,
    memory::MemoryKeys,
    usage::{Outcome, StatusClass},
    verdict::Reason,
};

use crate::{
    send::{send, status, values},
    support::{Door, SUCCESS},
};

const CLIENT_ERROR: Outcome = Outcome::Admitted(StatusClass::ClientError);

fn whoami() -> Router {
    Router::new().route(
        "/",
        get(|Extension(caller): Extension<Caller>| async move { caller.consumer().to_string() }),
    )
}

#[tokio::test]
async fn two_layers_of_one_gate_count_and_meter_once() {
    let door = Door::built(9, GateBuilder::tell_admitted).await;
    let app = whoami()
        .route_layer(door.layer().require("orders:read").unwrap().cost(5))
        .layer(door.layer().cost(2));
    let response = send(&app, door.get("/")).await;
    assert_eq!(response.status(), 200);
    assert_eq!(values(&response, "ratelimit"), [r#""daily";r=7;t=43200"#]);
    assert_eq!(values(&response, "ratelimit-policy").len(), 1);
    assert_eq!(door.usage().await, [(SUCCESS, 1, 2)]);
    match response.extensions().get() {
        Some(Verdict::Admitted(admitted)) => assert_eq!(admitted.cost(), 2),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_inner_layer_still_checks_its_scopes() {
    let door = Door::of(9).await;
    let app = whoami().route_layer(door.layer().require("admin").unwrap()).layer(door.layer());
    let response = send(&app, door.get("/")).await;
    assert_eq!(response.status(), 403);
    assert_eq!(values(&response, "ratelimit"), [r#""daily";r=8;t=43200"#]);
    assert_eq!(door.usage().await, [(CLIENT_ERROR, 1, 1)]);
}

#[tokio::test]
async fn a_refusal_of_an_inner_layer_stays_the_verdict() {
    let door = Door::built(9, GateBuilder::tell_admitted).await;
    let app = whoami().route_layer(door.layer().require("admin").unwrap()).layer(door.layer());
    let response = send(&app, door.get("/")).await;
    match response.extensions().get() {
        Some(Verdict::Rejected(rejection)) => {
            assert_eq!(rejection.reason(), Reason::InsufficientScope);
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_stripped_key_is_not_missed_by_an_inner_layer_of_the_same_gate() {
    let strip = keygate::wire::Wire::default().strip_credential();
    let door = Door::built(9, |builder| builder.wire(strip)).await;
    let app = whoami().route_layer(door.layer()).layer(door.layer());
    assert_eq!(status(&app, door.get("/")).await, 200);
}

#[tokio::test]
async fn nested_routers_of_one_gate_count_once() {
    let door = Door::of(9).await;
    let inner = whoami().layer(door.layer());
    let app = Router::new().nest("/v1", inner).layer(door.layer());
    assert_eq!(status(&app, door.get("/v1/")).await, 404);
    assert_eq!(status(&app, door.get("/v1")).await, 200);
    assert_eq!(door.usage().await, [(SUCCESS, 1, 1), (CLIENT_ERROR, 1, 1)]);
}

#[tokio::test]
async fn two_gates_both_count_and_meter() {
    let keys = Arc::new(MemoryKeys::default());
    let outer = Door::built(9, |builder| builder.keys(keys.clone())).await;
    let inner = Door::built(5, |builder| builder.keys(keys)).await;
    let app = whoami().route_layer(inner.layer().cost(2)).layer(outer.layer());
    let response = send(&app, outer.get("/")).await;
    assert_eq!(response.status(), 200);
    let told = [r#""daily";r=3;t=43200"#, r#""daily";r=8;t=43200"#];
    assert_eq!(values(&response, "ratelimit"), told, "the inner gate is heard first");
    assert_eq!(outer.usage().await, [(SUCCESS, 1, 1)]);
    assert_eq!(inner.usage().await, [(SUCCESS, 1, 2)]);
}

#[tokio::test]
async fn what_an_inner_gate_refuses_the_outer_has_counted() {
    let keys = Arc::new(MemoryKeys::default());
    let outer = Door::built(9, |builder| builder.keys(keys.clone())).await;
    let inner = Door::built(1, |builder| builder.keys(keys)).await;
    let app = whoami().route_layer(inner.layer()).layer(outer.layer());
    assert_eq!(status(&app, outer.get("/")).await, 200);
    assert_eq!(status(&app, outer.get("/")).await, 429);
    assert_eq!(outer.usage().await, [(SUCCESS, 1, 1), (CLIENT_ERROR, 1, 1)]);
    let denied = Outcome::Denied(Reason::QuotaExhausted);
    assert_eq!(inner.usage().await, [(SUCCESS, 1, 1), (denied, 1, 0)]);
}
