//! Queries answer as memory does.

use keygate::{
    key::KeyId,
    memory::MemoryUsage,
    plan::Name,
    port::UsageStore,
    record::ConsumerId,
    usage::{Outcome, Rollup, StatusClass, UsageQuery},
    verdict::Reason,
};
use keygate_tests::RedisServer;

use super::scene::{
    Fact, assert_everything_expires, by_hand, consumer, minutes_ago, rollups, usage,
};
use crate::testing::Random;
use crate::usage::span::LENGTHS;

const OUTCOMES: [Outcome; 4] = [
    Outcome::Admitted(StatusClass::Success),
    Outcome::Admitted(StatusClass::ServerError),
    Outcome::Denied(Reason::InsufficientScope),
    Outcome::Aborted,
];

#[tokio::test]
async fn any_query_is_answered_as_memory_answers_it() {
    let server = RedisServer::start();
    let (store, model) = (usage(server.port(), by_hand()), MemoryUsage::default());
    let mut random = Random(5);
    let longest = "x".repeat(128);
    let consumers = ["acme", "a}b{:%", "{", "}", "~", "%7E", "*", "a\"b'c\\", &longest]
        .map(|id| ConsumerId::parse(id).unwrap());
    let keys: Vec<(KeyId, ConsumerId)> =
        (0..20).map(|_| (KeyId::random().unwrap(), random.one_of(&consumers).clone())).collect();
    let operations = ["search", "export", "x.y_z-1"].map(|name| Name::parse(name).unwrap());
    for _ in 0..2_000 {
        let fact = Fact {
            at: minutes_ago(random.below(100)),
            key: (random.below(8) > 0).then(|| random.one_of(&keys).clone()),
            operation: (random.below(4) > 0).then(|| random.one_of(&operations).clone()),
            outcome: *random.one_of(&OUTCOMES),
            cost: random.below(5),
            latency_micros: random.below(1 << 30),
        };
        fact.record(&store);
        fact.record(&model);
    }
    store.flush().await.unwrap();
    for _ in 0..300 {
        let query = random_query(&mut random, &consumers, &keys, &operations);
        assert_eq!(rollups(&store, query.clone()).await, ask(&model, &query).await, "{query:?}");
    }
    assert_everything_expires(&server);
}

#[tokio::test]
async fn what_is_not_there_is_nothing() {
    let server = RedisServer::start();
    let store = usage(server.port(), by_hand());
    let key = KeyId::random().unwrap();
    for by in LENGTHS {
        let all = UsageQuery::by(by);
        for query in [all.clone(), all.clone().key(key), all.consumer(consumer("nobody"))] {
            assert_eq!(rollups(&store, query).await, []);
        }
    }
    assert_eq!(store.last_used(key).await.unwrap(), None);
    assert_eq!(server.keys(), [""; 0], "asking writes nothing");
}

async fn ask(model: &MemoryUsage, query: &UsageQuery) -> Vec<Rollup> {
    model.query(query).await.unwrap()
}

fn random_query(
    random: &mut Random,
    consumers: &[ConsumerId],
    keys: &[(KeyId, ConsumerId)],
    operations: &[Name],
) -> UsageQuery {
    let mut query = UsageQuery::by(*random.one_of(&LENGTHS));
    if random.below(2) == 0 {
        query = query.consumer(random.one_of(consumers).clone());
    }
    if random.below(2) == 0 {
        query = query.key(random.one_of(keys).0);
    }
    if random.below(3) == 0 {
        query = query.operation(random.one_of(operations).clone());
    }
    if random.below(2) == 0 {
        let instants = [(); 2].map(|()| minutes_ago(random.below(150)).to_datetime());
        query = query.between(instants[0].min(instants[1]), instants[0].max(instants[1]));
    }
    query
}
