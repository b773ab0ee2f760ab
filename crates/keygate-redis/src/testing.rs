//! A link to a server of a test's own, and records to keep there.

use std::sync::Arc;

use keygate::{
    key::{Digester, KeyId},
    record::KeyRecord,
};
use keygate_tests::RedisServer;
use serde_json::json;

use crate::{address::Address, layout::Layout, link::Link};

/// A link of its own, as every replica has one.
pub(crate) fn link(server: &RedisServer) -> Arc<Link> {
    link_to(&server.url())
}

pub(crate) fn link_to(url: &str) -> Arc<Link> {
    Arc::new(Link::to(&Address::parse(url).unwrap()).unwrap())
}

pub(crate) fn layout() -> Layout {
    Layout::new("kg")
}

/// A new record.
pub(crate) fn record(consumer: &str, plan: &str) -> KeyRecord {
    let id = KeyId::random().unwrap();
    serde_json::from_value(json!({
        "id": id,
        "digest": Digester::sha256().digest(id.to_string().as_bytes()),
        "hint": "kg_test_…1234",
        "consumer": consumer,
        "plan": plan,
        "status": "active",
        "created": "2026-01-01T00:00:00Z",
        "lineage": id,
        "revision": 0,
    }))
    .unwrap()
}

/// What a change of a record would write.
pub(crate) fn changed(record: &KeyRecord, change: impl FnOnce(&mut KeyRecord)) -> KeyRecord {
    let mut next = record.clone();
    next.revision += 1;
    change(&mut next);
    next
}
