use std::{collections::BTreeMap, slice::from_ref};

use futures_util::future::join_all;
use keygate::{
    conformance::{self, Job, KeyHarness},
    port::BoxFuture,
    record::{ConsumerId, KeyStatus},
};
use keygate_tests::{PATIENCE, RedisCluster, RedisSentinel, RedisServer};
use rustix::process::Signal;
use tokio::time::{sleep, timeout};

use super::*;
use crate::testing::{changed, layout, link, link_to, record};

fn store(server: &RedisServer) -> RedisKeys {
    RedisKeys::new(link(server), layout(), Duration::from_secs(5))
}

async fn done(store: &RedisKeys, records: &[KeyRecord]) {
    assert_eq!(store.commit(records).await.unwrap(), Commit::Done);
}

fn revoked(record: &KeyRecord) -> KeyRecord {
    changed(record, |record| record.status = KeyStatus::Revoked)
}

fn in_use(server: &RedisServer) -> BTreeMap<String, String> {
    let told = server.cli(&["HGETALL", &layout().plans_in_use()]);
    let lines: Vec<&str> = told.lines().collect();
    lines.chunks_exact(2).map(|pair| (pair[0].to_owned(), pair[1].to_owned())).collect()
}

struct Keys(Arc<RedisKeys>);

impl KeyHarness for Keys {
    fn store(&self) -> Arc<dyn KeyStore> {
        Arc::clone(&self.0) as _
    }

