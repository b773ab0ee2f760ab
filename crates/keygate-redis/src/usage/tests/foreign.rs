//! Somebody else's values in our places.

use keygate::{
    port::{StoreError, UsageStore},
    usage::{Granularity, UsageQuery},
};
use keygate_tests::RedisServer;

use super::scene::{Fact, by_hand, consumer, requests, requests_of, rollups, usage};

fn place(server: &RedisServer, part: &str) -> String {
    server.keys().into_iter().find(|key| key.contains(part)).unwrap()
}

fn assert_names(error: &StoreError, key: &str) {
    assert!(error.to_string().contains(&format!("`{key}`")), "{error}");
}

#[tokio::test]
async fn a_foreign_bucket_is_left_alone_and_harms_nothing_else() {
    for (given, shown) in [
        (vec!["set", "hello"], "hello"),
        (vec!["hset", "FIELD", "7"], "7"),
        (vec!["hset", "FIELD", "1 2 3.5"], "1 2 3.5"),
        (vec!["rpush", "element"], "element"),
    ] {
        let server = RedisServer::start();
        let store = usage(server.port(), by_hand());
        let (acme, other) = (consumer("acme"), consumer("other"));
        let fact = Fact::by(&acme);
        fact.record(&store);
        store.flush().await.unwrap();
        let day = place(&server, "{acme}:day");
        let field = server.cli(&["hkeys", &day]);
        assert_eq!(server.cli(&["del", &day]), "1");
        let mut command = vec![given[0], &day];
        command.extend(given[1..].iter().map(|it| if *it == "FIELD" { &field } else { *it }));
        assert_eq!(server.cli(&command).len(), if given[0] == "set" { 2 } else { 1 });
        fact.record(&store);
        Fact::by(&other).record(&store);
        store.flush().await.unwrap();
        let stats = store.stats();
        assert_eq!((stats.dropped, stats.series), (1, 0), "{given:?}");
        assert_eq!(requests_of(&store, &other).await, 1);
        for by in [Granularity::Minute, Granularity::Hour] {
            let of_acme = rollups(&store, UsageQuery::by(by).consumer(acme.clone())).await;
            assert_eq!(requests(&of_acme), 2, "{given:?}");
        }
        let by_day = UsageQuery::by(Granularity::Day).consumer(acme.clone());
        assert_names(&store.query(&by_day).await.unwrap_err(), &day);
        let held = match given[0] {
            "set" => server.cli(&["get", &day]),
            "hset" => server.cli(&["hvals", &day]),
            _ => server.cli(&["lrange", &day, "0", "-1"]),
        };
        assert_eq!(held, shown);
    }
}

#[tokio::test]
async fn a_foreign_marker_drops_what_cannot_be_told_apart() {
    for command in [vec!["set", "x"], vec!["hset", "REPLICA", "x"]] {
        let server = RedisServer::start();
        let store = usage(server.port(), by_hand());
        let acme = consumer("acme");
        Fact::by(&acme).record(&store);
        store.flush().await.unwrap();
        let marker = place(&server, "{acme}:added");
        let replica = server.cli(&["hkeys", &marker]);
        assert_eq!(server.cli(&["del", &marker]), "1");
        let mut given = vec![command[0], &marker];
        given.extend(command[1..].iter().map(|it| if *it == "REPLICA" { &replica } else { *it }));
        assert!(!server.cli(&given).contains("ERR"));
        Fact::by(&acme).record(&store);
        Fact::by(&acme).record(&store);
        Fact::by(&consumer("other")).record(&store);
        store.flush().await.unwrap();
        let stats = store.stats();
        assert_eq!((stats.dropped, stats.series), (2, 0));
        assert_eq!(requests_of(&store, &acme).await, 1);
        assert_eq!(requests_of(&store, &consumer("other")).await, 1);
    }
}

