use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::SeqCst},
};

use super::{
    CounterHarness,
    scene::{Scene, calm_period, limits, still_rate},
};
use crate::{
    conformance::{Coverage, Gathered, Job, require, require_eq},
    limit::Reading,
    plan::Limit,
    port::SlotId,
};

/// A concurrency admits as many requests at once as it has slots, whatever they weigh; a settlement
/// that names a slot gives back that one, once.
pub async fn slots_are_exact(harness: &dyn CounterHarness) -> Coverage {
    let law = "slots_are_exact";
    as_many_as_there_are(law, harness).await;
    each_is_given_back_once(law, harness).await;
    all_limits_or_none(law, harness).await;
    whose_slots_they_are(law, harness).await;
    a_lowered_number_of_slots(law, harness).await;
    who_names_none_waits_too(law, harness).await;
    a_crowd_shares_them(law, harness).await;
    Coverage::Whole
}

/// What a request weighs does not matter, unless it is nothing.
async fn as_many_as_there_are(law: &'static str, harness: &dyn CounterHarness) {
    let limits = limits(law, [Limit::concurrency("parallel", 3)]);
    let scene = Scene::new(law, harness);
    let nothing = scene.charge_one(&limits, 0).await;
    require(nothing.within && nothing.remaining == 3, law, "a request of cost 0 took a slot");
    for (cost, left) in [(1, 2), (1_000, 1), (u64::MAX, 0)] {
        scene.hold(&limits, cost).await;
        require_eq(&scene.remaining(&limits).await, &vec![left], law, "slots that are free");
    }
    for cost in [1, 2, u64::MAX] {
        let full = scene.charge_one(&limits, cost).await;
        require(!full.within, law, format_args!("a request of cost {cost} without a slot"));
        let waits = full.retry_micros.is_some_and(|retry| retry > 0);
        require(waits, law, format_args!("no slot is free, and the retry is not later: {full:?}"));
    }
    require(scene.charge_one(&limits, 0).await.within, law, "a request of cost 0 needs no slot");
}

/// A slot that was given back, or never taken, is nobody else's.
async fn each_is_given_back_once(law: &'static str, harness: &dyn CounterHarness) {
    let limits = limits(law, [Limit::concurrency("parallel", 3)]);
    let scene = Scene::new(law, harness);
    let first = scene.hold(&limits, 1).await;
    let second = scene.hold(&limits, 1).await;
    let third = scene.hold(&limits, 1).await;
    let elsewhere = Scene::new(law, harness).hold(&limits, 1).await;
    scene.release(&limits, elsewhere).await;
    require_eq(&scene.remaining(&limits).await, &vec![0], law, "free after a stranger's came back");
    for again in ["", " again"] {
        scene.release(&limits, second).await;
        let what = format!("free after one came back{again}");
        require_eq(&scene.remaining(&limits).await, &vec![1], law, &what);
    }
    let fourth = scene.hold(&limits, 1).await;
    scene.overspend(&limits, 1).await;
    for (slot, left) in [(fourth, 1), (second, 1), (first, 2), (third, 3), (third, 3)] {
        scene.release(&limits, slot).await;
        require_eq(&scene.remaining(&limits).await, &vec![left], law, "free, one after the other");
    }
}

/// A request that one limit refuses takes nothing from the others, whichever it is.
async fn all_limits_or_none(law: &'static str, harness: &dyn CounterHarness) {
    let limits = limits(
        law,
        [
            Limit::rate("pace", still_rate(20)),
            Limit::concurrency("parallel", 3),
            Limit::quota("allowance", 9, calm_period(harness).await),
            Limit::concurrency("own", 2).per_key(),
        ],
    );
    let scene = Scene::new(law, harness);
    let first = scene.hold(&limits, 2).await;
    let refused = scene.overspend(&limits, 8).await;
    require_eq(&within(&refused), &vec![true, true, false, true], law, "limits that fit");
    require_eq(&scene.remaining(&limits).await, &vec![18, 2, 7, 1], law, "refused by a quota");
    let second = scene.hold(&limits, 3).await;
    let refused = scene.overspend(&limits, 1).await;
    require_eq(&within(&refused), &vec![true, true, true, false], law, "limits that fit");
    require_eq(&scene.remaining(&limits).await, &vec![15, 1, 4, 0], law, "refused by its slots");
    for slot in [first, second] {
        scene.release(&limits, slot).await;
    }
    require_eq(&scene.remaining(&limits).await, &vec![15, 3, 4, 2], law, "with all slots free");
}

/// A request has a slot with its consumer and one with its key, by one name.
async fn whose_slots_they_are(law: &'static str, harness: &dyn CounterHarness) {
    let own = Limit::concurrency("own", 2).per_key();
    let limits = limits(law, [own, Limit::concurrency("shared", 3)]);
    let first = Scene::new(law, harness);
    let (second, stranger) = (first.other_key(), first.consumer_with("2"));
    let held = first.hold(&limits, 1).await;
    first.hold(&limits, 1).await;
    second.hold(&limits, 1).await;
    require_eq(&first.remaining(&limits).await, &vec![0, 0], law, "the first key");
    require_eq(&second.remaining(&limits).await, &vec![1, 0], law, "the second key");
    require_eq(&stranger.remaining(&limits).await, &vec![2, 3], law, "another consumer");
    let refused = second.overspend(&limits, 1).await;
    require_eq(&within(&refused), &vec![true, false], law, "limits that fit");
    first.release(&limits, held).await;
    require_eq(&first.remaining(&limits).await, &vec![1, 1], law, "the first key, given back");
    require_eq(&second.remaining(&limits).await, &vec![1, 1], law, "the second key, since");
    second.hold(&limits, 1).await;
    require_eq(&second.remaining(&limits).await, &vec![0, 0], law, "the second key, at last");
}

