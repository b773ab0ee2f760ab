use std::sync::Arc;

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderValue, StatusCode, header::AUTHORIZATION},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::get,
};
use keygate_bench::{
    by_hand::ByHand,
    load::ROUTE,
    ours::{self, Setup},
    peers::{self, Limitador},
};
use keygate_tower::KeygateLayer;
use tokio::net::TcpListener;

#[tokio::main]
pub(crate) async fn serve(what: &[&str]) {
    let route = Router::new().route(ROUTE, get(|| async { "ok" }));
    let mut key = String::new();
    let api = match what {
        ["bare"] => route,
        ["keygate"] => {
            let setup = Setup::new();
            key = setup.issue(1).remove(0);
            route.layer(KeygateLayer::new(setup.gate).with(ours::requirement()))
        }
        ["governor"] => route.layer(peers::tower_governor()),
        ["limitador"] => route.layer(from_fn_with_state(Limitador::new(1), peers::limitador)),
        ["by-hand", redis] => {
            let limit = Arc::new(ByHand::connect(redis).await.expect("a connection"));
            route.layer(from_fn_with_state(limit, by_hand))
        }
        _ => panic!("{what:?} is none of bare, keygate, governor, limitador, by-hand and a URL"),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    println!("{} {key}", listener.local_addr().expect("an address"));
    axum::serve(listener, api).await.expect("served");
}

/// One rate, by the whole `Authorization` header, which nobody looks at.
async fn by_hand(State(limit): State<Arc<ByHand>>, request: Request, next: Next) -> Response {
    let who = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let Some(who) = who else { return StatusCode::UNAUTHORIZED.into_response() };
    let Ok(checked) = limit.check(who).await else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    if !checked.admitted {
        let retry = HeaderValue::from(checked.retry_millis.div_ceil(1000));
        return (StatusCode::TOO_MANY_REQUESTS, [("retry-after", retry)]).into_response();
    }
    let mut response = next.run(request).await;
    response.headers_mut().insert("x-ratelimit-remaining", HeaderValue::from(checked.remaining));
    response
}
