//! A WebSocket behind keys, for browsers too, with everything in memory.
//!
//! `cargo run --bin websocket` listens on 127.0.0.1:3000 or on `KEYGATE_ADDR` and issues a key: open the
//! page it names and paste the key. `--json` prints one line of JSON for programs instead.

use std::{error::Error, net::SocketAddr, sync::Arc};

use axum::{
    Extension, Router,
    extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade},
    http::header,
    response::{Html, Response},
    routing::{any, get},
};
use keygate::{Caller, Gate, NewKey, Plans, verdict::Admission, wire::Wire};
use keygate_tower::KeygateLayer;
use tokio::net::TcpListener;
use tower_http::cors::{Any, CorsLayer};

#[cfg(test)]
#[path = "websocket/tests.rs"]
mod tests;

const PLANS: &str = r#"
    [plans.free]
    limits = [
      { name = "messages", rate = "1/s", burst = 5 },
      # A connection is under way until its handler is done with it.
      { name = "connections", concurrency = 2 },
    ]
"#;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let gate = gate()?;
    let issued = gate.keyring().issue(NewKey::new("acme", "free")).await?;
    let address = std::env::var("KEYGATE_ADDR").unwrap_or_else(|_| "127.0.0.1:3000".to_owned());
    let listener = TcpListener::bind(address).await?;
    show(listener.local_addr()?, issued.key.expose());
    axum::serve(listener, app(gate)).await?;
    Ok(())
}

fn gate() -> Result<Arc<Gate>, Box<dyn Error>> {
    // Browsers can set no header of a handshake but this one.
    let wire = Wire::default().subprotocol("keygate.key.")?;
    Ok(Gate::builder(Plans::from_toml(PLANS)?).wire(wire).build()?)
}

fn app(gate: Arc<Gate>) -> Router {
    // Pages of every origin may call the API: their keys say who they are, not a cookie. The fields that
    // tell of limits are exposed by the gate; a list of headers to expose here would replace its.
    let cors = CorsLayer::new().allow_origin(Any).allow_headers([header::AUTHORIZATION]);
    Router::new()
        .route("/v1/echo", any(upgrade))
        .route("/v1/ping", get(|| async { "pong" }))
        .layer(KeygateLayer::new(gate))
        // Outside, so that refusals have its headers too.
        .layer(cors)
        .route("/", get(|| async { Html(include_str!("websocket/page.html")) }))
}

async fn upgrade(upgrade: WebSocketUpgrade, Extension(caller): Extension<Caller>) -> Response {
    let admission = caller.admission();
    upgrade.protocols(["echo.v1"]).on_upgrade(|socket| echo(socket, admission))
}

/// The handshake cost a unit, and so does each message. Whoever keeps the admission keeps the
/// connection's slot.
async fn echo(mut socket: WebSocket, admission: Admission) {
    while let Some(Ok(message)) = socket.recv().await {
        let Message::Text(text) = message else { continue };
        let answer = match admission.charge(1).await {
            Ok(_) => Message::Text(text),
            Err(rejection) => {
                let close = rejection.close();
                Message::Close(Some(CloseFrame { code: close.code, reason: close.reason.into() }))
            }
        };
        let closes = matches!(answer, Message::Close(_));
        if socket.send(answer).await.is_err() || closes {
            break;
        }
    }
}

/// The key is shown here, once, and nowhere else.
#[expect(clippy::print_stdout, reason = "showing the key is what the example is for")]
fn show(listening: SocketAddr, key: &str) {
    if std::env::args().any(|argument| argument == "--json") {
        println!("{}", serde_json::json!({ "listening": listening, "keys": { "free": key } }));
        return;
    }
    println!("open http://{listening}/ and paste the key, shown this once:\n  {key}");
    println!("\nOr: curl -i -H 'authorization: Bearer {key}' http://{listening}/v1/ping");
}
