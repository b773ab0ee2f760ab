use std::sync::Arc;

use super::{
    CounterHarness,
    scene::{INTERVAL, Scene, calm_period, fits, limits, micros, quick_rate, still_rate},
};
use crate::{
    conformance::{Coverage, Gathered, Job, require, require_eq},
    limit::{Correction, MAX_EXACT, Reading},
    plan::{Limit, MAX_LIMITS},
};

/// A rate admits its burst at once, then one unit per interval.
pub async fn burst_then_pace(harness: &dyn CounterHarness) -> Coverage {
    let law = "burst_then_pace";
    let burst = 3;
    let limits = limits(law, [Limit::rate("pace", quick_rate(burst))]);
    let scene = Scene::new(law, harness);
    for _ in 0..2 {
        at_most_the_pace(&scene, harness, &limits, burst).await;
        // Longer than the bucket takes to fill: idle time must not add up to more than the burst.
        harness.pass(INTERVAL.saturating_mul(6)).await;
    }
    Coverage::Whole
}

/// Takes a full bucket's burst and then what flows back, and something more each time.
async fn at_most_the_pace(
    scene: &Scene,
    harness: &dyn CounterHarness,
    limits: &Arc<[Limit]>,
    burst: u64,
) {
    let begun = harness.now().await;
    let mut admitted = 0;
    for due in [burst, 1, 1] {
        for _ in 0..due {
            scene.spend(limits, 1).await;
            admitted += 1;
        }
        if scene.charge_one(limits, 1).await.within {
            admitted += 1;
        }
        let passed = harness.now().await.micros_since(begun);
        let most = burst + passed / micros(INTERVAL);
        require(
            admitted <= most,
            scene.law,
            format_args!("{admitted} units admitted in {passed} µs, at most {most} are due"),
        );
        harness.pass(INTERVAL).await;
    }
}

/// A quota admits its amount in a window, not one more or less, under any concurrency.
pub async fn quota_is_exact(harness: &dyn CounterHarness) -> Coverage {
    let law = "quota_is_exact";
    let amount = 20;
    let limits = limits(law, [Limit::quota("exact", amount, calm_period(harness).await)]);
    let scene = Scene::new(law, harness);
    for used in 1..=amount {
        let readings = scene.spend(&limits, 1).await;
        let remaining: Vec<u64> = readings.iter().map(|reading| reading.remaining).collect();
        require_eq(&remaining, &vec![amount - used], law, "remaining");
    }
    scene.overspend(&limits, 1).await;

    let crowd = Scene::new(law, harness);
    let readings = charge_concurrently(harness, &crowd, &limits, 8, 5).await;
    let admitted = readings.iter().filter(|readings| fits(readings)).count();
    require_eq(&admitted, &20, law, "units admitted of 40 asked for at once");
    the_largest_is_exact(law, harness).await;
    Coverage::Whole
}

/// As large as a rule may be, to the last unit.
async fn the_largest_is_exact(law: &'static str, harness: &dyn CounterHarness) {
    let period = calm_period(harness).await;
    let of = |amount| limits(law, [Limit::quota("largest", amount, period.clone())]);
    for amount in [u64::from(u32::MAX) + 2, MAX_EXACT - 1, MAX_EXACT] {
        let (limits, scene) = (of(amount), Scene::new(law, harness));
        scene.spend(&limits, amount - 1).await;
        require_eq(&scene.remaining(&limits).await, &vec![1], law, "left of a large quota");
        scene.overspend(&limits, 2).await;
        scene.spend(&limits, 1).await;
        for _ in 0..2 {
            scene.overspend(&limits, 1).await;
        }
    }
}

