//! An HTTP API behind keys, plans and quotas, with everything in memory.
//!
//! `cargo run --bin quickstart` listens on 127.0.0.1:3000, issues one key a plan and prints lines to
//! try. `KEYGATE_ADDR` changes the address (port 0 picks a free one), `KEYGATE_PLANS` names a TOML
//! file with other plans, `--json` prints one line of JSON for programs instead.

mod demo {
    pub(crate) mod answers;
    pub(crate) mod environment;
    pub(crate) mod routes_axum;
    pub(crate) mod serving_axum;
}

use std::{collections::BTreeMap, net::SocketAddr, process::ExitCode};

use keygate::{ApiKey, Gate, NewKey, Plans, key::KeyFormat};
use serde::Serialize;

use demo::{
    environment::{self, PlansFile, Result},
    routes_axum, serving_axum,
};

#[tokio::main]
async fn main() -> ExitCode {
    environment::start_log();
    environment::ended(run().await)
}

async fn run() -> Result<()> {
    let json = environment::wants_json()?;
    let gate = Gate::builder(plans()?)
        .key_format(KeyFormat::new("kg", "test")?)
        .public_path("/healthz")
        .build()?;
    let keys = issue_a_key_for_each_plan(&gate).await?;

    let listener = environment::listen().await?;
    let asked_to_stop = environment::asked_to_stop()?;
    show(listener.local_addr()?, &keys, json)?;
    drop(keys);
    serving_axum::serve(listener, routes_axum::api(gate)?, asked_to_stop).await
}

fn plans() -> Result<Plans> {
    match PlansFile::read()? {
        Some(file) => Ok(Plans::from_toml(&file.text).map_err(|error| file.wrong(&error))?),
        None => Ok(Plans::from_toml(include_str!("plans.toml"))?),
    }
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
