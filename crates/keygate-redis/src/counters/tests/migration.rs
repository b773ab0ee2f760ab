//! A slot that is moving while its consumer is charged.

use std::time::Duration;

use keygate::{
    period::Period,
    plan::{Limit, LimitBuilder},
    port::{Charge, CounterStore, SlotId},
};
use keygate_tests::{PATIENCE, RedisCluster, RedisOptions, RedisServer};
use tokio::time::{sleep, timeout};

use super::support::{Customer, limits, replica_at};

const KEY: &str = "keygate:limits:{acme}";

/// One key there, the other nowhere yet: until the slot has moved, neither node takes a call with both.
#[tokio::test(flavor = "multi_thread")]
async fn a_charge_of_two_keys_waits_until_their_slot_has_moved() {
    let both = [
        Limit::quota("shared", 10, Period::day()),
        Limit::quota("own", 10, Period::day()).per_key(),
    ];
    let left = charged_while_its_slot_moves(both, None).await;
    assert_eq!(left, [8, 9]);
}

/// Nobody is at it, so that there is no set of slots.
#[tokio::test(flavor = "multi_thread")]
async fn a_charge_that_takes_a_slot_waits_until_their_slot_has_moved() {
    let both = [Limit::quota("shared", 10, Period::day()), Limit::concurrency("at-once", 2)];
    let left = charged_while_its_slot_moves(both, Some(SlotId::new(7, 1))).await;
    assert_eq!(left, [8, 1]);
}

/// What remains after a charge of these limits, of which only the first was ever charged before.
async fn charged_while_its_slot_moves(both: [LimitBuilder; 2], slot: Option<SlotId>) -> Vec<u64> {
    let cluster = RedisCluster::of(3, 0, RedisOptions::default());
    let (replica, acme) = (replica_at(&cluster.url()), Customer::new("acme"));
    let both = limits(both);
    acme.charge(&replica, &both[..1].into(), 1).await.unwrap();

    let from = cluster.master_of(KEY);
    let (from, to) = (&cluster.nodes()[from], &cluster.nodes()[(from + 1) % 3]);
    let hash_slot = from.cli(&["cluster", "keyslot", KEY]);
    let set_slot = |node: &RedisServer, state: &str, of: &RedisServer| {
        let id = of.cli(&["cluster", "myid"]);
        assert_eq!(node.cli(&["cluster", "setslot", &hash_slot, state, &id]), "OK");
    };
    set_slot(to, "importing", from);
    set_slot(from, "migrating", to);

    let move_it = async {
        let was_refused = || from.cli(&["info", "errorstats"]).contains("TRYAGAIN");
        let refused = async {
            while !was_refused() {
                sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(PATIENCE, refused).await.expect("the charge is refused at first");
        let port = to.port().to_string();
        assert_eq!(from.cli(&["migrate", "127.0.0.1", &port, KEY, "0", "1000"]), "OK");
        set_slot(to, "node", to);
        set_slot(from, "node", to);
    };
    let charge = Charge { consumer: &acme.consumer, key: acme.key, limits: &both, cost: 1, slot };
    let (charged, ()) = tokio::join!(replica.charge(&charge), move_it);
    assert!(charged.unwrap().iter().all(|reading| reading.within));
    acme.remaining(&replica, &both).await
}
