//! What handlers do with the admission they are handed.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex},
};

use axum::{Extension, Router, extract::ConnectInfo, routing::get};
use http::{Extensions, Request, StatusCode};
use keygate::{Caller, verdict::Admission};

use crate::{
    send::{send, status, text, values},
    support::{Door, SUCCESS},
};

#[tokio::test]
async fn a_handler_charges_message_by_message_until_it_is_refused() {
    let door = Door::of(9).await;
    let converse = |Extension(caller): Extension<Caller>| async move {
        let admission = caller.admission();
        for message in 1.. {
            if let Err(rejection) = admission.charge(3).await {
                return format!("{message}: {}", rejection.reason().code());
            }
        }
        String::new()
    };
    let app = Router::new().route("/", get(converse)).layer(door.layer().cost(2));
    assert_eq!(text(&app, door.get("/")).await, "3: quota_exhausted");
    assert_eq!(door.usage().await, [(SUCCESS, 1, 8)], "one request with all of its messages");
}

#[tokio::test]
async fn a_handler_says_the_cost_once_it_is_known() {
    let door = Door::of(9).await;
    let answer =
        |Extension(caller): Extension<Caller>| async move { caller.admission().settle_cost(7) };
    let app = Router::new().route("/", get(answer)).layer(door.layer());
    let first = send(&app, door.get("/")).await;
    assert_eq!(values(&first, "ratelimit"), [r#""daily";r=8;t=43200"#], "what the gate knew");
    let second = send(&app, door.get("/")).await;
    assert_eq!(values(&second, "ratelimit"), [r#""daily";r=1;t=43200"#]);
    assert_eq!(door.usage().await, [(SUCCESS, 2, 14)]);
}

#[tokio::test]
async fn a_request_is_under_way_as_long_as_its_handler_keeps_the_admission() {
    let door = Door::limited("{ name = 'at_once', concurrency = 1 }", |builder| builder).await;
    let kept: Arc<Mutex<Option<Admission>>> = Arc::default();
    let keep = Arc::clone(&kept);
    let work_on = |Extension(caller): Extension<Caller>| async move {
        *keep.lock().unwrap() = Some(caller.admission());
    };
    let app = Router::new().route("/", get(work_on)).layer(door.layer());
    assert_eq!(status(&app, door.get("/")).await, 200);
    assert_eq!(door.usage().await, [], "it is not over");
    assert_eq!(status(&app, door.get("/")).await, 429);
    kept.lock().unwrap().take();
    assert_eq!(door.usage().await.first(), Some(&(SUCCESS, 1, 1)));
    assert_eq!(status(&app, door.get("/")).await, 200);
}

#[tokio::test]
async fn a_failure_costs_nothing_where_failures_are_refunded() {
    let door = Door::of(9).await;
    let failing = || async { StatusCode::BAD_GATEWAY };
    let app = Router::new()
        .route("/", get(|| async {}))
        .route("/failing", get(failing))
        .layer(door.layer().cost(4).refund_on(500..=599));
    let failed = send(&app, door.get("/failing")).await;
    assert_eq!(values(&failed, "ratelimit"), [r#""daily";r=5;t=43200"#], "what the gate knew");
    let served = send(&app, door.get("/")).await;
    assert_eq!(values(&served, "ratelimit"), [r#""daily";r=5;t=43200"#]);
    assert_eq!(door.usage().await.iter().map(|row| row.2).sum::<u64>(), 4);
}

async fn visited() -> (Door, Router) {
    let door = Door::built(2, |builder| builder.anonymous("free")).await;
    let who = |Extension(caller): Extension<Caller>| async move { caller.consumer().to_string() };
    (door, Router::new().route("/", get(who)))
}

fn address(last: u8) -> SocketAddr {
    SocketAddr::from(([203, 0, 113, last], 5_000))
}

#[tokio::test]
async fn visitors_are_told_apart_by_the_address_among_the_extensions() {
    let (door, app) = visited().await;
    let app = app.layer(door.layer());
    let visit = |last| text(&app, Request::get("/").extension(address(last)));
    assert_eq!(visit(1).await, "ip:203.0.113.1");
    assert_eq!(visit(2).await, "ip:203.0.113.2");
    assert_eq!(visit(1).await, "ip:203.0.113.1");
    assert!(visit(1).await.contains("quota_exhausted"));
    assert!(text(&app, Request::get("/")).await.contains("missing_key"));
}

fn peer_of_axum(extensions: &Extensions) -> Option<IpAddr> {
    extensions.get::<ConnectInfo<SocketAddr>>().map(|it| it.0.ip())
}

#[tokio::test]
async fn the_address_is_read_from_where_the_layer_is_told() {
    let (door, app) = visited().await;
    let app = app.layer(door.layer().peer_from(peer_of_axum));
    let request = Request::get("/").extension(ConnectInfo(address(1))).extension(address(2));
    assert_eq!(text(&app, request).await, "ip:203.0.113.1");
}
