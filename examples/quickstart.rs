//! An HTTP API behind keys, plans and quotas, with everything in memory.
//!
//! `cargo run --bin quickstart` listens on 127.0.0.1:3000, issues one key a plan and prints lines to
//! try. `KEYGATE_ADDR` changes the address (port 0 picks a free one), `KEYGATE_PLANS` names a TOML
//! file with other plans, `--json` prints one line of JSON for programs instead.

use std::{
    collections::BTreeMap,
    error::Error,
    io::{IsTerminal, Write},
    net::SocketAddr,
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use axum::{
    Extension, Json, Router,
    extract::Query,
    routing::{get, post},
};
use keygate::{ApiKey, Caller, Gate, NewKey, Plans, key::KeyFormat};
use keygate_tower::KeygateLayer;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::oneshot, time::sleep};
use tracing_subscriber::EnvFilter;

/// How long requests at hand may take once the program is asked to stop.
const GRACE: Duration = Duration::from_secs(3);

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

#[tokio::main]
async fn main() -> ExitCode {
    // RUST_LOG=keygate=debug tells more; standard output is left to the keys.
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    let colour = std::io::stderr().is_terminal();
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colour);
    log.with_writer(std::io::stderr).init();
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Not a line of the log: RUST_LOG would decide whether anybody sees it.
            let _ = writeln!(std::io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<()> {
    let json = wants_json()?;
    let gate = Gate::builder(plans()?)
        .key_format(KeyFormat::new("kg", "test")?)
        .public_path("/healthz")
        .build()?;
    let keys = issue_a_key_for_each_plan(&gate).await?;

    let address = std::env::var("KEYGATE_ADDR").unwrap_or_else(|_| "127.0.0.1:3000".to_owned());
    let listener = TcpListener::bind(&address)
        .await
        .map_err(|error| format!("KEYGATE_ADDR: cannot listen on `{address}`: {error}"))?;
    let asked_to_stop = asked_to_stop()?;
    show(listener.local_addr()?, &keys, json)?;
    drop(keys);

    // Requests at hand are answered, but nobody keeps the program from ending.
    let (stopping, stopped) = oneshot::channel();
    let server = axum::serve(listener, api(gate)?).with_graceful_shutdown(async {
        asked_to_stop.await;
        let _ = stopping.send(());
    });
    tokio::select! {
        served = async { server.await } => served?,
        () = async { let _ = stopped.await; sleep(GRACE).await } => {}
    }
    Ok(())
}

/// The API. Each router has one layer, with what its routes require.
fn api(gate: Arc<Gate>) -> Result<Router> {
    let keys = KeygateLayer::new(gate);
    let searching = Router::new()
        .route("/v1/search", get(search))
        .layer(keys.clone().require("search:read")?.operation("search")?);
    let ordering = Router::new()
        .route("/v1/orders", post(order))
        .layer(keys.clone().require("orders:write")?.operation("orders")?.cost(5));
    Ok(Router::new()
        .route("/v1/echo", get(echo))
        .route("/healthz", get(|| async { "ok\n" }))
        .layer(keys)
        .merge(searching)
        .merge(ordering))
}

async fn echo(Extension(caller): Extension<Caller>) -> Json<Value> {
    Json(json!({
        "consumer": caller.consumer(),
        "key_id": caller.key_id(),
        "plan": caller.plan().name(),
    }))
}

#[derive(Deserialize)]
struct Search {
    #[serde(default)]
    q: String,
}

async fn search(Query(search): Query<Search>) -> Json<Value> {
    Json(json!({ "query": search.q, "results": [] }))
}

async fn order(Extension(caller): Extension<Caller>) -> Json<Value> {
    Json(json!({ "consumer": caller.consumer(), "status": "accepted" }))
}

fn plans() -> Result<Plans> {
    let Some(path) = std::env::var_os("KEYGATE_PLANS") else {
        return Ok(Plans::from_toml(include_str!("plans.toml"))?);
    };
    let path = std::path::Path::new(&path);
    let told = |error: &dyn Error| format!("KEYGATE_PLANS: {}: {error}", path.display());
    let text = std::fs::read_to_string(path).map_err(|error| told(&error))?;
    Ok(Plans::from_toml(&text).map_err(|error| told(&error))?)
}

async fn issue_a_key_for_each_plan(gate: &Gate) -> Result<BTreeMap<String, ApiKey>> {
    let (keyring, plans) = (gate.keyring(), gate.plans());
    let mut keys = BTreeMap::new();
    for plan in plans.iter() {
        let name = plan.name().to_string();
        let scopes = plan.scopes().iter().map(ToString::to_string);
        let new = NewKey::new(format!("demo-{name}"), &name).name("quickstart").scopes(scopes);
        keys.insert(name, keyring.issue(new).await?.key);
    }
    Ok(keys)
}

fn wants_json() -> Result<bool> {
    let mut json = false;
    for argument in std::env::args().skip(1) {
        match argument.as_str() {
            "--json" => json = true,
            other => return Err(format!("unknown argument `{other}`; try none, or --json").into()),
        }
    }
    Ok(json)
}

#[derive(Serialize)]
struct Shown<'a> {
    listening: SocketAddr,
    keys: BTreeMap<&'a str, &'a str>,
}

/// Keys are shown here, once, and nowhere else.
#[expect(clippy::print_stdout, reason = "showing the keys is what the quickstart is for")]
fn show(listening: SocketAddr, keys: &BTreeMap<String, ApiKey>, json: bool) -> Result<()> {
    if json {
        let keys = keys.iter().map(|(plan, key)| (plan.as_str(), key.expose())).collect();
        println!("{}", serde_json::to_string(&Shown { listening, keys })?);
        return Ok(());
    }
    println!("listening on http://{listening}\n\nOne key a plan, shown this once:");
    for (plan, key) in keys {
        println!("  {plan:10} {}", key.expose());
    }
    println!("\nTry:");
    println!("  curl -i http://{listening}/v1/echo");
    for key in keys.values() {
        let bearer = format!("-H 'Authorization: Bearer {}'", key.expose());
        println!("  curl -i {bearer} http://{listening}/v1/echo");
        println!("  curl -i {bearer} 'http://{listening}/v1/search?q=rust'");
        println!("  curl -i {bearer} -X POST http://{listening}/v1/orders");
    }
    Ok(())
}

/// Catches signals from the call on, not from the first poll: who reads that the program listens
/// may ask it to stop at once.
#[cfg(unix)]
fn asked_to_stop() -> Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupted = signal(SignalKind::interrupt())?;
    let mut terminated = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! { _ = interrupted.recv() => {}, _ = terminated.recv() => {} }
    })
}

#[cfg(not(unix))]
fn asked_to_stop() -> Result<impl Future<Output = ()>> {
    Ok(async {
        let _ = tokio::signal::ctrl_c().await;
    })
}