/// A charge counts against every limit or none.
pub async fn all_or_nothing(harness: &dyn CounterHarness) -> Coverage {
    let law = "all_or_nothing";
    let period = calm_period(harness).await;
    let wide = Limit::quota("wide", 10, period.clone());
    let limits = limits(
        law,
        [
            Limit::rate("first", still_rate(6)),
            wide,
            Limit::quota("narrow", 2, period).per_key(),
            Limit::rate("last", still_rate(7)).per_key(),
        ],
    );
    let scene = Scene::new(law, harness);
    let within = |readings: &[Reading]| -> Vec<bool> {
        readings.iter().map(|reading| reading.within).collect()
    };

    let refused = within(&scene.overspend(&limits, 3).await);
    require_eq(&refused, &vec![true, true, false, true], law, "limits that fit");
    require_eq(&scene.remaining(&limits).await, &vec![6, 10, 2, 7], law, "refused at first");
    scene.spend(&limits, 2).await;
    require_eq(&scene.remaining(&limits).await, &vec![4, 8, 0, 5], law, "admitted");
    scene.overspend(&limits, 1).await;
    require_eq(&scene.remaining(&limits).await, &vec![4, 8, 0, 5], law, "refused at last");
    let refused = within(&scene.overspend(&limits, 5).await);
    require_eq(&refused, &vec![false, true, false, true], law, "limits that fit");
    as_many_as_a_plan_may_have(law, harness).await;
    Coverage::Whole
}

/// Each of them counts, and the last one, which is the narrowest, refuses for all.
async fn as_many_as_a_plan_may_have(law: &'static str, harness: &dyn CounterHarness) {
    let period = calm_period(harness).await;
    let narrowing: [u64; MAX_LIMITS] = std::array::from_fn(|place| 20 - place as u64);
    let builders = narrowing.map(|most| {
        let name = format!("of-{most}");
        let limit = match most % 3 {
            0 => Limit::rate(name, still_rate(most)),
            1 => Limit::concurrency(name, most),
            _ => Limit::quota(name, most, period.clone()),
        };
        if most.is_multiple_of(2) { limit.per_key() } else { limit }
    });
    let limits = limits(law, builders);
    let left_after = |requests: u64, units: u64| -> Vec<u64> {
        let left = |limit: &Limit| {
            let used = if limit.is_concurrency() { requests } else { units };
            limit.rule().capacity().saturating_sub(used)
        };
        limits.iter().map(left).collect()
    };
    let scene = Scene::new(law, harness);
    let slot = scene.hold(&limits, 2).await;
    require_eq(&scene.remaining(&limits).await, &left_after(1, 2), law, "left of many limits");
    scene.settle(&limits, Correction::Extra(1), Some(slot)).await;
    require_eq(&scene.remaining(&limits).await, &left_after(0, 3), law, "left, once settled");
    scene.overspend(&limits, 3).await;
    require_eq(&scene.remaining(&limits).await, &left_after(0, 3), law, "refused by the last");
}

/// A refusal changes no counter.
pub async fn denied_moves_nothing(harness: &dyn CounterHarness) -> Coverage {
    let law = "denied_moves_nothing";
    let quota = Limit::quota("allowance", 5, calm_period(harness).await);
    let limits = limits(law, [quota, Limit::rate("pace", still_rate(5))]);
    let scene = Scene::new(law, harness);
    scene.spend(&limits, 4).await;
    let mut retries = scene.overspend(&limits, 2).await;
    for _ in 0..5 {
        let again = scene.overspend(&limits, 2).await;
        for (before, now) in retries.iter().zip(&again) {
            let postponed = now.retry_micros > before.retry_micros;
            require(!postponed, law, "each refusal puts the retry off");
            require(now.remaining == 1, law, "a refusal took units");
        }
        retries = again;
    }
    scene.spend(&limits, 1).await;
    Coverage::Whole
}

