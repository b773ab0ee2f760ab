use std::{sync::Arc, time::Duration};

use chrono::Weekday;
use chrono_tz::Tz;

use super::{
    CounterHarness,
    scene::{INTERVAL, Scene, after, limits, quick_rate, wait_until},
};
use crate::{
    conformance::{Coverage, broken, require, require_eq, sound},
    limit::Reading,
    period::{AnchorDay, Period},
    plan::{Limit, RateSpec},
};

const DAY: Duration = Duration::from_secs(86_400);

/// What a harness must be willing to wait for before calendar windows can turn over.
pub(super) const WINDOWS: Duration = Duration::from_secs(100 * 86_400);

/// A microsecond before the retry it is refused, on time it is admitted.
pub async fn retry_is_honest(harness: &dyn CounterHarness) -> Coverage {
    let law = "retry_is_honest";
    for (rate, cost) in [(quick_rate(2), 1), (quick_rate(3), 2)] {
        let limits = limits(law, [Limit::rate("pace", rate)]);
        for_retry(&Scene::new(law, harness), harness, &limits, cost, 2).await;
    }
    if harness.stands_still() {
        // Three in ten: a unit takes 3⅓ µs, so waits differ and are rounded up.
        let limits = limits(law, [Limit::rate("pace", RateSpec::per_micros(3, 10).burst(2))]);
        for_retry(&Scene::new(law, harness), harness, &limits, 1, 7).await;
    }
    if harness.patience() < WINDOWS {
        return Coverage::Without("the retry of a quota, which is the end of a calendar window");
    }
    for period in periods(law) {
        let limits = limits(law, [Limit::quota("allowance", 3, period)]);
        for_retry(&Scene::new(law, harness), harness, &limits, 2, 2).await;
    }
    Coverage::Whole
}

/// Charges until refused and waits as told, so many times.
pub(super) async fn for_retry(
    scene: &Scene,
    harness: &dyn CounterHarness,
    limits: &Arc<[Limit]>,
    cost: u64,
    times: usize,
) {
    for _ in 0..times {
        let asked = harness.now().await;
        let Reading { within, retry_micros, .. } = refused(scene, limits, cost).await;
        let answered = harness.now().await;
        let Some(retry) = retry_micros.filter(|_| !within) else {
            broken(scene.law, "a refused charge that could fit later has no retry");
        };
        require(retry > 0, scene.law, "the retry of a refused charge is now");
        let early = if harness.stands_still() { retry - 1 } else { retry / 2 };
        harness.pass(Duration::from_micros(early)).await;
        let reading = scene.charge_one(limits, cost).await;
        if harness.now().await < after(asked, retry) {
            let late = format_args!("admitted {early} µs later, though the retry was {retry} µs");
            require(!reading.within, scene.law, late);
        } else if reading.within {
            continue;
        }
        wait_until(harness, after(answered, retry)).await;
        scene.spend(limits, cost).await;
    }
}

/// Charges until it no longer fits.
async fn refused(scene: &Scene, limits: &Arc<[Limit]>, cost: u64) -> Reading {
    for _ in 0..100 {
        let reading = scene.charge_one(limits, cost).await;
        if !reading.within {
            return reading;
        }
    }
    broken(scene.law, "a hundred charges in a row fit a small limit")
}

/// A new window starts with everything, the old one's usage gone.
pub async fn period_turns_over(harness: &dyn CounterHarness) -> Coverage {
    let law = "period_turns_over";
    if harness.patience() < WINDOWS {
        return Coverage::Nothing("a calendar window cannot be waited for");
    }
    for period in periods(law) {
        let limits = limits(law, [Limit::quota("allowance", 4, period.clone())]);
        let scene = Scene::new(law, harness);
        for _ in 0..3 {
            scene.spend(&limits, 3).await;
            let now = harness.now().await;
            let end = period.window(now).end();
            if harness.stands_still() {
                harness.pass(Duration::from_micros(end.micros_since(now) - 1)).await;
                scene.overspend(&limits, 2).await;
                require_eq(&scene.remaining(&limits).await, &vec![1], law, "before the turn");
            }
            wait_until(harness, end).await;
            require_eq(&scene.remaining(&limits).await, &vec![4], law, "in a new window");
        }
        scene.spend(&limits, 4).await;
    }
    Coverage::Whole
}

