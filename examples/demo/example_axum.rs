//! An example in axum with plans of its own. In memory it issues a key for each of them; where
//! `KEYGATE_REDIS_URL` is set it runs as one of many replicas, and plans and keys are those of the store.

use std::{collections::BTreeMap, net::SocketAddr, process::ExitCode, sync::Arc};

use axum::Router;
use keygate::{Gate, NewKey, Plans};
use serde_json::json;

use super::{
    doorway,
    environment::{self, Result},
    over_redis, serving_axum,
};

/// What makes one example another than the next.
pub(crate) struct Example {
    /// Its plans, in memory.
    pub(crate) plans: &'static str,
    pub(crate) api: fn(Arc<Gate>) -> Result<Router>,
    /// Lines to try with a key, where it listens.
    pub(crate) lines: fn(SocketAddr, &str) -> Vec<String>,
}

impl Example {
    pub(crate) async fn run(self) -> ExitCode {
        environment::start_log();
        environment::ended(match std::env::var_os("KEYGATE_REDIS_URL") {
            Some(_) => self.over_redis().await,
            None => self.in_memory().await,
        })
    }

    async fn over_redis(self) -> Result<()> {
        let json = environment::wants_json()?;
        let store = over_redis::connected().await?;
        let gate = doorway::gate(&store)?.build()?;
        self.serve(gate, |listening| over_redis::show(listening, json)).await?;
        Ok(store.close(over_redis::FLUSH_WITHIN).await?)
    }

    async fn in_memory(self) -> Result<()> {
        let json = environment::wants_json()?;
        let gate = Gate::in_memory(Plans::from_toml(self.plans)?)?;
        let keys = issue_a_key_for_each_plan(&gate).await?;
        let lines = self.lines;
        self.serve(gate, |listening| show(listening, &keys, lines, json)).await
    }

    async fn serve(&self, gate: Arc<Gate>, show: impl FnOnce(SocketAddr)) -> Result<()> {
        let listener = environment::listen().await?;
        let asked_to_stop = environment::asked_to_stop()?;
        show(listener.local_addr()?);
        serving_axum::serve(listener, (self.api)(gate)?, asked_to_stop).await
    }
}

/// The texts of keys, by plan, each with all that its plan allows.
async fn issue_a_key_for_each_plan(gate: &Gate) -> Result<BTreeMap<String, String>> {
    let (keyring, plans) = (gate.keyring(), gate.plans());
    let mut keys = BTreeMap::new();
    for plan in plans.iter() {
        let name = plan.name().to_string();
        let scopes = plan.scopes().iter().map(ToString::to_string);
        let issued = keyring.issue(NewKey::new("acme", &name).scopes(scopes)).await?;
        keys.insert(name, issued.key.expose().to_owned());
    }
    Ok(keys)
}

#[expect(clippy::print_stdout, reason = "keys are shown here, once, and nowhere else")]
fn show(
    listening: SocketAddr,
    keys: &BTreeMap<String, String>,
    lines: fn(SocketAddr, &str) -> Vec<String>,
    as_json: bool,
) {
    if as_json {
        println!("{}", json!({ "listening": listening, "keys": keys }));
        return;
    }
    println!("listening on http://{listening}\n\nTry:");
    for line in keys.values().flat_map(|key| lines(listening, key)) {
        println!("  {line}");
    }
}
