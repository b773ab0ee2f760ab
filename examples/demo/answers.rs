//! What the example APIs answer, whatever the framework.

use keygate::{Caller, key::KeyId, plan::Name, record::ConsumerId};
use serde::{Deserialize, Serialize};

/// What a search asks for.
#[derive(Deserialize)]
pub(crate) struct Search {
    #[serde(default)]
    q: String,
}

#[derive(Serialize)]
pub(crate) struct Found {
    query: String,
    results: [&'static str; 0],
}

#[derive(Serialize)]
pub(crate) struct Echo {
    consumer: ConsumerId,
    key_id: Option<KeyId>,
    plan: Name,
}

#[derive(Serialize)]
pub(crate) struct Order {
    consumer: ConsumerId,
    status: &'static str,
}

pub(crate) fn echo(caller: &Caller) -> Echo {
    let (consumer, plan) = (caller.consumer().clone(), caller.plan().name().clone());
    Echo { consumer, key_id: caller.key_id(), plan }
}

pub(crate) fn search(search: Search) -> Found {
    Found { query: search.q, results: [] }
}

pub(crate) fn order(caller: &Caller) -> Order {
    Order { consumer: caller.consumer().clone(), status: "accepted" }
}

pub(crate) const HEALTHY: &str = "ok\n";

/// The type of a body that is what it was sent as.
pub(crate) const ANY_BYTES: &str = "application/octet-stream";
