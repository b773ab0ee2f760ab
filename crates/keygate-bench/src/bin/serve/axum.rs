use std::{convert::Infallible, sync::Arc};

use axum::{
    Router,
    body::Body,
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
use keygate_tower::{KeygateLayer, ResponseBody};
use tokio::net::TcpListener;
use tower::{Layer, Service, ServiceBuilder, make::Shared};

/// A layer stands in front of the router, unless said otherwise.
#[tokio::main]
pub(crate) async fn serve(what: &[&str]) {
    // As it is served: made ready once, and not for each request.
    let router = Router::new().route(ROUTE, get(async || "ok")).with_state(());
    let keys = || {
        let setup = Setup::new();
        let key = setup.issue(1).remove(0);
        (KeygateLayer::new(setup.gate).with(ours::requirement()), key)
    };
    match what {
        ["bare"] => run(router, "").await,
        ["keygate"] => {
            let (layer, key) = keys();
            let own = |it: Response<ResponseBody<Body>>| it.map(|body| body.into_own(Body::new));
            run(ServiceBuilder::new().map_response(own).layer(layer).service(router), &key).await;
        }
        ["keygate-router"] => {
            let (layer, key) = keys();
            run(router.layer(layer).with_state(()), &key).await;
        }
        ["governor"] => run(peers::tower_governor().layer(router), "").await,
        ["limitador"] => {
            let limits = Limitador::new(1);
            run(from_fn_with_state(limits, peers::limitador).layer(router), "").await;
        }
        ["by-hand", redis] => {
            let limit = Arc::new(ByHand::connect(redis).await.expect("a connection"));
            run(from_fn_with_state(limit, by_hand).layer(router), "").await;
        }
        _ => panic!("{what:?} is none of {KNOWN}"),
    }
}

const KNOWN: &str = "bare, keygate, keygate-router, governor, limitador, by-hand and a URL";

async fn run<S>(service: S, key: &str)
where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    println!("{} {key}", listener.local_addr().expect("an address"));
    axum::serve(listener, Shared::new(service)).await.expect("served");
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
