//! Values that are not ours stay as they are, and are told by name.

use keygate::{
    period::Period,
    plan::Limit,
    port::{CounterStore, Owner},
};
use keygate_tests::RedisServer;

use super::support::{Customer, limits, replica};

const KEY: &str = "keygate:limits:{acme}";

#[tokio::test]
async fn a_foreign_value_is_a_fault_and_is_never_overwritten() {
    let server = RedisServer::start();
    let replica = replica(&server);
    let (limits, acme) =
        (limits([Limit::quota("daily", 10, Period::day())]), Customer::new("acme"));
    let foreign: [&[&str]; 7] = [
        &["set", KEY, "7"],
        &["set", KEY, ""],
        &["set", KEY, "something else altogether, and quite long at that"],
        &["eval", "return redis.call('SET', KEYS[1], '\\1')", "1", KEY],
        &["eval", "return redis.call('SET', KEYS[1], '\\1' .. string.rep('\\255', 99))", "1", KEY],
        &["lpush", KEY, "a"],
        &["hset", KEY, "a", "b"],
    ];
    for command in foreign {
        server.cli(&["del", KEY]);
        server.cli(command);
        let before = server.cli(&["dump", KEY]);
        for cost in [0, 1, 11] {
            let error = acme.charge(&replica, &limits, cost).await.unwrap_err().to_string();
            let named = error.contains(KEY) || error.contains("WRONGTYPE");
            assert!(named, "{command:?}: {error}");
        }
        assert_eq!(server.cli(&["dump", KEY]), before, "{command:?}");
        let reset = replica.reset(Owner::Consumer(&acme.consumer)).await;
        assert_eq!(server.cli(&["dump", KEY]) == before, reset.is_err(), "{command:?}");
    }
    server.cli(&["del", KEY]);
    assert!(acme.charge(&replica, &limits, 1).await.is_ok());
}
