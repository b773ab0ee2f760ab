use super::{
    UsageHarness,
    scene::{Fact, Scene, Sum},
};
use crate::{
    conformance::{Coverage, Job, random::Random, require, require_eq},
    key::KeyId,
    plan::Name,
    usage::{Granularity, Outcome, Rollup, UsageQuery},
    verdict::Reason,
};

const LENGTHS: [Granularity; 3] = [Granularity::Minute, Granularity::Hour, Granularity::Day];

/// The rollups of a query sum to the events recorded in its range.
pub async fn every_event_counts_once(harness: &dyn UsageHarness) -> Coverage {
    let scene = Scene::new("every_event_counts_once", harness);
    let facts = random_facts(&scene, 200);
    let job = |facts: &[Fact]| -> Job {
        let (scene, facts) = (scene.clone(), facts.to_vec());
        Box::pin(async move { facts.iter().for_each(|fact| scene.record(fact)) })
    };
    harness.run_concurrently(facts.chunks(50).map(job).collect()).await;
    let keyless = Fact {
        key: None,
        outcome: Outcome::Denied(Reason::UnknownKey),
        ..scene.fact(scene.key(), 3)
    };
    scene.record(&keyless);
    harness.flush().await;
    let right = facts.iter().collect::<Sum>();
    for by in LENGTHS {
        let given = scene.query(&scene.all(by)).await.iter().collect::<Sum>();
        require_eq(&given, &right, scene.law, "the sum over a consumer");
        let (from, until) = scene.range();
        let all_time = UsageQuery::by(by).operation(scene.operation.clone());
        for query in [all_time.clone(), all_time.between(from, until)] {
            let rollups = scene.query(&query).await;
            let own = facts.iter().filter(|fact| fact.operation.as_ref() == Some(&scene.operation));
            let right = own.chain([&keyless]).collect::<Sum>();
            require_eq(&rollups.iter().collect(), &right, scene.law, "the sum over an operation");
            let keyless = rollups.iter().filter(|rollup| rollup.key.is_none()).count();
            require_eq(&keyless, &1, scene.law, "rollups of requests without a known key");
        }
    }
    Coverage::Whole
}

/// Events that differ in one of these, or in the bucket of their time, are told apart; others are
/// summed.
pub async fn rollups_are_by_key_operation_outcome(harness: &dyn UsageHarness) -> Coverage {
    let scene = Scene::new("rollups_are_by_key_operation_outcome", harness);
    let facts = random_facts(&scene, 300);
    facts.iter().for_each(|fact| scene.record(fact));
    harness.flush().await;
    for by in LENGTHS {
        let rollups = scene.query(&scene.all(by)).await;
        for rollup in &rollups {
            let right = facts.iter().filter(|fact| {
                scene.bucket(by, fact.minutes_ago) == rollup.start
                    && fact.key == rollup.key
                    && fact.operation == rollup.operation
                    && fact.outcome == rollup.outcome
            });
            let right = right.collect::<Sum>();
            require_eq(&[rollup].into_iter().collect(), &right, scene.law, "one rollup");
            let consumer = rollup.consumer.as_ref();
            require_eq(&consumer, &Some(&scene.consumer), scene.law, "the consumer of a rollup");
        }
        let rising =
            rollups.windows(2).all(|pair| pair.iter().map(identity).is_sorted_by(|a, b| a < b));
        require(rising, scene.law, "rollups are out of order, or two are of the same facts");
        let given = rollups.iter().collect::<Sum>();
        require_eq(&given, &facts.iter().collect(), scene.law, "the sum of all rollups");
    }
    Coverage::Whole
}

/// Minutes, hours and days of the same range sum to the same.
pub async fn granularities_agree(harness: &dyn UsageHarness) -> Coverage {
    let scene = Scene::new("granularities_agree", harness);
    let key = scene.key();
    for minutes_ago in (0..110).rev().chain([70, 3, 100, 0]) {
        scene.record(&scene.fact(key, minutes_ago));
    }
    harness.flush().await;
    let minutes = scene.query(&scene.all(Granularity::Minute)).await;
    require_eq(&minutes.len(), &110, scene.law, "minutes in which something happened");
    for by in LENGTHS {
        let rollups = scene.query(&scene.all(by)).await;
        let given = rollups.iter().collect::<Sum>();
        require_eq(&given, &minutes.iter().collect(), scene.law, "the sum of other buckets");
        for rollup in &rollups {
            let inside = minutes.iter().filter(|minute| {
                let offset = minute.start.signed_duration_since(rollup.start).num_seconds();
                u64::try_from(offset).is_ok_and(|offset| offset < by.seconds())
            });
            let right = inside.collect::<Sum>();
            require_eq(
                &[rollup].into_iter().collect(),
                &right,
                scene.law,
                "the minutes of a bucket",
            );
        }
    }
    Coverage::Whole
}

