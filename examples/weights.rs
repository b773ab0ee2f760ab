//! Requests of different weight on one budget, and what was used: `cargo run --bin weights`.
//!
//! A batch costs as many units as it has items. No socket: the router is called in process.

use axum::{Router, body::Body, http::Request, routing::post};
use keygate::{
    Gate, NewKey, Plans,
    usage::{Granularity, UsageQuery},
};
use keygate_tower::KeygateLayer;
use tower::ServiceExt as _;

#[tokio::main]
#[expect(clippy::print_stdout, reason = "an example shows what happens")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let plans = Plans::from_toml(
        r#"
        [plans.metered]
        scopes = ["batch:run"]
        limits = [{ name = "units", quota = 100, per = "month" }]
        "#,
    )?;
    let gate = Gate::in_memory(plans)?;
    let keyring = gate.keyring();
    let issued = keyring.issue(NewKey::new("acme", "metered").scopes(["batch:run"])).await?;

    // The head of the request tells its weight, at least 1: a cost of 0 would be checked, but not
    // charged. A handler that reads the items would compare them with what was claimed.
    let keys = KeygateLayer::new(gate.clone()).require("batch:run")?.operation("batch")?.cost_from(
        |head| {
            let items = head.headers.get("x-batch-items").and_then(|value| value.to_str().ok());
            items.and_then(|items| items.parse().ok()).unwrap_or(1).max(1)
        },
    );
    let app = Router::new().route("/batch", post(|| async { "done" })).layer(keys);

    for items in [60, 30, 20, 101, 10] {
        let request = Request::post("/batch")
            .header("authorization", format!("Bearer {}", issued.key.expose()))
            .header("x-batch-items", items)
            .body(Body::empty())?;
        let response = app.clone().oneshot(request).await?;
        let told = response.headers().get("ratelimit").and_then(|value| value.to_str().ok());
        println!("{items:3} items: {} {}", response.status(), told.unwrap_or("(not counted)"));
    }

    let query = UsageQuery::by(Granularity::Day).key(issued.record.id);
    for rollup in gate.usage().query(&query).await? {
        println!("{:?}: {} requests, {} units", rollup.outcome, rollup.requests, rollup.cost);
    }
    Ok(())
}