/// A charge of n is n charges of one; a charge of 0 fits and changes nothing.
pub async fn cost_is_weight(harness: &dyn CounterHarness) -> Coverage {
    let law = "cost_is_weight";
    let quota = Limit::quota("allowance", 9, calm_period(harness).await);
    let limits = limits(law, [quota, Limit::rate("pace", still_rate(8)).per_key()]);
    let (whole, split) = (Scene::new(law, harness), Scene::new(law, harness));
    for _ in 0..3 {
        let fresh = whole.spend(&limits, 0).await;
        let untouched = fresh.iter().all(|reading| reading.reset_micros == 0);
        require(untouched, law, format_args!("a charge of 0 was counted: {fresh:?}"));
    }
    for cost in [5, 3] {
        whole.spend(&limits, cost).await;
        for _ in 0..cost {
            split.spend(&limits, 1).await;
        }
        let (whole, split) = (whole.remaining(&limits).await, split.remaining(&limits).await);
        require_eq(&whole, &split, law, "remaining after one charge, and after as many of one");
    }
    require_eq(&whole.remaining(&limits).await, &vec![1, 0], law, "remaining after 8 units");
    whole.overspend(&limits, 1).await;
    whole.spend(&limits, 0).await;
    Coverage::Whole
}

/// A cost above a capacity is refused without a retry.
pub async fn over_capacity_never_fits(harness: &dyn CounterHarness) -> Coverage {
    let law = "over_capacity_never_fits";
    let quota = Limit::quota("allowance", 5, calm_period(harness).await);
    let limits = limits(law, [quota, Limit::rate("pace", still_rate(4))]);
    let scene = Scene::new(law, harness);
    for used in [false, true] {
        for (cost, never) in [(5, [false, true]), (6, [true, true]), (u64::MAX, [true, true])] {
            let readings = scene.overspend(&limits, cost).await;
            let given: Vec<bool> = readings.iter().map(|r| r.retry_micros.is_none()).collect();
            require_eq(&given, &never.to_vec(), law, "limits that give no retry");
        }
        if !used {
            scene.spend(&limits, 4).await;
        }
    }
    require_eq(&scene.remaining(&limits).await, &vec![1, 0], law, "remaining");
    Coverage::Whole
}

/// However many charge at once, no more is admitted than the limits allow, and no less.
pub async fn concurrency_never_oversells(harness: &dyn CounterHarness) -> Coverage {
    let law = "concurrency_never_oversells";
    let quota = Limit::quota("allowance", 23, calm_period(harness).await);
    let limits = limits(law, [Limit::rate("pace", still_rate(17)).per_key(), quota]);
    let scene = Scene::new(law, harness);
    let mut left = one_by_one(&charge_concurrently(harness, &scene, &limits, 8, 6).await);
    // Each admission left another number behind, and none is missing.
    left.sort_unstable();
    require_eq(&left, &(0..17).collect(), law, "what remained of 17 after each admission");

    let sibling = scene.other_key();
    let mut left = one_by_one(&charge_concurrently(harness, &sibling, &limits, 8, 2).await);
    left.sort_unstable();
    require_eq(&left, &(11..17).collect(), law, "what remained after each of the last 6");
    require_eq(&sibling.remaining(&limits).await, &vec![11, 0], law, "remaining at last");
    Coverage::Whole
}

/// What remained of the first limit after each admission.
fn one_by_one(readings: &[Vec<Reading>]) -> Vec<u64> {
    let admitted = readings.iter().filter(|readings| fits(readings));
    admitted.filter_map(|readings| readings.first()).map(|reading| reading.remaining).collect()
}

/// Charges one unit `times` times in each of `jobs` jobs.
async fn charge_concurrently(
    harness: &dyn CounterHarness,
    scene: &Scene,
    limits: &Arc<[Limit]>,
    jobs: usize,
    times: usize,
) -> Vec<Vec<Reading>> {
    let gathered = Gathered::new();
    let job = |_| -> Job {
        let (scene, limits) = (scene.clone(), Arc::clone(limits));
        gathered.job(async move {
            let mut readings = Vec::new();
            for _ in 0..times {
                readings.push(scene.charge(&limits, 1).await.to_vec());
            }
            readings
        })
    };
    harness.run_concurrently((0..jobs).map(job).collect()).await;
    let readings = gathered.take();
    let asked = jobs.saturating_mul(times);
    require_eq(&readings.len(), &asked, scene.law, "charges the harness ran");
    readings
}
