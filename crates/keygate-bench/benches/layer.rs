//! A route of axum, called in process: what each layer adds to it.

use std::{rc::Rc, time::Duration};

use axum::{
    Router,
    body::Body,
    http::Request,
    middleware::from_fn_with_state,
    response::Response,
    routing::{RouterIntoService, get},
};
use keygate_bench::{
    harness::{Options, Outcome, Report, Table, batch, now, since},
    ours::{self, Setup},
    peers::{self, Limitador},
};
use keygate_tower::KeygateLayer;
use tokio::runtime::{Builder, Runtime};
use tower::Service;

const KEYS: usize = 100_000;
const TARGET: f64 = 1.5;

const BARE: &str = "bare route";
const KEYGATE: &str = "keygate";
const TOWER_GOVERNOR: &str = "tower_governor";
const LIMITADOR: &str = "limitador";

fn main() {
    let mut report = Report::new("layer", Options::from_args());
    for (title, count) in [("one key", 1), ("100,000 keys", KEYS)] {
        let outcome = report.table(table(&format!("layer: {title}"), count));
        for contender in [KEYGATE, TOWER_GOVERNOR, LIMITADOR] {
            let (median, least) = added(&outcome, contender);
            report.say(&format!("  added by {contender}: {median:.0} ns, at least {least:.0}"));
        }
        let (ours, theirs) = (added(&outcome, KEYGATE), added(&outcome, TOWER_GOVERNOR));
        let what = format!("{title}, added, keygate to tower_governor");
        report.target(&what, ours.0 / theirs.0, TARGET);
        report.target(&format!("{what}, of the minima"), ours.1 / theirs.1, TARGET);
        report.say("");
    }
    report.finish();
}

/// What a contender adds to the bare route: by the medians, and by the minima.
fn added(outcome: &Outcome, contender: &str) -> (f64, f64) {
    let (row, bare) = (outcome.row(contender), outcome.row(BARE));
    (row.median - bare.median, row.minimum - bare.minimum)
}

fn table(title: &str, count: usize) -> Table {
    let setup = Setup::new();
    let keys = Rc::new(setup.issue(count));
    let gate = KeygateLayer::new(setup.gate).with(ours::requirement());
    let limits = Limitador::new(count);
    Table::new(title)
        .timed(BARE, rounds(route(), &keys))
        .timed(KEYGATE, rounds(route().layer(gate), &keys))
        .timed(TOWER_GOVERNOR, rounds(route().layer(peers::tower_governor()), &keys))
        .timed(
            LIMITADOR,
            rounds(route().layer(from_fn_with_state(limits, peers::limitador)), &keys),
        )
}

fn route() -> Router {
    Router::new().route("/search", get(|| async { "ok" }))
}

/// Calls the route again and again on a runtime that is entered once a round. Making requests is
/// not timed; dropping responses is.
fn rounds(app: Router, keys: &Rc<Vec<String>>) -> impl FnMut(u64) -> Duration + 'static {
    let runtime = Builder::new_current_thread().build().expect("a runtime");
    let mut service = app.into_service();
    let (keys, mut turn) = (Rc::clone(keys), ours::shuffled(keys.len()));
    for key in &*keys {
        let response = call_once(&runtime, &mut service, key);
        assert!(response.status().is_success(), "{response:?}");
    }
    move |times| {
        runtime.block_on(async {
            let mut taken = Duration::ZERO;
            for _ in 0..times / batch() as u64 {
                let requests: Vec<_> = (0..batch()).map(|_| request(&keys[turn()])).collect();
                let start = now();
                for request in requests {
                    let response = service.call(request).await;
                    assert!(response.is_ok_and(|response| response.status().is_success()));
                }
                taken += since(start);
            }
            taken
        })
    }
}

fn call_once(runtime: &Runtime, service: &mut RouterIntoService<Body>, key: &str) -> Response {
    let Ok(response) = runtime.block_on(service.call(request(key)));
    response
}

fn request(key: &str) -> Request<Body> {
    ours::request(key, Body::empty())
}
