//! Where a layer may stand, and which requests it then meets.

use axum::{
    Extension, Router,
    body::Body,
    handler::Handler as _,
    routing::{get, post},
};
use http::Request;
use keygate::Caller;
use tower::{Layer as _, ServiceExt as _};

use crate::{
    send::{status, text},
    support::{Door, SUCCESS},
};

async fn whoami(Extension(caller): Extension<Caller>) -> String {
    caller.consumer().to_string()
}

#[tokio::test]
async fn the_handler_is_told_who_calls() {
    let door = Door::of(9).await;
    let app = Router::new().route("/", get(whoami)).layer(door.layer());
    assert_eq!(text(&app, door.get("/")).await, "acme");
    assert_eq!(door.usage().await, [(SUCCESS, 1, 1)]);
}

#[tokio::test]
async fn layer_guards_unknown_paths_too() {
    let door = Door::of(9).await;
    let app = Router::new().route("/", get(whoami)).layer(door.layer());
    assert_eq!(status(&app, Request::get("/")).await, 401);
    assert_eq!(status(&app, Request::get("/unknown")).await, 401);
    assert_eq!(status(&app, door.get("/unknown")).await, 404);
    assert_eq!(status(&app, Request::post("/")).await, 401);
    assert_eq!(door.usage().await.len(), 2, "metered as a client error and as denied");
}

#[tokio::test]
async fn route_layer_lets_unknown_paths_be_unknown() {
    let door = Door::of(9).await;
    let app = Router::new().route("/", get(whoami)).route_layer(door.layer());
    assert_eq!(status(&app, Request::get("/")).await, 401);
    let metered = door.usage().await;
    assert_eq!(status(&app, Request::get("/unknown")).await, 404);
    assert_eq!(status(&app, door.get("/unknown")).await, 404);
    assert_eq!(door.usage().await, metered);
    assert_eq!(status(&app, Request::post("/")).await, 401, "the path is known");
}

#[tokio::test]
async fn routes_added_after_a_layer_are_open() {
    let door = Door::of(9).await;
    let app = Router::new()
        .route("/", get(whoami))
        .layer(door.layer())
        .route("/healthz", get(|| async { "ok" }));
    assert_eq!(status(&app, Request::get("/")).await, 401);
    assert_eq!(text(&app, Request::get("/healthz")).await, "ok");
}

#[tokio::test]
async fn a_layer_of_methods_guards_these_methods() {
    let door = Door::of(9).await;
    let guarded = get(whoami).layer(door.layer()).post(|| async { "open" });
    let app = Router::new().route("/", guarded);
    assert_eq!(status(&app, Request::get("/")).await, 401);
    assert_eq!(status(&app, Request::head("/")).await, 401);
    assert_eq!(text(&app, door.get("/")).await, "acme");
    assert_eq!(text(&app, Request::post("/")).await, "open");
}

#[tokio::test]
async fn a_route_layer_of_methods_lets_other_methods_be_not_allowed() {
    let door = Door::of(9).await;
    let app = Router::new()
        .route("/layer", get(whoami).layer(door.layer()))
        .route("/route_layer", get(whoami).route_layer(door.layer()));
    assert_eq!(status(&app, Request::get("/route_layer")).await, 401);
    assert_eq!(status(&app, Request::post("/route_layer")).await, 405);
    assert_eq!(status(&app, Request::post("/layer")).await, 401);
}

#[tokio::test]
async fn a_handler_can_be_guarded_by_itself() {
    let door = Door::of(9).await;
    let app = Router::new().route("/", get(whoami.layer(door.layer())));
    assert_eq!(status(&app, Request::get("/")).await, 401);
    assert_eq!(text(&app, door.get("/")).await, "acme");
}

#[tokio::test]
async fn a_nested_router_is_guarded_with_its_own_requirement() {
    let door = Door::of(9).await;
    let users = door.layer().require("users:read").unwrap();
    let inner = Router::new().route("/users", get(whoami)).route_layer(users);
    let app = Router::new()
        .nest("/v1", inner)
        .route("/orders", get(whoami).layer(door.layer().require("orders:read").unwrap()));
    assert_eq!(status(&app, Request::get("/v1/users")).await, 401);
    assert_eq!(status(&app, door.get("/v1/users")).await, 403);
    assert_eq!(status(&app, door.get("/orders")).await, 200);
    assert_eq!(status(&app, Request::get("/v1/unknown")).await, 404);
}

#[tokio::test]
async fn a_layer_around_a_nest_guards_all_of_it() {
    let door = Door::of(9).await;
    let inner = Router::new().route("/users", get(whoami));
    let app = Router::new().nest("/v1", inner).layer(door.layer());
    assert_eq!(text(&app, door.get("/v1/users")).await, "acme");
    for path in ["/v1/users", "/v1/unknown", "/"] {
        assert_eq!(status(&app, Request::get(path)).await, 401, "{path}");
    }
}

#[tokio::test]
async fn public_paths_are_compared_with_what_a_nest_sees() {
    let door = Door::built(9, |builder| builder.public_path("/v1/docs").public_path("/help")).await;
    let inner = || {
        Router::new()
            .route("/docs", get(|| async { "docs" }))
            .route("/help", get(|| async { "help" }))
    };
    let around = Router::new().nest("/v1", inner()).layer(door.layer());
    assert_eq!(status(&around, Request::get("/v1/docs")).await, 200);
    assert_eq!(status(&around, Request::get("/v1/help")).await, 401);
    // axum strips the prefix of a nest: a layer within sees the rest of the path.
    let within = Router::new().nest("/v1", inner().layer(door.layer()));
    assert_eq!(status(&within, Request::get("/v1/docs")).await, 401);
    assert_eq!(status(&within, Request::get("/v1/help")).await, 200);
}

#[tokio::test]
async fn merged_routers_keep_their_own_layers() {
    let door = Door::of(9).await;
    let reads = Router::new().route("/orders", get(whoami)).route_layer(door.layer());
    let admin = door.layer().require("admin").unwrap();
    let admin = Router::new().route("/admin", post(whoami)).route_layer(admin);
    let open = Router::new().route("/healthz", get(|| async { "ok" }));
    let app = reads.merge(admin).merge(open);
    assert_eq!(status(&app, door.get("/orders")).await, 200);
    assert_eq!(status(&app, door.get("/admin").method("POST")).await, 403);
    assert_eq!(status(&app, Request::get("/orders")).await, 401);
    assert_eq!(status(&app, Request::get("/healthz")).await, 200);
}

#[tokio::test]
async fn a_fallback_is_guarded_by_layer_but_not_by_route_layer() {
    let door = Door::of(9).await;
    let routes = || Router::new().route("/", get(whoami)).fallback(|| async { "fallback" });
    let app = routes().layer(door.layer());
    assert_eq!(status(&app, Request::get("/unknown")).await, 401);
    assert_eq!(text(&app, door.get("/unknown")).await, "fallback");
    let app = routes().route_layer(door.layer());
    assert_eq!(text(&app, Request::get("/unknown")).await, "fallback");
}

#[tokio::test]
async fn a_whole_router_can_be_wrapped() {
    let door = Door::of(9).await;
    let service = door.layer().layer(Router::new().route("/", get(whoami)));
    for (request, expected) in [(Request::get("/"), 401), (door.get("/"), 200)] {
        let request = request.body(Body::empty()).unwrap();
        assert_eq!(service.clone().oneshot(request).await.unwrap().status(), expected);
    }
}