#[tokio::test]
async fn a_foreign_last_use_or_list_is_left_alone_too() {
    let server = RedisServer::start();
    let store = usage(server.port(), by_hand());
    let acme = consumer("acme");
    let fact = Fact::by(&acme);
    let (used, list) = (format!("keygate:used:{}", fact.id()), "keygate:usage:consumers");
    for value in ["yesterday", "12 two words", "x acme", ""] {
        assert_eq!(server.cli(&["set", &used, value]), "OK");
        assert_eq!(server.cli(&["set", list, value]), "OK");
        fact.record(&store);
        store.flush().await.unwrap();
        assert_eq!(
            (server.cli(&["get", &used]), server.cli(&["get", list])),
            (value.into(), value.into())
        );
        assert_names(&store.last_used(fact.id()).await.unwrap_err(), &used);
        let by_key = UsageQuery::by(Granularity::Day).key(fact.id());
        assert_names(&store.query(&by_key).await.unwrap_err(), &used);
        let by_all = UsageQuery::by(Granularity::Day);
        assert_names(&store.query(&by_all).await.unwrap_err(), list);
    }
    assert_eq!(server.cli(&["del", &used, list]), "2");
    assert_eq!(server.cli(&["zadd", list, "99999999999", "two words"]), "1");
    assert_eq!(server.cli(&["rpush", &used, "x"]), "1");
    assert_names(&store.last_used(fact.id()).await.unwrap_err(), &used);
    let by_all = UsageQuery::by(Granularity::Day);
    assert_names(&store.query(&by_all).await.unwrap_err(), list);
    assert_eq!(requests_of(&store, &acme).await, 4);
    assert_eq!((store.stats().dropped, store.stats().series), (0, 0));
}

/// An error that is no foreign value is tried again: nothing is lost, and nothing is half added.
#[tokio::test]
async fn a_redis_without_memory_gets_it_later() {
    let server = RedisServer::start();
    let store = usage(server.port(), by_hand());
    let acme = consumer("acme");
    assert_eq!(server.cli(&["config", "set", "maxmemory", "1"]), "OK");
    for events in 1..=3 {
        Fact::by(&acme).record(&store);
        let error = store.flush().await.unwrap_err();
        assert!(error.to_string().contains("OOM"), "{error}");
        assert_eq!(store.stats().series, events);
    }
    assert_eq!(server.keys(), [""; 0]);
    assert_eq!(server.cli(&["config", "set", "maxmemory", "0"]), "OK");
    store.flush().await.unwrap();
    assert_eq!(requests_of(&store, &acme).await, 3);
}

#[tokio::test]
async fn sums_that_cannot_be_read_are_not_written_over() {
    let server = RedisServer::start();
    let store = usage(server.port(), by_hand());
    let acme = consumer("acme");
    let fact = Fact::by(&acme);
    fact.record(&store);
    store.flush().await.unwrap();
    assert_eq!(server.cli(&["acl", "setuser", "default", "-hmget"]), "OK");
    fact.record(&store);
    store.flush().await.unwrap_err();
    assert_eq!(requests_of(&store, &acme).await, 1);
    assert_eq!(server.cli(&["acl", "setuser", "default", "+hmget"]), "OK");
    store.flush().await.unwrap();
    assert_eq!(requests_of(&store, &acme).await, 2);
}

#[tokio::test]
async fn a_consumer_that_cannot_be_written_keeps_nobody_waiting() {
    let server = RedisServer::start();
    let store = usage(server.port(), by_hand());
    let (acme, others) =
        (consumer("acme"), (0..200).map(|number| consumer(&format!("other-{number}"))));
    let rules = ["~*}*", "~*usage:consumers", "~*used*"];
    let allow = |rules: &[&str]| {
        let command = [&["acl", "setuser", "default", "resetkeys"], rules].concat();
        assert_eq!(server.cli(&command), "OK");
    };
    allow(&["~*{other*", "~*usage:consumers", "~*used*"]);
    for round in 1..4 {
        Fact::by(&acme).record(&store);
        others.clone().for_each(|other| Fact::by(&other).record(&store));
        let error = store.flush().await.unwrap_err();
        assert!(error.to_string().contains("permission"), "{error}");
        for other in others.clone() {
            assert_eq!(requests_of(&store, &other).await, round);
        }
    }
    allow(&rules);
    store.flush().await.unwrap();
    assert_eq!(requests_of(&store, &acme).await, 3);
    assert_eq!((store.stats().dropped, store.stats().series), (0, 0));
}