    fn run_concurrently(&self, jobs: Vec<Job>) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let tasks: Vec<_> = jobs.into_iter().map(tokio::spawn).collect();
            for task in tasks {
                task.await.unwrap();
            }
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_keep_every_law() {
    let server = RedisServer::start();
    let report = conformance::key_store(&Keys(Arc::new(store(&server)))).await;
    assert!(report.is_whole(), "{report}");
    let mut keys = server.keys();
    keys.sort();
    let layout = layout();
    let mut ours = [
        layout.changes(),
        layout.consumers(),
        layout.ids(),
        layout.plans_in_use(),
        layout.records(),
    ];
    ours.sort();
    assert_eq!(keys, ours);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_keeps_every_law() {
    holds_at(&RedisCluster::start().url()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_behind_sentinels_keeps_every_law() {
    holds_at(&RedisSentinel::start().url()).await;
}

async fn holds_at(url: &str) {
    let store = RedisKeys::new(link_to(url), layout(), Duration::from_secs(5));
    let report = conformance::key_store(&Keys(Arc::new(store))).await;
    assert!(report.is_whole(), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_replicas_that_race_one_wins_each_revision() {
    let server = RedisServer::start();
    let replicas = [Arc::new(store(&server)), Arc::new(store(&server))];
    let first = record("acme", "free");
    done(&replicas[0], from_ref(&first)).await;
    let climb = |store: Arc<RedisKeys>| {
        let id = first.id;
        tokio::spawn(async move {
            let mut won = 0;
            while won < 50 {
                let stored = store.load(id).await.unwrap().unwrap();
                let next = changed(&stored, |record| record.name = "changed".to_owned());
                won += u64::from(store.commit(&[next]).await.unwrap() == Commit::Done);
            }
        })
    };
    for task in replicas.clone().map(climb) {
        task.await.unwrap();
    }
    assert_eq!(replicas[0].load(first.id).await.unwrap().unwrap().revision, 100);
}

#[tokio::test]
async fn ten_thousand_keys_are_listed_page_by_page() {
    let server = RedisServer::start();
    let store = store(&server);
    let mut all: Vec<KeyRecord> = (0..10_000)
        .map(|n| {
            let plan = if n % 100 == 0 { "pro" } else { "free" };
            let mut record = record(&format!("consumer-{}", n % 7), plan);
            if n % 3 == 0 {
                record.status = KeyStatus::Disabled;
            }
            record
        })
        .collect();
    for commit in all.chunks(1_000) {
        done(&store, commit).await;
    }
    all.sort_by_key(|record| record.id);
    let everybody = KeyFilter::default();
    let mine = everybody.clone().consumer(ConsumerId::parse("consumer-3").unwrap());
    for filter in [
        everybody.clone().most(10_000),
        everybody.clone().most(777),
        everybody.clone().plan("pro").most(30),
        everybody.plan("pro").status(KeyStatus::Disabled).most(100),
        mine.clone().most(500),
        mine.plan("pro").most(10),
    ] {
        let right: Vec<_> = all.iter().filter(|record| filter.selects(record)).collect();
        let (listed, pages) = all_pages(&store, filter.clone()).await;
        assert_eq!(listed.iter().map(Arc::as_ref).collect::<Vec<_>>(), right, "{filter:?}");
        assert_eq!(pages, right.len() / filter.most + 1, "{filter:?}");
    }
    assert_eq!(store.list(&KeyFilter::default().most(0)).await.unwrap(), []);
}

async fn all_pages(store: &RedisKeys, mut filter: KeyFilter) -> (Vec<Arc<KeyRecord>>, usize) {
    let (mut all, mut pages) = (Vec::new(), 0);
    loop {
        let page = store.list(&filter).await.unwrap();
        pages += 1;
        let whole = page.len() == filter.most;
        if let Some(last) = page.last() {
            filter = filter.after(last.id);
        }
        all.extend(page);
        if !whole {
            return (all, pages);
        }
    }
}

#[tokio::test]
async fn consumers_of_odd_names_are_told_apart() {
    let server = RedisServer::start();
    let store = store(&server);
    let names =
        ["a", "a!", "a!b", "a~", "aa", "A", "{keys}", "}{", "a:b", "*", "[a", "(a", "\"\\", "%20"];
    let records = names.map(|name| record(name, "free"));
    done(&store, &records).await;
    done(&store, &names.map(|name| record(name, "free"))).await;
    for (name, first) in names.iter().zip(&records) {
        let filter = KeyFilter::default().consumer(ConsumerId::parse(name).unwrap());
        let (listed, _) = all_pages(&store, filter.clone().most(1)).await;
        assert_eq!(listed.len(), 2, "{name}");
        assert!(listed.iter().all(|record| record.consumer.as_str() == *name), "{name}");
        assert_eq!(store.list(&filter).await.unwrap(), listed);
        assert_eq!(store.find(&first.digest).await.unwrap().as_deref(), Some(first));
    }
}

#[tokio::test]
async fn a_key_can_change_hands() {
    let server = RedisServer::start();
    let store = store(&server);
    let old = record("seller", "free");
    let new = changed(&old, |record| record.consumer = ConsumerId::parse("buyer").unwrap());
    done(&store, from_ref(&old)).await;
    done(&store, from_ref(&new)).await;
    let of = |name| KeyFilter::default().consumer(ConsumerId::parse(name).unwrap());
    assert_eq!(store.list(&of("seller")).await.unwrap(), []);
    assert_eq!(store.list(&of("buyer")).await.unwrap(), [Arc::new(new)]);
    assert_eq!(server.cli(&["ZCARD", &layout().consumers()]), "1");
}

#[tokio::test]
async fn plans_in_use_are_those_of_keys_that_are_not_revoked() {
    let server = RedisServer::start();
    let store = store(&server);
    let [one, two, three] = ["free", "free", "pro"].map(|plan| record("acme", plan));
    done(&store, &[one.clone(), two.clone(), three.clone()]).await;
    let told = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(plan, count)| ((*plan).to_owned(), (*count).to_owned())).collect()
    };
    assert_eq!(in_use(&server), told(&[("free", "2"), ("pro", "1")]));
    let moved = changed(&two, |record| record.plan = "pro".parse().unwrap());
    done(&store, &[revoked(&three), moved.clone()]).await;
    assert_eq!(in_use(&server), told(&[("free", "1"), ("pro", "1")]));
    let disabled = changed(&one, |record| record.status = KeyStatus::Disabled);
    done(&store, &[disabled.clone(), revoked(&moved)]).await;
    assert_eq!(in_use(&server), told(&[("free", "1")]));
    assert_eq!(store.commit(&[revoked(&one)]).await.unwrap(), Commit::Conflict);
    done(&store, &[revoked(&disabled)]).await;
    assert_eq!(in_use(&server), told(&[]));
}

#[tokio::test]
async fn a_commit_is_logged_and_the_log_is_bounded() {
    let server = RedisServer::start();
    let store = store(&server);
    let [one, two] = ["free"; 2].map(|plan| record("acme", plan));
    done(&store, &[one.clone(), two.clone()]).await;
    let logged = server.cli(&["XRANGE", &layout().changes(), "-", "+"]);
    assert!(logged.ends_with(&format!("keys\n{} {}", one.digest, two.digest)), "{logged}");
    let many: Vec<_> = (0..DIGESTS_NAMED + 1).map(|_| record("acme", "free")).collect();
    done(&store, &many).await;
    assert!(server.cli(&["XRANGE", &layout().changes(), "-", "+"]).ends_with("keys\n*"));
    let mut latest = one;
    for _ in 0..CHANGES_KEPT {
        latest = changed(&latest, |record| record.name.push('x'));
        latest.name.truncate(10);
        done(&store, from_ref(&latest)).await;
    }
    assert_eq!(server.cli(&["XLEN", &layout().changes()]), CHANGES_KEPT.to_string());
}

/// Everything that is in Redis, so that "nothing changed" can be said.
fn dump(server: &RedisServer) -> BTreeMap<String, String> {
    let dumped = server.keys().into_iter().map(|key| {
        let value = server.cli(&["DUMP", &key]);
        (key, value)
    });
    dumped.collect()
}

#[track_caller]
fn blames<T: std::fmt::Debug>(result: Result<T, StoreError>, key: &str, what: &str) {
    let error = result.unwrap_err().to_string();
    assert!(error.contains(&format!("Redis key `{key}`: ")), "{error}");
    assert!(error.contains(what) && error.contains("restore it from a backup"), "{error}");
}

#[tokio::test]
async fn a_foreign_value_under_any_key_is_told_and_left_alone() {
    let layout = layout();
    for key in [
        layout.records(),
        layout.ids(),
        layout.consumers(),
        layout.plans_in_use(),
        layout.changes(),
    ] {
        let server = RedisServer::start();
        let store = store(&server);
        let known = record("acme", "free");
        done(&store, from_ref(&known)).await;
        let _ = server.cli(&["DEL", &key]);
        let _ = server.cli(&["SET", &key, "somebody else's"]);
        let before = dump(&server);
        blames(store.commit(&[record("acme", "free")]).await, &key, "a string, where");
        blames(store.commit(&[revoked(&known)]).await, &key, "a string, where");
        if key == layout.records() {
            blames(store.find(&known.digest).await, &key, "another type than");
        }
        if [layout.records(), layout.ids()].contains(&key) {
            blames(store.load(known.id).await, &key, "a string, where");
            blames(store.list(&KeyFilter::default()).await, &key, "a string, where");
        }
        if key == layout.consumers() {
            let filter = KeyFilter::default().consumer(known.consumer.clone());
            blames(store.list(&filter).await, &key, "a string, where");
        }
        assert_eq!(dump(&server), before, "{key}");
    }
}

#[tokio::test]
async fn a_record_that_cannot_be_read_is_told_and_left_alone() {
    let secret = "kg_live_thisisasecret";
    let newer = |record: &KeyRecord| {
        let mut json = serde_json::to_value(record).unwrap();
        json["constraints"] = serde_json::json!([{ "kind": "of a newer version" }]);
        json.to_string()
    };
    let other = serde_json::to_string(&record("acme", "free")).unwrap();
    let known = record("acme", "free");
    for value in
        ["", "{", "null", "3", &format!("{secret:?}"), "{\"id\": 1}", &newer(&known), &other]
    {
        let server = RedisServer::start();
        let (store, records) = (store(&server), layout().records());
        done(&store, from_ref(&known)).await;
        let _ = server.cli(&["HSET", &records, &known.digest.to_string(), value]);
        let before = dump(&server);
        let told = "is not its key record";
        blames(store.find(&known.digest).await, &records, told);
        blames(store.load(known.id).await, &records, told);
        blames(store.list(&KeyFilter::default()).await, &records, told);
        let error = store.find(&known.digest).await.unwrap_err();
        assert!(!format!("{error} {error:?}").contains(secret));
        assert!(!format!("{error} {error:?}").contains(&known.digest.to_string()));
        if value.len() < 40 {
            blames(store.commit(&[revoked(&known)]).await, &records, "no key record where");
        }
        assert_eq!(dump(&server), before, "{value}");
    }
}

#[tokio::test]
async fn indexes_that_disagree_with_the_records_are_told() {
    let layout = layout();
    let known = record("acme", "free");
    let (digest, member) = (known.digest.to_string(), format!("{} {}", known.id, known.digest));
    for (command, key, told) in [
        (vec!["HDEL", &layout.records(), &digest], layout.records(), "it lacks the record of"),
        (vec!["ZREM", &layout.ids(), &member], layout.ids(), "which has a record"),
        (vec!["HSET", &layout.plans_in_use(), "free", "x"], layout.plans_in_use(), "no number"),
    ] {
        let server = RedisServer::start();
        let store = store(&server);
        done(&store, from_ref(&known)).await;
        let _ = server.cli(&command);
        let before = dump(&server);
        blames(store.commit(&[revoked(&known)]).await, &key, told);
        assert_eq!(dump(&server), before, "{command:?}");
    }
    let server = RedisServer::start();
    let _ = server.cli(&["ZADD", &layout.ids(), "0", "what is this"]);
    blames(store(&server).list(&KeyFilter::default()).await, &layout.ids(), "a member that");
}

#[tokio::test]
async fn a_commit_that_redis_refuses_in_the_middle_changes_nothing() {
    let server = RedisServer::start();
    let store = store(&server);
    let known = record("acme", "free");
    done(&store, from_ref(&known)).await;
    let before = dump(&server);
    for denied in ["-hset", "-zadd", "-xadd", "-publish", "resetchannels"] {
        let _ = server.cli(&["ACL", "SETUSER", "default", denied]);
        let refused = store.commit(&[revoked(&known), record("acme", "free")]).await;
        let error = refused.unwrap_err().to_string();
        assert!(error.contains("NOPERM"), "{denied}: {error}");
        let _ = server.cli(&["ACL", "SETUSER", "default", "+@all", "allchannels"]);
        assert_eq!(dump(&server), before, "{denied}");
    }
    let _ = server.cli(&["CONFIG", "SET", "maxmemory", "1"]);
    let error = store.commit(&[revoked(&known)]).await.unwrap_err().to_string();
    assert!(error.contains("OOM"), "{error}");
    let _ = server.cli(&["CONFIG", "SET", "maxmemory", "0"]);
    assert_eq!(dump(&server), before);
    done(&store, &[revoked(&known)]).await;
}

#[tokio::test]
async fn a_store_that_does_not_answer_fails_in_time() {
    let server = RedisServer::start();
    let store = RedisKeys::new(link(&server), layout(), Duration::from_millis(20));
    let known = record("acme", "free");
    done(&store, from_ref(&known)).await;
    server.signal(Signal::STOP);
    let error = store.find(&known.digest).await.unwrap_err();
    assert!(error.to_string().contains("no answer in time"), "{error}");
    server.signal(Signal::CONT);
}

#[tokio::test]
async fn a_commit_without_an_answer_is_a_fault_and_not_tried_again() {
    let server = RedisServer::start();
    let store = store(&server);
    let key = record("acme", "free");
    done(&store, &[record("acme", "free")]).await;
    server.signal(Signal::STOP);
    let error = store.commit(from_ref(&key)).await.unwrap_err();
    assert!(error.to_string().contains("no answer in time"), "{error}");
    server.signal(Signal::CONT);
    assert_eq!(store.find(&key.digest).await.unwrap().as_deref(), Some(&key), "it was sent");
    assert_eq!(server.cli(&["XLEN", &layout().changes()]), "2");
}

/// Each key has its own request to wait for it, and a service has many keys.
#[tokio::test]
async fn a_frozen_server_is_not_waited_for_with_every_key() {
    let server = RedisServer::start();
    let store = RedisKeys::new(link(&server), layout(), Duration::from_millis(20));
    let kept = record("acme", "free");
    done(&store, from_ref(&kept)).await;
    server.signal(Signal::STOP);
    let finds = (0..40).map(|_| store.find(&kept.digest));
    assert!(join_all(finds).await.iter().all(Result::is_err));
    // A find now and then sees whether it goes on, and waits.
    let paused = async {
        while !store.find(&kept.digest).await.unwrap_err().to_string().contains("paused") {}
    };
    timeout(PATIENCE, paused).await.expect("finds are paused");
    server.signal(Signal::CONT);
    let found = async {
        while store.find(&kept.digest).await.is_err() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, found).await.expect("the key is found again");
}
