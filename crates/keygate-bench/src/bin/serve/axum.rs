use std::sync::Arc;

use axum::{
    Router,
    extract::{Request, State},
    handler::Handler,
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

/// A layer stands before the handler, as that of a route with requirements of its own does.
#[tokio::main]
pub(crate) async fn serve(what: &[&str]) {
    let mut key = String::new();
    let mut keys = || {
        let setup = Setup::new();
        key = setup.issue(1).remove(0);
        KeygateLayer::new(setup.gate).with(ours::requirement())
    };
    let route = |handler| Router::new().route(ROUTE, handler);
    let api = match what {
        ["bare"] => route(get(hello)),
        ["keygate"] => route(get(hello.layer(keys()))),
        ["keygate-router"] => route(get(hello)).layer(keys()),
        ["governor"] => route(get(hello.layer(peers::tower_governor()))),
        ["limitador"] => {
            let limits = Limitador::new(1);
            route(get(hello.layer(from_fn_with_state(limits, peers::limitador))))
        }
        ["by-hand", redis] => {
            let limit = Arc::new(ByHand::connect(redis).await.expect("a connection"));
            route(get(hello.layer(from_fn_with_state(limit, by_hand))))
        }
        _ => panic!("{what:?} is none of {KNOWN}"),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    println!("{} {key}", listener.local_addr().expect("an address"));
    axum::serve(listener, api).await.expect("served");
}

const KNOWN: &str = "bare, keygate, keygate-router, governor, limitador, by-hand and a URL";

async fn hello() -> &'static str {
    "ok"
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
