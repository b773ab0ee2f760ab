use std::{sync::Arc, time::Duration};

use super::{
    CounterHarness,
    scene::{
        INTERVAL, Scene, after, calm_period, limits, micros, quick_rate, still_rate, wait_until,
    },
    time::{WINDOWS, for_retry},
};
use crate::{
    conformance::{Coverage, require, require_eq},
    limit::Correction,
    period::Period,
    plan::{Limit, RateSpec},
};

const NEEDS_WINDOWS: &str = "the turn of a calendar window, which cannot be waited for";
const DAY_MICROS: u64 = 86_400_000_000;

/// A correction takes more even beyond the capacity, and what is beyond comes back at the pace of the
/// limit before anything is admitted again.
pub async fn extra_is_owed(harness: &dyn CounterHarness) -> Coverage {
    let law = "extra_is_owed";
    extra_counts_like_a_charge(law, harness).await;
    a_quota_is_overdrawn(law, harness).await;
    a_debt_flows_back(law, harness).await;
    if harness.stands_still() {
        a_debt_is_exact(law, harness).await;
    }
    if harness.patience() < WINDOWS {
        return Coverage::Without(NEEDS_WINDOWS);
    }
    a_turn_forgives(law, harness).await;
    Coverage::Whole
}

/// A refund gives back what was charged, never more than is used, nothing that came back by itself,
/// and nothing into another window.
pub async fn refund_is_bounded(harness: &dyn CounterHarness) -> Coverage {
    let law = "refund_is_bounded";
    a_refund_makes_room(law, harness).await;
    a_refund_repays_a_debt(law, harness).await;
    what_flowed_back_is_no_refund(law, harness).await;
    a_charge_of_yesterday_is_no_refund(law, harness).await;
    another_rule_settles(law, harness).await;
    if harness.patience() < WINDOWS {
        return Coverage::Without(NEEDS_WINDOWS);
    }
    nothing_goes_into_another_window(law, harness).await;
    Coverage::Whole
}

const fn refund(units: u64, after_micros: u64) -> Correction {
    Correction::Refund { units, after_micros }
}

/// Every limit that weighs takes it; no slot is taken or given back.
async fn extra_counts_like_a_charge(law: &'static str, harness: &dyn CounterHarness) {
    let limits = limits(
        law,
        [
            Limit::quota("allowance", 9, calm_period(harness).await),
            Limit::concurrency("parallel", 2),
            Limit::rate("pace", still_rate(8)).per_key(),
        ],
    );
    let scene = Scene::new(law, harness);
    let (sibling, stranger) = (scene.other_key(), scene.consumer_with("2"));
    let slot = scene.hold(&limits, 1).await;
    scene.correct(&limits, Correction::None).await;
    require_eq(&scene.remaining(&limits).await, &vec![8, 1, 7], law, "after no correction");
    scene.correct(&limits, Correction::Extra(4)).await;
    require_eq(&scene.remaining(&limits).await, &vec![4, 1, 3], law, "after 4 units more");
    require_eq(&sibling.remaining(&limits).await, &vec![4, 1, 8], law, "another key");
    require_eq(&stranger.remaining(&limits).await, &vec![9, 2, 8], law, "another consumer");
    scene.settle(&limits, Correction::Extra(3), Some(slot)).await;
    require_eq(&scene.remaining(&limits).await, &vec![1, 2, 0], law, "settled with the slot");
    scene.overspend(&limits, 1).await;
    // Nobody was charged here before.
    stranger.correct(&limits, Correction::Extra(2)).await;
    require_eq(&stranger.remaining(&limits).await, &vec![7, 2, 6], law, "of a request of cost 0");
}

async fn a_quota_is_overdrawn(law: &'static str, harness: &dyn CounterHarness) {
    let period = calm_period(harness).await;
    let quota = |amount| limits(law, [Limit::quota("allowance", amount, period.clone())]);
    let (limits, raised) = (quota(5), quota(9));
    let scene = Scene::new(law, harness);
    scene.spend(&limits, 3).await;
    scene.correct(&limits, Correction::Extra(4)).await;
    require_eq(&scene.remaining(&limits).await, &vec![0], law, "of an overdrawn quota");
    let refused = scene.overspend(&limits, 1).await;
    let waits = refused.iter().all(|reading| reading.retry_micros > Some(0));
    require(waits, law, format_args!("an overdrawn quota without a retry: {refused:?}"));
    scene.spend(&limits, 0).await;
    require_eq(&scene.remaining(&raised).await, &vec![2], law, "of a quota that was raised");
}

/// What was used before, what is owed and what is admitted next: none is ahead of the pace.
async fn a_debt_flows_back(law: &'static str, harness: &dyn CounterHarness) {
    let limits = limits(law, [Limit::rate("pace", quick_rate(2))]);
    let scene = Scene::new(law, harness);
    let begun = harness.now().await;
    scene.spend(&limits, 2).await;
    scene.correct(&limits, Correction::Extra(2)).await;
    for_retry(&scene, harness, &limits, 1, 1).await;
    let passed = harness.now().await.micros_since(begun);
    let due = micros(INTERVAL).saturating_mul(3);
    require(
        passed >= due,
        law,
        format_args!("a debt of 2 units and one more flowed back in {passed} of {due} µs"),
    );
}

