//! What another plan left in a value, for as long as it says something.

use std::time::Duration;

use keygate::{
    clock::{Clock, SystemClock},
    period::Period,
    plan::{Limit, RateSpec},
};
use keygate_tests::RedisServer;

use super::support::{
    Customer, assert_everything_expires, limits, replica, set_clock, stepped_replica,
};

const KEY: &str = "keygate:limits:{acme}";

/// The names in the value, as far as they can be read.
fn names(server: &RedisServer) -> String {
    server.cli(&["getrange", KEY, "30", "-1"])
}

#[tokio::test]
async fn counters_of_an_earlier_plan_stay_until_they_say_nothing_any_more() {
    let server = RedisServer::start();
    let (replica, acme) = (stepped_replica(&server), Customer::new("acme"));
    let now = SystemClock.now();
    set_clock(&replica, now).await;
    let passing = Limit::rate("passing", RateSpec::per_micros(1, 300_000).burst(1));
    let earlier = limits([passing, Limit::quota("lasting", 10, Period::day())]);
    let later = limits([Limit::quota("daily", 10, Period::day())]);
    let another = limits([Limit::quota("hourly", 10, Period::hour())]);
    acme.charge(&replica, &earlier, 1).await.unwrap();
    acme.charge(&replica, &later, 1).await.unwrap();
    for name in ["rpassing", "qlasting", "qdaily"] {
        assert!(names(&server).contains(name), "{name}");
    }
    set_clock(&replica, now.saturating_add(Duration::from_millis(400))).await;
    acme.charge(&replica, &another, 1).await.unwrap();
    assert!(!names(&server).contains("rpassing"), "it has drained");
    assert!(names(&server).contains("qlasting"));
    assert_eq!(acme.remaining(&replica, &earlier).await, [1, 9]);
    let _ = server.cli(&["del", "now"]);
    assert_everything_expires(&server);
}

#[tokio::test]
async fn limits_of_one_operation_and_of_all_take_turns() {
    let server = RedisServer::start();
    let (replica, acme) = (replica(&server), Customer::new("acme"));
    let [all, one] = [("all", 100), ("search", 50)]
        .map(|(name, amount)| Limit::quota(name, amount, Period::day()));
    let (every, searching) = (limits([all.clone()]), limits([one, all]));
    for turn in 1..=20 {
        acme.charge(&replica, &every, 1).await.unwrap();
        acme.charge(&replica, &searching, 2).await.unwrap();
        let left = acme.remaining(&replica, &searching).await;
        assert_eq!(left, [50 - 2 * turn, 100 - 3 * turn]);
    }
    assert_everything_expires(&server);
}
