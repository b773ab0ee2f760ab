//! The shortest way to put an axum API behind keys: `cargo run --bin minimal`.

use axum::{Extension, Router, routing::get};
use keygate::{Caller, Gate, NewKey, Plans};
use keygate_tower::KeygateLayer;

#[tokio::main]
#[expect(clippy::print_stdout, reason = "the key is shown once, here")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let plans = Plans::from_toml(
        r#"
        [plans.free]
        scopes = ["hello:read"]
        limits = [
          { name = "burst", rate = "10/s", burst = 20 },
          { name = "daily", quota = 1000, per = "day", zone = "Europe/Paris" },
        ]
        "#,
    )?;
    let gate = Gate::in_memory(plans)?;
    let issued = gate.keyring().issue(NewKey::new("acme", "free").scopes(["hello:read"])).await?;

    let hello = |Extension(caller): Extension<Caller>| async move {
        format!("hello, {}\n", caller.consumer())
    };
    let app = Router::new()
        .route("/hello", get(hello))
        .layer(KeygateLayer::new(gate).require("hello:read")?);

    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    println!("curl -i -H 'X-API-Key: {}' http://127.0.0.1:3000/hello", issued.key.expose());
    axum::serve(listener, app).await?;
    Ok(())
}