/// The debt flows back to the microsecond, be its pace even or not.
async fn a_debt_is_exact(law: &'static str, harness: &dyn CounterHarness) {
    // What is there, what is taken beyond it, and the wait for one more unit.
    let cases = [
        (quick_rate(2), 2, 2, 750_000),
        (quick_rate(9), 4, 6, 500_000),
        // 70 tenths are beyond: for 23⅓ µs, rounded up, it stays full, and a unit takes 3⅓ more.
        (RateSpec::per_micros(3, 10).burst(5), 5, 7, 28),
    ];
    for (rate, used, extra, wait) in cases {
        let limits = limits(law, [Limit::rate("pace", rate)]);
        let scene = Scene::new(law, harness);
        scene.spend(&limits, used).await;
        scene.correct(&limits, Correction::Extra(extra)).await;
        let refused = scene.charge_one(&limits, 1).await;
        require_eq(&refused.remaining, &0, law, "remaining in debt");
        require_eq(&refused.retry_micros, &Some(wait), law, "the retry in debt");
        harness.pass(Duration::from_micros(wait - 1)).await;
        scene.overspend(&limits, 1).await;
        harness.pass(Duration::from_micros(1)).await;
        scene.spend(&limits, 1).await;
        scene.overspend(&limits, 1).await;
    }
}

/// What was overdrawn is not carried into the next window.
async fn a_turn_forgives(law: &'static str, harness: &dyn CounterHarness) {
    let period = Period::day();
    let limits = limits(law, [Limit::quota("allowance", 5, period.clone())]);
    let scene = Scene::new(law, harness);
    scene.spend(&limits, 3).await;
    scene.correct(&limits, Correction::Extra(40)).await;
    let now = harness.now().await;
    let end = period.window(now).end();
    if harness.stands_still() {
        harness.pass(Duration::from_micros(end.micros_since(now) - 1)).await;
        scene.overspend(&limits, 1).await;
    }
    wait_until(harness, end).await;
    require_eq(&scene.remaining(&limits).await, &vec![5], law, "in the window after");
    scene.correct(&limits, Correction::Extra(1)).await;
    require_eq(&scene.remaining(&limits).await, &vec![4], law, "settled in the window after");
    scene.spend(&limits, 4).await;
}

/// A refund makes as much room as it says, and not more than there is.
async fn a_refund_makes_room(law: &'static str, harness: &dyn CounterHarness) {
    let limits = limits(
        law,
        [
            Limit::quota("allowance", 9, calm_period(harness).await),
            Limit::concurrency("parallel", 2),
            Limit::rate("pace", still_rate(8)).per_key(),
        ],
    );
    let scene = Scene::new(law, harness);
    let sibling = scene.other_key();
    sibling.hold(&limits, 1).await;
    let slot = scene.hold(&limits, 6).await;
    scene.correct(&limits, refund(0, 0)).await;
    require_eq(&scene.remaining(&limits).await, &vec![2, 0, 2], law, "after a refund of nothing");
    scene.correct(&limits, refund(4, 0)).await;
    require_eq(&scene.remaining(&limits).await, &vec![6, 0, 6], law, "after a refund of 4");
    require_eq(&sibling.remaining(&limits).await, &vec![6, 0, 7], law, "another key");
    scene.settle(&limits, refund(2, 0), Some(slot)).await;
    require_eq(&scene.remaining(&limits).await, &vec![8, 1, 8], law, "settled with the slot");
    for units in [3, u64::MAX] {
        scene.correct(&limits, refund(units, 0)).await;
        require_eq(&scene.remaining(&limits).await, &vec![9, 1, 8], law, "more than was used");
    }
    scene.spend(&limits, 8).await;
    require_eq(&scene.remaining(&limits).await, &vec![1, 0, 0], law, "used since");
}

/// What is owed is repaid first.
async fn a_refund_repays_a_debt(law: &'static str, harness: &dyn CounterHarness) {
    let period = calm_period(harness).await;
    let limits =
        limits(law, [Limit::rate("pace", still_rate(5)), Limit::quota("allowance", 5, period)]);
    let scene = Scene::new(law, harness);
    scene.spend(&limits, 4).await;
    scene.correct(&limits, Correction::Extra(4)).await;
    for (units, left) in [(2, 0), (1, 0), (1, 1), (3, 4), (9, 5)] {
        scene.correct(&limits, refund(units, 0)).await;
        let what = format!("after a refund of {units}");
        require_eq(&scene.remaining(&limits).await, &vec![left, left], law, &what);
    }
}

