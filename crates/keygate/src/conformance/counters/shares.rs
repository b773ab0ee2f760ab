use super::{
    CounterHarness,
    scene::{Scene, calm_period, limits, quick_rate, still_rate},
};
use crate::{
    conformance::{Coverage, require_eq},
    plan::{Limit, Partition, RateSpec},
};

/// What a consumer's id may hold and a store's own syntax may trip over.
const SUFFIXES: [&str; 8] = ["1", ":", "{}", "}", "*", "/..", "%00", "'\"\\"];

/// Owners do not touch each other's counters; keys of one consumer share the consumer's.
pub async fn partitions_are_strangers(harness: &dyn CounterHarness) -> Coverage {
    let law = "partitions_are_strangers";
    let period = calm_period(harness).await;
    let shared = Limit::quota("shared", 5, period.clone());
    let limits = limits(law, [Limit::quota("own", 3, period).per_key(), shared]);
    let first = Scene::new(law, harness);
    let second = first.other_key();
    first.spend(&limits, 3).await;
    require_eq(&second.remaining(&limits).await, &vec![3, 2], law, "a second key");
    second.spend(&limits, 2).await;
    require_eq(&first.remaining(&limits).await, &vec![0, 0], law, "the first key");
    require_eq(&second.remaining(&limits).await, &vec![1, 0], law, "the second key");
    for suffix in SUFFIXES {
        let stranger = first.consumer_with(suffix);
        require_eq(&stranger.remaining(&limits).await, &vec![3, 5], law, "another consumer");
        stranger.spend(&limits, 2).await;
    }
    require_eq(&second.remaining(&limits).await, &vec![1, 0], law, "the second key, at last");
    names_and_kinds_are_strangers(law, harness).await;
    Coverage::Whole
}

/// A counter belongs to (owner, limit name, kind of rule).
async fn names_and_kinds_are_strangers(law: &'static str, harness: &dyn CounterHarness) {
    let period = calm_period(harness).await;
    let quota = |name: &str| limits(law, [Limit::quota(name, 4, period.clone())]);
    let rate = limits(law, [Limit::rate("calls", still_rate(4))]);
    let per_key = limits(law, [Limit::quota("calls", 4, period.clone()).per_key()]);
    let scene = Scene::new(law, harness);
    scene.spend(&quota("calls"), 3).await;
    let parallel = |name: &str| limits(law, [Limit::concurrency(name, 4)]);
    scene.hold(&parallel("parallel"), 1).await;
    for other in [quota("call"), quota("Calls"), rate, per_key, parallel("calls")] {
        require_eq(&scene.remaining(&other).await, &vec![4], law, "another counter of one owner");
    }
    require_eq(&scene.remaining(&quota("calls")).await, &vec![1], law, "the counter that was used");
}

/// Limits of one name under one owner share what was used, whatever the numbers; a lowered limit
/// clamps, a raised one helps at once.
pub async fn plan_change_keeps_usage(harness: &dyn CounterHarness) -> Coverage {
    let law = "plan_change_keeps_usage";
    let period = calm_period(harness).await;
    let quota = |amount| limits(law, [Limit::quota("calls", amount, period.clone())]);
    let rate = |burst| limits(law, [Limit::rate("pace", still_rate(burst))]);
    let scene = Scene::new(law, harness);
    scene.spend(&quota(10), 6).await;
    scene.spend(&rate(10), 6).await;
    for (capacity, remaining) in [(20, 14), (7, 1), (6, 0), (4, 0), (10, 4)] {
        let (quota, rate) = (quota(capacity), rate(capacity));
        require_eq(&scene.remaining(&quota).await, &vec![remaining], law, "a quota after an edit");
        require_eq(&scene.remaining(&rate).await, &vec![remaining], law, "a burst after an edit");
        scene.overspend(&quota, remaining + 1).await;
        scene.overspend(&rate, remaining + 1).await;
    }
    let quicker = limits(law, [Limit::rate("pace", RateSpec::per_day(3).burst(10))]);
    require_eq(&scene.remaining(&quicker).await, &vec![4], law, "a pace after an edit");
    scene.spend(&quota(20), 14).await;
    scene.spend(&rate(20), 14).await;
    another_plan_counts_on(law, harness).await;
    Coverage::Whole
}

/// After a reset an owner has everything again, and nobody else has more; but slots that are held
/// stay held.
pub async fn reset_forgets_usage(harness: &dyn CounterHarness) -> Coverage {
    let law = "reset_forgets_usage";
    let period = calm_period(harness).await;
    let limits = limits(
        law,
        [
            Limit::quota("shared", 9, period.clone()),
            Limit::rate("pace", still_rate(9)),
            Limit::quota("own", 5, period).per_key(),
        ],
    );
    let first = Scene::new(law, harness);
    let (second, stranger) = (first.other_key(), first.consumer_with("2"));
    for scene in [&first, &second, &stranger] {
        scene.spend(&limits, 4).await;
    }
    first.reset(Partition::Key).await;
    require_eq(&first.remaining(&limits).await, &vec![1, 1, 5], law, "after a reset of the key");
    require_eq(&second.remaining(&limits).await, &vec![1, 1, 1], law, "the other key");
    first.reset(Partition::Consumer).await;
    require_eq(&first.remaining(&limits).await, &vec![9, 9, 5], law, "after both resets");
    require_eq(&second.remaining(&limits).await, &vec![9, 9, 1], law, "the other key, at last");
    require_eq(&stranger.remaining(&limits).await, &vec![5, 5, 1], law, "another consumer");
    first.spend(&limits, 5).await;
    require_eq(&first.remaining(&limits).await, &vec![4, 4, 0], law, "what was used since");
    Scene::new(law, harness).reset(Partition::Consumer).await;
    held_slots_stay(law, harness).await;
    Coverage::Whole
}

/// A reset ends no request that is under way.
async fn held_slots_stay(law: &'static str, harness: &dyn CounterHarness) {
    let limits = limits(
        law,
        [
            Limit::concurrency("parallel", 3),
            Limit::rate("pace", still_rate(9)),
            Limit::concurrency("own", 2).per_key(),
        ],
    );
    let scene = Scene::new(law, harness);
    let held = [scene.hold(&limits, 4).await, scene.hold(&limits, 4).await];
    scene.reset(Partition::Key).await;
    scene.reset(Partition::Consumer).await;
    require_eq(&scene.remaining(&limits).await, &vec![1, 9, 0], law, "slots held in a reset");
    scene.overspend(&limits, 1).await;
    for slot in held {
        scene.release(&limits, slot).await;
    }
    require_eq(&scene.remaining(&limits).await, &vec![3, 9, 2], law, "slots given back since");
}

/// Two plans list the limit among others, in another order, for other operations.
async fn another_plan_counts_on(law: &'static str, harness: &dyn CounterHarness) {
    let period = calm_period(harness).await;
    let daily = |amount| Limit::quota("daily", amount, period.clone());
    let free = limits(law, [daily(5), Limit::rate("pace", still_rate(5)).per_key()]);
    let pace = Limit::rate("pace", still_rate(9)).per_key();
    let spare = Limit::rate("spare", quick_rate(9));
    let pro = limits(law, [spare, pace, daily(9).operations(["search"])]);
    let scene = Scene::new(law, harness);
    scene.spend(&free, 3).await;
    let remaining = scene.remaining(&pro).await.split_off(1);
    require_eq(&remaining, &vec![6, 6], law, "remaining on the second plan");
    scene.spend(&pro, 2).await;
    require_eq(&scene.remaining(&free).await, &vec![0, 0], law, "remaining on the first plan");
}
