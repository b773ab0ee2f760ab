//! Exports that take their time: ten at once for each consumer, charged for the rows they turn out to have.
//!
//! `cargo run --bin exports` keeps everything in memory, issues a key and prints lines to try. Where
//! `KEYGATE_REDIS_URL` is set it runs as `api_axum` does, as one of many replicas: apply plans such as those
//! below and issue keys with the `keygate` command. `KEYGATE_ADDR` changes the address, `--json` prints one
//! line of JSON for programs instead.

mod demo {
    pub(crate) mod doorway;
    pub(crate) mod environment;
    pub(crate) mod example_axum;
    pub(crate) mod over_redis;
    pub(crate) mod serving_axum;
}

use std::{
    convert::Infallible,
    net::SocketAddr,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use axum::{
    Extension, Json, Router,
    body::Body,
    extract::{Query, State},
    routing::get,
};
use futures_util::stream;
use keygate::{Caller, Gate, verdict::Admission};
use keygate_tower::KeygateLayer;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::sleep;

use demo::{environment::Result, example_axum::Example, serving_axum};

/// A request holds one of ten slots until its response was sent, or nobody wants it any more.
const PLANS: &str = r#"
    [plans.standard]
    scopes = ["exports:read"]
    limits = [
      { name = "at-once", concurrency = 10 },
      { name = "rows", quota = 1000000, per = "month" },
    ]
"#;

/// What an export is charged while nobody knows how many rows it has. Who hangs up has paid that.
const GUESS: u64 = 5;

/// How many chunks an export is sent in.
const CHUNKS: u32 = 4;

fn api(gate: Arc<Gate>) -> Result<Router> {
    let keys = KeygateLayer::new(gate).require("exports:read")?.operation("export")?.cost(GUESS);
    let keys = keys.peer_from(serving_axum::peer);
    Ok(Router::new()
        .route("/v1/export", get(export))
        .layer(keys)
        // Behind no layer, and so for everybody.
        .route("/under-way", get(under_way))
        .route("/healthz", get(|| async { "ok\n" }))
        .with_state(Arc::default()))
}

/// What is asked for: how long the export takes, and how many rows it has.
#[derive(Deserialize)]
struct Asked {
    millis: u64,
    units: u64,
}

/// An export under way. The handler has it first, then the body of the response.
struct Export {
    _inside: Inside,
    admission: Admission,
    asked: Asked,
    sent: u32,
}

async fn export(
    State(place): State<Arc<Place>>,
    Extension(caller): Extension<Caller>,
    Query(asked): Query<Asked>,
) -> Body {
    let export = Export { _inside: place.enter(), admission: caller.admission(), asked, sent: 0 };
    export.work().await;
    Body::from_stream(stream::unfold(export, |mut export| async {
        let chunk = export.next().await?;
        Some((Ok::<_, Infallible>(chunk), export))
    }))
}

impl Export {
    /// The next chunk; none when all were sent, and then it is known what the export weighs.
    async fn next(&mut self) -> Option<String> {
        if self.sent == CHUNKS {
            self.admission.settle_cost(self.asked.units);
            return None;
        }
        self.sent += 1;
        self.work().await;
        Some(format!("chunk {} of {CHUNKS}\n", self.sent))
    }

    /// Each chunk takes as long as what comes before the head.
    async fn work(&self) {
        let micros = self.asked.millis.saturating_mul(1_000) / u64::from(CHUNKS + 1);
        sleep(Duration::from_micros(micros)).await;
    }
}

/// Where the exports are made. It counts them, to show that they are never more than the plan allows.
#[derive(Default)]
struct Place {
    now: AtomicUsize,
    most: AtomicUsize,
}

impl Place {
    fn enter(self: Arc<Self>) -> Inside {
        let now = self.now.fetch_add(1, Relaxed) + 1;
        self.most.fetch_max(now, Relaxed);
        Inside(self)
    }
}

/// Counts one export, until it is dropped.
struct Inside(Arc<Place>);

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Relaxed);
    }
}

async fn under_way(State(place): State<Arc<Place>>) -> Json<Value> {
    Json(json!({ "now": place.now.load(Relaxed), "most": place.most.load(Relaxed) }))
}

#[tokio::main]
async fn main() -> ExitCode {
    Example { plans: PLANS, api, lines }.run().await
}

fn lines(listening: SocketAddr, key: &str) -> Vec<String> {
    let export = format!("'http://{listening}/v1/export?millis=5000&units=3'");
    vec![
        format!("curl -i -N -H 'Authorization: Bearer {key}' {export}"),
        format!("curl -i http://{listening}/under-way"),
    ]
}
