//! An answer that is lost is not a batch that is lost, nor one that counts twice.

use std::time::Duration;

use keygate::{
    key::KeyId,
    memory::MemoryUsage,
    plan::Name,
    record::ConsumerId,
    usage::{Outcome, StatusClass},
    verdict::Reason,
};
use keygate_tests::RedisServer;
use tokio::time::timeout;

use super::{
    proxy::Proxy,
    scene::{
        Fact, all_requests, assert_everything_expires, assert_same, by_hand, consumer, everything,
        minutes_ago, usage,
    },
};
use crate::testing::Random;

#[tokio::test]
async fn a_batch_whose_answer_was_lost_counts_once() {
    let server = RedisServer::start();
    let proxy = Proxy::before(server.port()).await;
    let (cut, plain) = (usage(proxy.port(), by_hand()), usage(server.port(), by_hand()));
    let acme = consumer("acme");
    Fact::by(&acme).record(&cut);
    cut.flush().await.unwrap();
    let mut carried_out = 0;
    for flushed in 2..=5 {
        Fact::by(&acme).record(&cut);
        proxy.cut(1);
        cut.flush().await.unwrap_err();
        carried_out += u64::from(all_requests(&plain).await == flushed);
        while cut.flush().await.is_err() {}
        assert_eq!(all_requests(&plain).await, flushed);
        assert_eq!(cut.stats().series, 0);
    }
    assert!(carried_out > 0, "no batch was ever in doubt");
    assert_eq!(cut.stats().dropped, 0);
    assert_everything_expires(&server);
}

#[tokio::test(flavor = "multi_thread")]
async fn sums_of_two_replicas_are_exact_however_answers_are_lost() {
    let server = RedisServer::start();
    let model = MemoryUsage::default();
    let mut replicas = Vec::new();
    for _ in 0..2 {
        let proxy = Proxy::before(server.port()).await;
        replicas.push((usage(proxy.port(), by_hand()), proxy));
    }
    let mut random = Random(11);
    let keys = keys(&["acme", "a}b{:%", "~", "x*y?[z]", "%0D%0A"]);
    let (mut rounds, mut lost) = (0, 0);
    while rounds < 30 || lost < 10 {
        rounds += 1;
        for (replica, proxy) in &replicas {
            for _ in 0..100 {
                let fact = random_fact(&mut random, &keys);
                fact.record(replica);
                fact.record(&model);
            }
            // A link pauses before it connects again, and longer each time.
            let cuts = *random.one_of(&[0, 0, 0, 1, 2]);
            proxy.cut(cuts);
            // Given up somewhere in the middle, or not.
            let patience = Duration::from_micros(*random.one_of(&[300, 1_000, 3_000, 200_000]));
            let _ = timeout(patience, replica.flush()).await;
            lost += cuts - proxy.cuts();
        }
    }
    for (replica, proxy) in &replicas {
        proxy.cut(0);
        replica.close(Duration::from_secs(20)).await.unwrap();
        assert_eq!((replica.stats().dropped, replica.stats().folded), (0, 0));
    }
    assert_same(&everything(&replicas[0].0).await, &everything(&model).await);
    for (key, _) in &keys {
        assert_eq!(last_used(&replicas[1].0, *key).await, last_used(&model, *key).await);
    }
    assert_everything_expires(&server);
}

async fn last_used(
    store: &dyn keygate::port::UsageStore,
    key: KeyId,
) -> Option<chrono::DateTime<chrono::Utc>> {
    store.last_used(key).await.unwrap()
}

fn keys(consumers: &[&str]) -> Vec<(KeyId, ConsumerId)> {
    let key = |id: &&str| [(); 3].map(|()| (KeyId::random().unwrap(), consumer(id)));
    consumers.iter().flat_map(key).collect()
}

fn random_fact(random: &mut Random, keys: &[(KeyId, ConsumerId)]) -> Fact {
    let operations = [None, Some("search"), Some("export")];
    let outcomes = [
        Outcome::Admitted(StatusClass::Success),
        Outcome::Denied(Reason::RateLimited),
        Outcome::Aborted,
    ];
    let operation = random.one_of(&operations).map(|name| Name::parse(name).unwrap());
    Fact {
        at: minutes_ago(*random.one_of(&[0, 1, 2, 59, 60, 61, 100])),
        key: (random.below(10) > 0).then(|| random.one_of(keys).clone()),
        operation,
        outcome: *random.one_of(&outcomes),
        cost: *random.one_of(&[0, 1, 7, 1 << 55]),
        latency_micros: random.below(1 << 40),
    }
}
