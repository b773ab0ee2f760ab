//! What replicas have seen heals a Redis that forgot, and yields to an administrator's reset.

use keygate::{
    period::Period,
    plan::{Limit, RateSpec},
    port::{CounterStore, Owner},
};
use keygate_tests::RedisServer;

use super::support::{Customer, assert_everything_expires, limits, replica};

fn plan() -> std::sync::Arc<[Limit]> {
    limits([
        Limit::quota("monthly", 100, Period::month(keygate::period::AnchorDay::FIRST)),
        Limit::rate("pace", RateSpec::per_day(10).burst(100)),
        Limit::quota("own", 100, Period::month(keygate::period::AnchorDay::FIRST)).per_key(),
    ])
}

#[tokio::test]
async fn a_redis_that_was_emptied_is_told_what_was_used() {
    let server = RedisServer::start();
    let (first, second) = (replica(&server), replica(&server));
    let (limits, acme) = (plan(), Customer::new("acme"));
    acme.charge(&first, &limits, 30).await.unwrap();
    acme.charge(&second, &limits, 20).await.unwrap();
    server.cli(&["flushall"]);
    assert_eq!(acme.remaining(&second, &limits).await, [50, 50, 50], "the second saw all of it");
    acme.charge(&second, &limits, 1).await.unwrap();
    assert_eq!(acme.remaining(&first, &limits).await, [49, 49, 49]);
    assert_eq!(acme.remaining(&replica(&server), &limits).await, [49, 49, 49], "it is stored");
    assert_everything_expires(&server);
}

#[tokio::test]
async fn a_redis_that_lost_the_latest_writes_is_told_of_them_by_each_replica() {
    let server = RedisServer::start();
    let (first, second) = (replica(&server), replica(&server));
    let (limits, acme) = (plan(), Customer::new("acme"));
    acme.charge(&first, &limits, 10).await.unwrap();
    let key = "keygate:limits:{acme}";
    let own = format!("{key}:{}", acme.key);
    for key in [key, &own] {
        server.cli(&["copy", key, &format!("{key}:before")]);
    }
    acme.charge(&first, &limits, 20).await.unwrap();
    acme.charge(&second, &limits, 5).await.unwrap();
    for key in [key, &own] {
        server.cli(&["copy", &format!("{key}:before"), key, "replace"]);
    }
    // The first knows of 30, the second of 35: whoever comes first, the last word is the larger.
    assert_eq!(acme.remaining(&replica(&server), &limits).await, [90, 90, 90], "it did forget");
    acme.charge(&first, &limits, 1).await.unwrap();
    assert_eq!(acme.remaining(&first, &limits).await, [69, 69, 69]);
    acme.charge(&second, &limits, 1).await.unwrap();
    assert_eq!(acme.remaining(&second, &limits).await, [64, 64, 64]);
    assert_everything_expires(&server);
}

#[tokio::test]
async fn what_was_seen_before_a_reset_is_void() {
    let server = RedisServer::start();
    let (first, second) = (replica(&server), replica(&server));
    let (limits, acme) = (plan(), Customer::new("acme"));
    acme.charge(&first, &limits, 30).await.unwrap();
    acme.charge(&second, &limits, 30).await.unwrap();
    second.reset(Owner::Consumer(&acme.consumer)).await.unwrap();
    assert_eq!(acme.remaining(&first, &limits).await, [100, 100, 40]);
    let key = Owner::Key { consumer: &acme.consumer, key: acme.key };
    second.reset(key).await.unwrap();
    assert_eq!(acme.remaining(&first, &limits).await, [100, 100, 100]);
    assert_eq!(acme.remaining(&second, &limits).await, [100, 100, 100]);
    acme.charge(&first, &limits, 7).await.unwrap();
    assert_eq!(acme.remaining(&second, &limits).await, [93, 93, 93]);
    assert_everything_expires(&server);
}
