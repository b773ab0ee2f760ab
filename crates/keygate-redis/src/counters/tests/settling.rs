//! Settlements that meet each other, or the end of the process.

use std::time::Duration;

use keygate::{
    limit::Correction,
    period::{AnchorDay, Period},
    plan::Limit,
    port::{CounterStore, Settlement},
};
use keygate_tests::RedisServer;

use super::support::{Customer, limits, replica};

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
