//! What the example APIs answer, whatever the framework.

use keygate::Caller;
use serde::Deserialize;
use serde_json::{Value, json};

/// What a search asks for.
#[derive(Deserialize)]
pub(crate) struct Search {
    #[serde(default)]
    q: String,
}

pub(crate) fn echo(caller: &Caller) -> Value {
    json!({
        "consumer": caller.consumer(),
        "key_id": caller.key_id(),
        "plan": caller.plan().name(),
    })
}

pub(crate) fn search(search: &Search) -> Value {
    json!({ "query": search.q, "results": [] })
}

pub(crate) fn order(caller: &Caller) -> Value {
    json!({ "consumer": caller.consumer(), "status": "accepted" })
}

pub(crate) const HEALTHY: &str = "ok\n";
