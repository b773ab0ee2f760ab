use keygate::{
    period::{AnchorDay, Period},
    plan::{Limit, MAX_LIMITS, RateSpec},
};
use keygate_tests::RedisServer;

use super::support::{Customer, assert_everything_expires, limits, monthly, replica};

#[tokio::test]
async fn a_charge_counts_as_many_limits_as_a_plan_may_have() {
    let server = RedisServer::start();
    let (replica, acme) = (replica(&server), Customer::new("acme"));
    let amount = |number: usize| 100 + u64::try_from(number).unwrap();
    let limits = limits((0..MAX_LIMITS).map(|number| {
        let name = format!("limit-{number}");
        match number % 2 {
            // Nothing flows back while the test runs.
            0 => Limit::rate(&name, RateSpec::per_day(1).burst(amount(number))),
            _ => Limit::quota(&name, amount(number), Period::month(AnchorDay::FIRST)),
        }
    }));
    for charged in 1..=3 {
        let readings = acme.charge(&replica, &limits, 1).await.unwrap();
        let left: Vec<_> = readings.iter().map(|reading| reading.remaining).collect();
        let expected: Vec<_> = (0..MAX_LIMITS).map(|number| amount(number) - charged).collect();
        assert_eq!(left, expected);
    }
}

#[tokio::test]
async fn more_limits_than_a_value_lists_push_out_the_oldest() {
    let server = RedisServer::start();
    let (replica, acme) = (replica(&server), Customer::new("acme"));
    let plan = |plan| limits((0..MAX_LIMITS).map(|limit| monthly(&format!("{plan}-{limit}"), 100)));
    for number in 0..=256 / MAX_LIMITS {
        acme.charge(&replica, &plan(number), 1).await.unwrap();
        let left = acme.remaining(&replica, &plan(number)).await;
        assert_eq!(left, [99; MAX_LIMITS], "{number}");
    }
    assert_eq!(acme.remaining(&replica, &plan(2)).await, [99; MAX_LIMITS]);
    acme.charge(&replica, &plan(0), 1).await.unwrap();
    assert_everything_expires(&server);
}
