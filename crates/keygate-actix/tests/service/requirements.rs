//! What an app, a scope or a resource demands: scopes, an operation, a cost, or nothing.

use actix_web::{
    App,
    dev::RequestHead,
    test::{TestRequest, init_service},
    web,
};
use keygate::{gate::GateBuilder, requirement::Requirement, wire::Wire};

use crate::{
    send::{send, status},
    support::{Door, SERVER_ERROR, SUCCESS},
};

async fn ok() -> &'static str {
    "ok"
}

/// An app of one route behind this middleware.
macro_rules! app {
    ($keys:expr) => {
        init_service(App::new().route("/", web::get().to(ok)).wrap($keys)).await
    };
}

/// The weight that the request claims for itself.
fn claimed(head: &RequestHead) -> u64 {
    let value = head.headers().get("x-weight").and_then(|value| value.to_str().ok());
    value.and_then(|value| value.parse().ok()).unwrap_or(1)
}

#[actix_web::test]
async fn a_key_is_admitted_and_told_its_limits() {
    let door = Door::built(9, GateBuilder::tell_admitted).await;
    let answer = send(&app!(door.keys()), door.get("/")).await;
    assert_eq!((answer.status, answer.text.as_str()), (200, "ok"));
    assert_eq!(answer.values("ratelimit"), [r#""daily";r=8;t=43200"#]);
    assert_eq!(answer.values("ratelimit-policy"), [r#""daily";q=9;w=86400"#]);
    assert_eq!(answer.admitted().caller().key_id(), Some(door.issued.record.id));
    assert_eq!(door.usage().await, [(SUCCESS, 1, 1)]);
}

#[actix_web::test]
async fn the_verdict_on_an_admitted_request_is_told_only_if_asked_for() {
    let door = Door::of(9).await;
    let answer = send(&app!(door.keys()), door.get("/")).await;
    assert_eq!(answer.values("ratelimit").len(), 1);
    assert!(answer.verdict.is_none(), "{answer:?}");
}

#[actix_web::test]
async fn every_query_of_a_requirement_must_be_met() {
    let door = Door::of(9).await;
    let orders = door.keys().require("orders:read | admin").unwrap();
    assert_eq!(status(&app!(orders.clone()), door.get("/")).await, 200);
    let answer = send(&app!(orders.require("admin").unwrap()), door.get("/")).await;
    assert_eq!(answer.status, 403);
    let challenge = answer.values("www-authenticate");
    assert!(challenge[0].contains(r#"scope="orders:read admin""#), "{challenge:?}");
}

#[actix_web::test]
async fn a_cost_is_charged_and_metered() {
    let door = Door::of(9).await;
    let app = app!(door.keys().cost(5));
    assert_eq!(send(&app, door.get("/")).await.values("ratelimit"), [r#""daily";r=4;t=43200"#]);
    assert_eq!(status(&app, door.get("/")).await, 429);
    assert_eq!(door.usage().await.first(), Some(&(SUCCESS, 1, 5)));
}

#[actix_web::test]
async fn a_request_may_be_weighed_by_its_head() {
    let door = Door::of(9).await;
    let app = app!(door.keys().cost_from(claimed));
    for (weight, expected) in [("4", 200), ("0", 200), ("6", 429), ("10", 429), ("5", 200)] {
        let request = door.get("/").insert_header(("x-weight", weight));
        assert_eq!(status(&app, request).await, expected, "weight {weight}");
    }
    assert_eq!(door.usage().await.first(), Some(&(SUCCESS, 3, 9)));
}

#[actix_web::test]
async fn what_weighs_a_request_does_not_see_the_key() {
    let door = Door::of(9).await;
    let hidden = |head: &RequestHead| {
        u64::from(head.headers().get("authorization").unwrap().is_sensitive()) * 3
    };
    assert_eq!(status(&app!(door.keys().cost_from(hidden)), door.get("/")).await, 200);
    assert_eq!(door.usage().await, [(SUCCESS, 1, 3)]);
}

#[actix_web::test]
async fn the_last_word_on_the_cost_counts() {
    let door = Door::of(100).await;
    let weighed = door.keys().cost_from(|_| 7);
    for (keys, cost) in [
        (weighed.clone().cost(2), 2),
        (weighed.clone().with(Requirement::default().cost(3)), 3),
        (weighed.clone().require("orders:read").unwrap().operation("orders").unwrap(), 7),
        (door.keys().cost(2).cost_from(|_| 7), 7),
    ] {
        let before: u64 = door.usage().await.iter().map(|row| row.2).sum();
        assert_eq!(status(&app!(keys.clone()), door.get("/")).await, 200);
        let after: u64 = door.usage().await.iter().map(|row| row.2).sum();
        assert_eq!(after - before, cost, "{keys:?}");
    }
}

#[actix_web::test]
async fn a_failure_of_the_service_is_given_back_if_so_set() {
    let door = Door::of(9).await;
    let failing = web::get().to(|| async { actix_web::HttpResponse::BadGateway().finish() });
    let keys = door.keys().cost(4).refund_on(500..=599);
    let app = init_service(App::new().route("/", failing).wrap(keys)).await;
    for _ in 0..3 {
        assert_eq!(status(&app, door.get("/")).await, 502);
    }
    assert_eq!(door.usage().await, [(SERVER_ERROR, 3, 0)]);
}

#[actix_web::test]
async fn a_public_requirement_opens_a_scope_or_a_resource() {
    let door = Door::of(9).await;
    let public = || door.keys().require("admin").unwrap().with(Requirement::public());
    let app = App::new()
        .service(web::scope("/scope").wrap(public()).route("/", web::get().to(ok)))
        .service(web::resource("/resource").wrap(public()).to(ok))
        .service(web::resource("/closed").wrap(door.keys()).to(ok));
    let app = init_service(app).await;
    for (path, expected) in [("/scope/", 200), ("/resource", 200), ("/closed", 401)] {
        assert_eq!(status(&app, TestRequest::get().uri(path)).await, expected, "{path}");
    }
    let answer = send(&app, TestRequest::get().uri("/resource")).await;
    assert!(answer.verdict.is_none() && !answer.headers.contains_key("ratelimit"), "{answer:?}");
}

#[actix_web::test]
async fn a_public_path_is_open_to_the_letter_and_whole_in_a_scope() {
    let set = |builder: GateBuilder| builder.public_path("/v1/healthz");
    let door = Door::built(9, set).await;
    let scope = web::scope("/v1")
        .wrap(door.keys())
        .route("/healthz", web::get().to(ok))
        .route("/healthz/", web::get().to(ok));
    let app = init_service(App::new().service(scope)).await;
    for (path, expected) in
        [("/v1/healthz?verbose", 200), ("/v1/healthz/", 401), ("/v1/%68ealthz", 401)]
    {
        assert_eq!(status(&app, TestRequest::get().uri(path)).await, expected, "{path}");
    }
}

#[actix_web::test]
async fn usage_is_told_apart_by_operation() {
    let door = Door::of(9).await;
    status(&app!(door.keys().operation("orders").unwrap()), door.get("/")).await;
    status(&app!(door.keys()), door.get("/")).await;
    assert_eq!(door.usage().await, [(SUCCESS, 1, 1), (SUCCESS, 1, 1)]);
}

#[actix_web::test]
async fn mistakes_in_a_requirement_are_errors() {
    let door = Door::of(9).await;
    assert!(door.keys().require("orders:read &").is_err());
    assert!(door.keys().operation("").is_err());
}

#[actix_web::test]
async fn methods_are_all_the_same_but_for_a_preflight() {
    let door = Door::of(9).await;
    let app = init_service(App::new().default_service(web::to(ok)).wrap(door.keys())).await;
    for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
        let request = || TestRequest::default().method(method.parse().unwrap());
        assert_eq!(status(&app, request()).await, 401, "{method}");
        assert_eq!(status(&app, request().insert_header(door.bearer())).await, 200, "{method}");
    }
    let preflight = TestRequest::default()
        .method("OPTIONS".parse().unwrap())
        .insert_header(("origin", "https://shop.example"))
        .insert_header(("access-control-request-method", "GET"));
    let answer = send(&app, preflight).await;
    assert_eq!(answer.status, 200);
    assert!(!answer.headers.contains_key("ratelimit"));
}

#[actix_web::test]
async fn visitors_are_told_apart_by_their_address_behind_trusted_proxies() {
    let wire = Wire::default().trusted_proxies("10.0.0.0/8".parse().unwrap());
    let door = Door::built(9, |builder| builder.anonymous("free").wire(wire).tell_admitted()).await;
    let app = app!(door.keys());
    for (peer, said, visitor) in [
        ("203.0.113.9:1", "198.51.100.7", "ip:203.0.113.9"),
        ("10.0.0.1:1", "192.0.2.1, 198.51.100.7", "ip:198.51.100.7"),
        ("[::ffff:10.0.0.1]:1", "198.51.100.8", "ip:198.51.100.8"),
    ] {
        let request = TestRequest::get().uri("/").peer_addr(peer.parse().unwrap());
        let answer = send(&app, request.insert_header(("x-forwarded-for", said))).await;
        assert_eq!(answer.admitted().caller().consumer().as_str(), visitor);
    }
}