/// A query returns what it asks for and nothing else.
pub async fn filters_select(harness: &dyn UsageHarness) -> Coverage {
    let scene = Scene::new("filters_select", harness);
    let stranger = Scene::new(scene.law, harness);
    let facts = random_facts(&scene, 100);
    facts.iter().for_each(|fact| scene.record(fact));
    let strange = random_facts(&stranger, 20);
    strange.iter().for_each(|fact| stranger.record(fact));
    harness.flush().await;
    let key = facts.iter().find_map(|fact| fact.key);
    let strange_keys = strange.iter().filter_map(|fact| fact.key);
    for by in LENGTHS {
        let all = scene.query(&scene.all(by)).await;
        let (from, until) = (scene.bucket(by, 100), scene.bucket(by, 30));
        let query = |all: UsageQuery| key.map_or(all.clone(), |key| all.key(key));
        let named = scene.all(by).operation(scene.operation.clone());
        let has_name = |rollup: &&Rollup| rollup.operation.as_ref() == Some(&scene.operation);
        let has_key = |rollup: &&Rollup| rollup.key == key;
        let in_range = |rollup: &&Rollup| from <= rollup.start && rollup.start < until;
        expect(&scene, &query(scene.all(by)), all.iter().filter(has_key)).await;
        expect(&scene, &named, all.iter().filter(has_name)).await;
        expect(&scene, &query(named.clone()), all.iter().filter(has_key).filter(has_name)).await;
        let ranged = scene.all(by).between(from, until);
        expect(&scene, &ranged, all.iter().filter(in_range)).await;
        let both = query(ranged.clone());
        expect(&scene, &both, all.iter().filter(has_key).filter(in_range)).await;
        expect(&scene, &scene.all(by).between(until, from), []).await;
        expect(&scene, &scene.all(by).key(stranger.key()), []).await;
        for key in strange_keys.clone() {
            expect(&scene, &scene.all(by).key(key), []).await;
        }
        let of_anybody = query(UsageQuery::by(by));
        expect(&scene, &of_anybody, all.iter().filter(has_key)).await;
    }
    Coverage::Whole
}

async fn expect<'r>(
    scene: &Scene,
    query: &UsageQuery,
    right: impl IntoIterator<Item = &'r Rollup>,
) {
    let right: Vec<Rollup> = right.into_iter().cloned().collect();
    let what = format!("rollups of {query:?}");
    require_eq(&scene.query(query).await, &right, scene.law, &what);
}

/// The latest use of a key, whatever the order of recording.
pub async fn last_used_is_latest(harness: &dyn UsageHarness) -> Coverage {
    let scene = Scene::new("last_used_is_latest", harness);
    let (key, unused) = (scene.key(), scene.key());
    let mut latest = None;
    for minutes_ago in [60, 90, 15, 30, 15, 2, 45] {
        let outcome = if minutes_ago == 2 {
            Outcome::Denied(Reason::RateLimited)
        } else {
            Outcome::answered(Some(200))
        };
        scene.record(&Fact { outcome, ..scene.fact(key, minutes_ago) });
        scene.record(&scene.fact(scene.key(), 1));
        harness.flush().await;
        latest = latest.max(Some(scene.at(minutes_ago).to_datetime()));
        require_eq(&scene.last_used(key).await, &latest, scene.law, "the latest use");
    }
    require_eq(&scene.last_used(unused).await, &None, scene.law, "the use of a key never shown");
    Coverage::Whole
}

/// What no two rollups of a query have in common, in the order they come in.
type Identity<'r> = (chrono::DateTime<chrono::Utc>, Option<KeyId>, Option<&'r str>, Outcome);

fn identity(rollup: &Rollup) -> Identity<'_> {
    let operation = rollup.operation.as_ref().map(Name::as_str);
    (rollup.start, rollup.key, operation, rollup.outcome)
}

/// Facts of three keys over the last two hours, in any order.
fn random_facts(scene: &Scene, count: usize) -> Vec<Fact> {
    let mut random = Random::new(7);
    let keys = [(); 3].map(|()| scene.key());
    let outcomes = [
        Outcome::answered(Some(200)),
        Outcome::answered(Some(404)),
        Outcome::answered(Some(500)),
        Outcome::Denied(Reason::QuotaExhausted),
        Outcome::Denied(Reason::InsufficientScope),
        Outcome::Aborted,
    ];
    let facts = keys.into_iter().cycle().zip(outcomes.into_iter().cycle());
    let fact = |((key, outcome), shift): ((KeyId, Outcome), usize)| Fact {
        // Shifted every few facts, so that every key meets every outcome.
        outcome: outcomes.into_iter().cycle().nth(shift / 6).unwrap_or(outcome),
        operation: (random.below(3) > 0).then(|| scene.operation.clone()),
        cost: random.below(4),
        latency_micros: random.below(100_000),
        ..scene.fact(key, random.one_of(&[0, 0, 1, 2, 59, 60, 61, 100, 110]))
    };
    facts.zip(0..count).map(fact).collect()
}
