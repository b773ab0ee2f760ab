//! Several of them on one route.

use std::sync::Arc;

use actix_web::{App, test::init_service, web};
use keygate::{gate::GateBuilder, memory::MemoryKeys, usage::Outcome, verdict::Reason, wire::Wire};
use keygate_actix::Caller;

use crate::{
    send::{send, status},
    support::{CLIENT_ERROR, Door, SUCCESS},
};

async fn whoami(caller: Caller) -> String {
    caller.consumer().to_string()
}

/// A resource in a scope in an app, and what each is wrapped in.
macro_rules! nested {
    ($app:expr, $scope:expr, $resource:expr) => {
        init_service(
            App::new()
                .service(
                    web::scope("/v1")
                        .service(web::resource("/me").wrap($resource).to(whoami))
                        .wrap($scope),
                )
                .wrap($app),
        )
        .await
    };
}

#[actix_web::test]
async fn app_scope_and_resource_of_one_gate_count_and_meter_once() {
    let door = Door::built(9, GateBuilder::tell_admitted).await;
    let narrow = door.keys().require("orders:read").unwrap();
    let app = nested!(door.keys().cost(2), narrow.clone().cost(5), narrow.clone());
    let answer = send(&app, door.get("/v1/me")).await;
    assert_eq!((answer.status, answer.text.as_str()), (200, "acme"));
    assert_eq!(answer.values("ratelimit"), [r#""daily";r=7;t=43200"#]);
    assert_eq!(answer.values("ratelimit-policy").len(), 1);
    assert_eq!(answer.admitted().cost(), 2);
    assert_eq!(door.usage().await, [(SUCCESS, 1, 2)]);
    assert_eq!(status(&app, door.get("/v1/nothing")).await, 404);
    assert_eq!(door.usage().await, [(SUCCESS, 1, 2), (CLIENT_ERROR, 1, 2)]);
}

#[actix_web::test]
async fn a_further_one_still_checks_its_scopes_and_its_refusal_stays_the_verdict() {
    let door = Door::built(9, GateBuilder::tell_admitted).await;
    let app = nested!(door.keys(), door.keys(), door.keys().require("admin").unwrap());
    let answer = send(&app, door.get("/v1/me")).await;
    assert_eq!((answer.status, answer.refused()), (403, Reason::InsufficientScope));
    assert_eq!(answer.values("ratelimit"), [r#""daily";r=8;t=43200"#]);
    assert_eq!(door.usage().await, [(CLIENT_ERROR, 1, 1)]);
}

#[actix_web::test]
async fn a_stripped_key_is_not_missed_further_in() {
    let strip = Wire::default().strip_credential();
    let door = Door::built(9, |builder| builder.wire(strip)).await;
    let app = nested!(door.keys(), door.keys(), door.keys());
    assert_eq!(status(&app, door.get("/v1/me")).await, 200);
}

#[actix_web::test]
async fn two_gates_both_count_and_meter() {
    let keys = Arc::new(MemoryKeys::default());
    let outer = Door::built(9, |builder| builder.keys(keys.clone())).await;
    let inner = Door::built(2, |builder| builder.keys(keys)).await;
    let app = nested!(outer.keys(), outer.keys(), inner.keys().cost(2));
    let answer = send(&app, outer.get("/v1/me")).await;
    assert_eq!(answer.status, 200);
    let told = [r#""daily";r=0;t=43200"#, r#""daily";r=8;t=43200"#];
    assert_eq!(answer.values("ratelimit"), told, "the inner gate is heard first");
    assert_eq!(outer.usage().await, [(SUCCESS, 1, 1)]);
    assert_eq!(inner.usage().await, [(SUCCESS, 1, 2)]);

    assert_eq!(send(&app, outer.get("/v1/me")).await.refused(), Reason::QuotaExhausted);
    assert_eq!(outer.usage().await, [(SUCCESS, 1, 1), (CLIENT_ERROR, 1, 1)]);
    let denied = Outcome::Denied(Reason::QuotaExhausted);
    assert_eq!(inner.usage().await, [(SUCCESS, 1, 2), (denied, 1, 0)]);
}