/// Those that are held count, whatever their number may be now.
async fn a_lowered_number_of_slots(law: &'static str, harness: &dyn CounterHarness) {
    let slots = |slots| limits(law, [Limit::concurrency("parallel", slots)]);
    let (many, few) = (slots(4), slots(2));
    let scene = Scene::new(law, harness);
    let [first, second] = [scene.hold(&many, 1).await, scene.hold(&many, 1).await];
    let third = scene.hold(&many, 1).await;
    for slot in [first, second] {
        require_eq(&scene.remaining(&few).await, &vec![0], law, "free of fewer than are held");
        scene.overspend(&few, 1).await;
        scene.release(&few, slot).await;
    }
    require_eq(&scene.remaining(&few).await, &vec![1], law, "free of 2 while one is held");
    scene.release(&many, third).await;
    require_eq(&scene.remaining(&many).await, &vec![4], law, "free of all");
}

/// A request that names no slot takes none, but it is refused like any other while all are taken.
async fn who_names_none_waits_too(law: &'static str, harness: &dyn CounterHarness) {
    let parallel = || Limit::concurrency("parallel", 2);
    let both = limits(law, [Limit::rate("pace", still_rate(4)), parallel()]);
    let scene = Scene::new(law, harness);
    scene.hold(&both, 1).await;
    let fits = scene.charge_nameless(&both, 1).await;
    require_eq(&within(&fits), &vec![true, true], law, "limits that fit a request without a name");
    let left: Vec<_> = fits.iter().map(|reading| reading.remaining).collect();
    require_eq(&left, &vec![2, 0], law, "what is left beside it");
    require_eq(&scene.remaining(&both).await, &vec![2, 1], law, "after it, which took no slot");
    let last = scene.hold(&both, 1).await;
    let refused = scene.charge_nameless(&both, 1).await;
    require_eq(&within(&refused), &vec![true, false], law, "limits that fit, with all slots taken");
    require_eq(&scene.remaining(&both).await, &vec![1, 0], law, "after it was refused");
    let refused = scene.charge_nameless(&limits(law, [parallel()]), 1).await;
    require_eq(&within(&refused), &vec![false], law, "slots alone, with all of them taken");
    scene.release(&both, last).await;
    let last_unit = scene.charge_nameless(&both, 1).await;
    require_eq(&within(&last_unit), &vec![true, true], law, "limits that fit the last unit");
    require_eq(&scene.remaining(&both).await, &vec![0, 1], law, "after the last unit");
}

/// However many ask at once, there are never more at it than slots, and all are free at the end.
async fn a_crowd_shares_them(law: &'static str, harness: &dyn CounterHarness) {
    let slots = 5;
    let own = Limit::concurrency("own", 9).per_key();
    let limits = limits(law, [Limit::concurrency("parallel", slots), own]);
    let scene = Scene::new(law, harness);
    let held = take_concurrently(harness, &scene, &limits).await;
    require_eq(&held.len(), &5, law, "requests admitted at once to 5 slots");
    for slot in held {
        scene.release(&limits, slot).await;
    }
    come_and_go(harness, &scene, &limits, slots).await;
    require_eq(&scene.remaining(&limits).await, &vec![5, 9], law, "free when nobody is left");
}

/// Asks for two slots in each of eight jobs, and keeps what it gets.
async fn take_concurrently(
    harness: &dyn CounterHarness,
    scene: &Scene,
    limits: &Arc<[Limit]>,
) -> Vec<SlotId> {
    let gathered = Gathered::new();
    let job = |_| -> Job {
        let (scene, limits) = (scene.clone(), Arc::clone(limits));
        gathered.job(async move {
            let mut held = Vec::new();
            for cost in 1..=2 {
                held.extend(scene.take(&limits, cost).await.1);
            }
            held
        })
    };
    harness.run_concurrently((0..8).map(job).collect()).await;
    gathered.take()
}

/// Takes and gives back in each of eight jobs.
async fn come_and_go(
    harness: &dyn CounterHarness,
    scene: &Scene,
    limits: &Arc<[Limit]>,
    slots: u64,
) {
    let (gathered, at_it) = (Gathered::new(), Arc::new(AtomicU64::new(0)));
    let job = |_| -> Job {
        let (scene, limits, at_it) = (scene.clone(), Arc::clone(limits), Arc::clone(&at_it));
        gathered.job(async move {
            let mut most = Vec::new();
            for _ in 0..6 {
                if let Some(slot) = scene.take(&limits, 1).await.1 {
                    most.push(at_it.fetch_add(1, SeqCst).saturating_add(1));
                    // Another reading, so that others may come while this one is at it.
                    scene.remaining(&limits).await;
                    at_it.fetch_sub(1, SeqCst);
                    scene.release(&limits, slot).await;
                }
            }
            most
        })
    };
    harness.run_concurrently((0..8).map(job).collect()).await;
    let most = gathered.take().into_iter().max().unwrap_or(0);
    require(most > 0, scene.law, "nobody was ever admitted");
    require(most <= slots, scene.law, format_args!("{most} requests at once in {slots} slots"));
}

fn within(readings: &[Reading]) -> Vec<bool> {
    readings.iter().map(|reading| reading.within).collect()
}
