//! Settlements that meet each other, or the end of the process.

use std::time::Duration;

use keygate::{
    limit::Correction,
    period::{AnchorDay, Period},
    plan::{Limit, RateSpec},
    port::{CounterStore, Settlement},
};
use keygate_tests::RedisServer;

use super::support::{Customer, is_admitted, limits, replica};

const LONG: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread")]
async fn what_is_settled_while_the_process_ends_is_not_given_up() {
    let server = RedisServer::start();
    let (replica, who) = (replica(&server), Customer::new("acme"));
    let limits = limits([Limit::quota("monthly", 100, Period::month(AnchorDay::FIRST))]);
    who.charge(&replica, &limits, 1).await.unwrap();
    let extra = || {
        let (consumer, key, correction) = (&who.consumer, who.key, Correction::Extra(1));
        replica.settle(&Settlement { consumer, key, limits: &limits, correction, slot: None })
    };
    server.cli(&["client", "pause", "300", "write"]);
    let first = extra();
    let done = replica.settling().done(LONG);
    let later = async {
        // By now it waits for the first.
        tokio::time::sleep(Duration::from_millis(50)).await;
        extra().await;
    };
    let (done, ()) = tokio::join!(done, later);
    first.await;
    assert!(done);
    assert_eq!(replica.settling().lost(), 0);
    assert_eq!(who.remaining(&replica, &limits).await, [97]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_was_settled_first_is_corrected_first() {
    let server = RedisServer::start();
    let (replica, who) = (std::sync::Arc::new(replica(&server)), Customer::new("acme"));
    let limits = limits([
        Limit::quota("monthly", 10_000, Period::month(AnchorDay::FIRST)),
        Limit::quota("own", 10_000, Period::month(AnchorDay::FIRST)).per_key(),
    ]);
    who.charge(&replica, &limits, 1).await.unwrap();
    for _ in 0..100 {
        let (replica, who, limits) = (replica.clone(), who.clone(), limits.clone());
        // As a handler does that tells what its answer weighed, and fails then.
        let settled = tokio::spawn(async move {
            let settle = |correction| {
                let (consumer, key, limits) = (&who.consumer, who.key, &*limits);
                replica.settle(&Settlement { consumer, key, limits, correction, slot: None })
            };
            let extra = settle(Correction::Extra(100));
            (extra, settle(Correction::Refund { units: 100, after_micros: 0 }))
        });
        let (extra, refund) = settled.await.unwrap();
        extra.await;
        refund.await;
    }
    assert_eq!(who.remaining(&replica, &limits).await, [9_999, 9_999]);
}

#[tokio::test]
async fn what_an_edit_made_too_heavy_to_count_is_a_full_bucket() {
    let server = RedisServer::start();
    let (replica, who) = (replica(&server), Customer::new("acme"));
    let rate = |count, burst| limits([Limit::rate("bytes", RateSpec::per_day(count).burst(burst))]);
    let (wide, narrow) = (rate(1_000_000, 10_000_000), rate(7, 1_000));
    // In parts of a unit of the narrow one that is a little more than seven bytes hold.
    who.charge(&replica, &wide, 834_000).await.unwrap();
    who.settle(&replica, &narrow, Correction::Extra(1)).await;
    assert_eq!(who.remaining(&replica, &narrow).await, [0]);
    assert!(!is_admitted(&who.charge(&replica, &narrow, 1).await.unwrap()));
}
