//! A slot that is moving while its consumer is charged.

use std::time::Duration;

use keygate::{period::Period, plan::Limit};
use keygate_tests::{PATIENCE, RedisCluster, RedisOptions, RedisServer};
use tokio::time::{sleep, timeout};

use super::support::{Customer, limits, replica_at};

const KEY: &str = "keygate:limits:{acme}";

/// One key there, the other nowhere yet: until the slot has moved, neither node takes a call with both.
#[tokio::test(flavor = "multi_thread")]
async fn a_charge_of_two_keys_waits_until_their_slot_has_moved() {
    let cluster = RedisCluster::of(3, 0, RedisOptions::default());
    let (replica, acme) = (replica_at(&cluster.url()), Customer::new("acme"));
    let shared = || Limit::quota("shared", 10, Period::day());
    acme.charge(&replica, &limits([shared()]), 1).await.unwrap();

    let from = cluster.master_of(KEY);
    let (from, to) = (&cluster.nodes()[from], &cluster.nodes()[(from + 1) % 3]);
    let slot = from.cli(&["cluster", "keyslot", KEY]);
    let set_slot = |node: &RedisServer, state: &str, of: &RedisServer| {
        let id = of.cli(&["cluster", "myid"]);
        assert_eq!(node.cli(&["cluster", "setslot", &slot, state, &id]), "OK");
    };
    set_slot(to, "importing", from);
    set_slot(from, "migrating", to);

    let both = limits([shared(), Limit::quota("own", 10, Period::day()).per_key()]);
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
    let (charged, ()) = tokio::join!(acme.charge(&replica, &both, 1), move_it);
    assert!(charged.unwrap().iter().all(|reading| reading.within));
    assert_eq!(acme.remaining(&replica, &both).await, [8, 9]);
}
