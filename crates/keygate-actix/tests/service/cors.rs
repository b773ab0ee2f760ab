//! Beside actix-cors.

use actix_cors::Cors;
use actix_web::{
    App,
    http::Method,
    test::{TestRequest, init_service},
    web,
};

use crate::{
    send::{Answer, send},
    support::Door,
};

const SHOP: (&str, &str) = ("origin", "https://shop.example");
const EXPOSED: &str = "RateLimit-Policy, RateLimit, Retry-After";

fn cors() -> Cors {
    Cors::default().allow_any_origin().allowed_methods(["GET"]).allowed_headers(["authorization"])
}

fn preflight() -> TestRequest {
    TestRequest::default()
        .method(Method::OPTIONS)
        .insert_header(SHOP)
        .insert_header(("access-control-request-method", "GET"))
        .insert_header(("access-control-request-headers", "authorization"))
}

async fn answer(door: &Door, cors: Cors, request: TestRequest) -> Answer {
    let app = App::new().route("/", web::get().to(|| async { "ok" }));
    send(&init_service(app.wrap(door.keys()).wrap(cors)).await, request).await
}

#[actix_web::test]
async fn a_preflight_is_answered_whichever_is_outside() {
    let door = Door::of(9).await;
    let inside = App::new().route("/", web::get().to(|| async { "ok" })).wrap(cors());
    let inside = init_service(inside.wrap(door.keys())).await;
    let answers = [answer(&door, cors(), preflight()).await, send(&inside, preflight()).await];
    for answer in answers {
        assert_eq!(answer.status, 200);
        assert_eq!(answer.values("access-control-allow-headers"), ["authorization"]);
        assert!(answer.values("ratelimit").is_empty());
    }
    assert_eq!(door.usage().await, []);
    let posing = preflight().method(Method::GET);
    assert_eq!(send(&inside, posing).await.status, 401, "only a preflight passes");
}

#[actix_web::test]
async fn a_refusal_can_be_read_by_scripts_when_cors_is_outside() {
    let door = Door::of(9).await;
    let answer = answer(&door, cors(), TestRequest::get().insert_header(SHOP)).await;
    assert_eq!(answer.status, 401);
    assert_eq!(answer.values("access-control-allow-origin"), ["https://shop.example"]);
    assert_eq!(answer.values("content-type"), ["application/problem+json"]);
}

#[actix_web::test]
async fn scripts_of_another_origin_may_read_the_fields() {
    let door = Door::of(9).await;
    let told = answer(&door, cors(), door.get("/").insert_header(SHOP)).await;
    assert_eq!(told.values("access-control-expose-headers"), [EXPOSED]);
    let told = answer(&door, cors(), door.get("/")).await;
    assert!(told.values("access-control-expose-headers").is_empty());
}

#[actix_web::test]
async fn what_cors_exposes_outside_is_the_last_word() {
    let door = Door::of(9).await;
    let exposing = cors().expose_headers(["x-total"]);
    let told = answer(&door, exposing, door.get("/").insert_header(SHOP)).await;
    // actix-cors overwrites: who lists fields there lists the RateLimit fields as well.
    assert_eq!(told.values("access-control-expose-headers"), ["x-total"]);
}