/// Of what was charged two intervals ago, two units are back already.
async fn what_flowed_back_is_no_refund(law: &'static str, harness: &dyn CounterHarness) {
    let limits = limits(law, [Limit::rate("pace", quick_rate(4))]);
    let scene = Scene::new(law, harness);
    let begun = harness.now().await;
    let two = INTERVAL.saturating_mul(2);
    scene.spend(&limits, 4).await;
    harness.pass(two).await;
    scene.spend(&limits, 2).await;
    for units in [4, 2, 1] {
        scene.correct(&limits, refund(units, micros(two))).await;
        let left: u64 = scene.remaining(&limits).await.into_iter().sum();
        let flowed = harness.now().await.micros_since(begun) / micros(INTERVAL);
        require(
            (2..=flowed).contains(&left),
            law,
            format_args!("a refund of {units} leaves {left} units, where 2 to {flowed} are due"),
        );
    }
}

/// Where the store's clock is in its window is known to nobody, but a day ago it was another one.
async fn a_charge_of_yesterday_is_no_refund(law: &'static str, harness: &dyn CounterHarness) {
    let limits = limits(law, [Limit::quota("allowance", 5, calm_period(harness).await)]);
    let scene = Scene::new(law, harness);
    scene.spend(&limits, 4).await;
    for after in [DAY_MICROS, u64::MAX] {
        scene.correct(&limits, refund(4, after)).await;
        require_eq(&scene.remaining(&limits).await, &vec![1], law, "a refund of yesterday");
    }
}

/// A plan may change between charge and settlement: a narrower rule that corrects what a wider one
/// counted takes nothing away from that, and makes no room of its own.
async fn another_rule_settles(law: &'static str, harness: &dyn CounterHarness) {
    let period = calm_period(harness).await;
    let of = |most| {
        let quota = Limit::quota("allowance", most, period.clone());
        limits(law, [Limit::rate("pace", still_rate(most)), quota])
    };
    let (wide, narrow) = (of(10), of(4));
    let scene = Scene::new(law, harness);
    scene.spend(&wide, 8).await;
    scene.correct(&narrow, refund(1, 0)).await;
    require_eq(&scene.remaining(&wide).await, &vec![3, 3], law, "by the wider rule");
    require_eq(&scene.remaining(&narrow).await, &vec![0, 0], law, "by the narrower rule");
    scene.correct(&narrow, refund(5, 0)).await;
    require_eq(&scene.remaining(&wide).await, &vec![8, 8], law, "by the wider rule, at last");
    require_eq(&scene.remaining(&narrow).await, &vec![2, 2], law, "by the narrower rule, at last");
}

/// Neither units that were charged before the turn, nor those of others since.
async fn nothing_goes_into_another_window(law: &'static str, harness: &dyn CounterHarness) {
    let period = Period::day();
    let limits = limits(law, [Limit::quota("allowance", 5, period.clone())]);
    let scene = Scene::new(law, harness);
    let charged = harness.now().await;
    scene.spend(&limits, 4).await;
    wait_until(harness, period.window(charged).end()).await;
    let long_ago = refund(4, harness.now().await.micros_since(charged));
    scene.correct(&limits, long_ago).await;
    require_eq(&scene.remaining(&limits).await, &vec![5], law, "in a new window");
    scene.spend(&limits, 3).await;
    scene.correct(&limits, long_ago).await;
    require_eq(&scene.remaining(&limits).await, &vec![2], law, "used by others in a new window");
    scene.correct(&limits, refund(2, 0)).await;
    require_eq(&scene.remaining(&limits).await, &vec![4], law, "charged in the new window");
    at_the_turn(&scene, harness, &limits, &period).await;
    a_longer_window_has_not_turned(law, harness).await;
}

/// An allowance an hour has become one a day since: what the hour before used is still used today.
async fn a_longer_window_has_not_turned(law: &'static str, harness: &dyn CounterHarness) {
    let of = |period| limits(law, [Limit::quota("allowance", 9, period)]);
    let (hourly, daily) = (of(Period::hour()), of(Period::day()));
    let scene = Scene::new(law, harness);
    wait_until(harness, Period::day().window(harness.now().await).end()).await;
    let charged = harness.now().await;
    scene.spend(&hourly, 4).await;
    require_eq(&scene.remaining(&daily).await, &vec![5], law, "by the day");
    wait_until(harness, Period::hour().window(charged).end()).await;
    scene.correct(&hourly, refund(2, harness.now().await.micros_since(charged))).await;
    require_eq(&scene.remaining(&daily).await, &vec![5], law, "by the day, an hour later");
}

/// To the microsecond: what was charged at the turn belongs to the window that begins with it.
async fn at_the_turn(
    scene: &Scene,
    harness: &dyn CounterHarness,
    limits: &Arc<[Limit]>,
    period: &Period,
) {
    if !harness.stands_still() {
        return;
    }
    wait_until(harness, period.window(harness.now().await).end()).await;
    let turn = harness.now().await;
    wait_until(harness, after(turn, 100)).await;
    scene.spend(limits, 4).await;
    scene.correct(limits, refund(1, 101)).await;
    require_eq(&scene.remaining(limits).await, &vec![1], scene.law, "charged before the turn");
    scene.correct(limits, refund(1, 100)).await;
    require_eq(&scene.remaining(limits).await, &vec![2], scene.law, "charged at the turn");
}