/// Once the reset has passed, more remains than before.
pub async fn reset_never_lies(harness: &dyn CounterHarness) -> Coverage {
    let law = "reset_never_lies";
    let limits_of = |limit| limits(law, [limit]);
    let mut cases = vec![(limits_of(Limit::rate("pace", quick_rate(4))), 3)];
    if harness.stands_still() {
        let thirds = RateSpec::per_micros(3, 10).burst(5);
        cases.push((limits_of(Limit::rate("pace", thirds)), 4));
    }
    let windows = harness.patience() >= WINDOWS;
    if windows {
        let quotas = periods(law).into_iter();
        let quotas = quotas.map(|period| (limits_of(Limit::quota("allowance", 4, period)), 3));
        cases.extend(quotas);
    }
    for (limits, cost) in cases {
        for_reset(&Scene::new(law, harness), harness, &limits, cost).await;
    }
    if windows {
        Coverage::Whole
    } else {
        Coverage::Without("the reset of a quota, which is the end of a calendar window")
    }
}

/// Uses some, then waits from reset to reset until everything is back.
async fn for_reset(scene: &Scene, harness: &dyn CounterHarness, limits: &Arc<[Limit]>, cost: u64) {
    let capacity = limits.iter().map(|limit| limit.rule().capacity()).sum();
    let mut reading = scene.charge_one(limits, 0).await;
    require_eq(&reading.reset_micros, &0, scene.law, "the reset of a limit nobody used");
    reading = scene.charge_one(limits, cost).await;
    while reading.remaining < capacity {
        let answered = harness.now().await;
        let reset = reading.reset_micros;
        require(reset > 0, scene.law, "something is used, yet the reset is now");
        if harness.stands_still() {
            harness.pass(Duration::from_micros(reset - 1)).await;
            let early = scene.charge_one(limits, 0).await.remaining;
            require_eq(&early, &reading.remaining, scene.law, "remaining before the reset");
        }
        wait_until(harness, after(answered, reset)).await;
        let next = scene.charge_one(limits, 0).await;
        let more = next.remaining > reading.remaining;
        require(more, scene.law, format_args!("{reset} µs after {reading:?} it is {next:?}"));
        reading = next;
    }
}

/// A counter that says nothing any more is forgotten.
pub async fn state_always_expires(harness: &dyn CounterHarness) -> Coverage {
    let law = "state_always_expires";
    let Some(before) = lasting_owners(harness).await else {
        return Coverage::Nothing("the harness cannot tell what the store keeps");
    };
    // Enough that a slow store does not see it flow back between two calls.
    let burst = 8;
    let rate = Limit::rate("pace", quick_rate(burst));
    let windows = harness.patience() >= WINDOWS;
    let limits = if windows {
        let quota = Limit::quota("allowance", burst, Period::day()).per_key();
        limits(law, [rate, quota])
    } else {
        limits(law, [rate])
    };
    Scene::new(law, harness).overspend(&limits, burst + 1).await;
    Scene::new(law, harness).spend(&limits, 0).await;
    let scenes = [(); 3].map(|()| Scene::new(law, harness));
    for scene in &scenes {
        scene.spend(&limits, burst).await;
        scene.overspend(&limits, burst).await;
    }
    let kept = harness.owners().await;
    require(kept >= Some(before + 3), law, "what is in use is kept");
    let step = if windows { DAY } else { INTERVAL };
    for _ in 0..40 {
        harness.pass(step).await;
        if harness.owners().await <= Some(before) {
            still_usable(&scenes, &limits, burst).await;
            return Coverage::Whole;
        }
    }
    let kept = harness.owners().await;
    broken(law, format_args!("of {before} owners before, and 3 since, {kept:?} are still kept"))
}

/// How many owners there are once those are forgotten of whom the laws before said something for a
/// moment only.
async fn lasting_owners(harness: &dyn CounterHarness) -> Option<usize> {
    for _ in 0..12 {
        harness.pass(INTERVAL).await;
    }
    harness.owners().await
}

async fn still_usable(scenes: &[Scene], limits: &Arc<[Limit]>, burst: u64) {
    for scene in scenes {
        scene.spend(limits, burst).await;
    }
}

/// One period of each unit; the month is often cut short, the zones move their clocks.
fn periods(law: &str) -> [Period; 5] {
    let last_day = sound(AnchorDay::new(31), law);
    [
        Period::hour().in_zone(Tz::Asia__Kolkata),
        Period::day(),
        Period::day().in_zone(Tz::America__New_York),
        Period::week(Weekday::Sun).in_zone(Tz::Europe__Paris),
        Period::month(last_day).in_zone(Tz::Australia__Lord_Howe),
    ]
}
