//! A link to a server of a test's own, and records to keep there.

use std::{sync::Arc, time::Duration};

use keygate::{
    key::{Digester, KeyId},
    record::KeyRecord,
};
use keygate_tests::{RedisCluster, RedisServer};
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

/// The nodes of a Cluster that hold what they were told, and not what others told them.
pub(crate) fn masters(cluster: &RedisCluster) -> Vec<&RedisServer> {
    let is_master = |node: &&RedisServer| node.cli(&["role"]).starts_with("master");
    cluster.nodes().iter().filter(is_master).collect()
}

/// The law `state_always_expires`: every key goes away by itself, and none later than the longest.
#[track_caller]
pub(crate) fn assert_everything_expires(server: &RedisServer, longest: Duration) {
    for key in server.keys() {
        let left: i128 = server.cli(&["pttl", &key]).parse().unwrap();
        // One may be gone by now.
        let expires = left == -2 || (0..=longest.as_millis().cast_signed()).contains(&left);
        assert!(expires, "{key} lives {left} ms");
    }
}

/// Numbers for traces: xorshift64* (Vigna, 2016).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11) % bound
    }

    pub(crate) fn one_of<'t, T>(&mut self, things: &'t [T]) -> &'t T {
        &things[usize::try_from(self.below(things.len().try_into().unwrap())).unwrap()]
    }
}
