use keygate::cached::Settings;
use keygate_tests::{RedisCluster, now};
use rustix::process::Signal;

use super::*;

fn report(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let (median, last) = (times[times.len() / 2], times[times.len() - 1]);
    println!("{what}: median {median:?}, longest {last:?} of {}", times.len());
}

/// A server whose log has begun.
async fn begun() -> RedisServer {
    let server = RedisServer::start();
    done(&keys(&server.url()), &[record("acme", "free")]).await;
    server
}

/// Revokes keys one after the other, and waits until each is forgotten.
async fn revoke_each(keys: &RedisKeys, told: &Told, count: usize) -> Vec<Duration> {
    let mut times = Vec::new();
    for _ in 0..count {
        let key = record("acme", "free");
        done(keys, from_ref(&key)).await;
        told.hears(Word::Forget(key.digest)).await;
        told.0.lock().unwrap().clear();
        done(keys, &[revoked(&key)]).await;
        let start = now();
        told.hears(Word::Forget(key.digest)).await;
        times.push(now() - start);
    }
    times
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_is_pushed() {
    let server = begun().await;
    let (watch, told) = hearing(&server.url(), LONG);
    let watcher = Watcher::new(watch);
    watcher.caught_up().await;
    until(|| server.cli(&["PUBSUB", "NUMSUB", &layout().changed()]).ends_with('1')).await;
    report("forgotten by push", revoke_each(&keys(&server.url()), &told, 50).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_push_a_revocation_is_seen_at_the_next_poll() {
    let server = begun().await;
    let (watch, told) = deaf(&server, POLL);
    let watcher = Watcher::new(watch);
    watcher.caught_up().await;
    report("forgotten by polling", revoke_each(&keys(&server.url()), &told, 3).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_that_is_cut_again_and_again_is_not_needed() {
    let server = begun().await;
    let (watch, told) = hearing(&server.url(), POLL);
    let watcher = Watcher::new(watch);
    watcher.caught_up().await;
    let cutter = link(&server);
    let cut = tokio::spawn(async move {
        loop {
            let kill = redis::cmd("CLIENT").arg("KILL").arg("TYPE").arg("pubsub").clone();
            let _: u32 = cutter.query(&kill, PATIENCE).await.unwrap();
        }
    });
    let times = revoke_each(&keys(&server.url()), &told, 5).await;
    cut.abort();
    report("forgotten while the push is cut", times);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_of_plans_reaches_a_running_replica() {
    let server = RedisServer::start();
    let (watch, told) = hearing(&server.url(), LONG);
    let in_force = watch.plans.clone();
    let plans = RedisPlans::new(link(&server), layout());
    let watcher = Watcher::new(watch);
    watcher.caught_up().await;
    until(|| server.cli(&["PUBSUB", "NUMSUB", &layout().changed()]).ends_with('1')).await;
    assert_eq!(in_force.load().names(), "built-in", "what is not stored takes nothing away");
    let _ = plans.apply("[plans.free]", None).await.unwrap();
    let start = now();
    until(|| in_force.load().names() == "free").await;
    report("plans by push", vec![now() - start]);
    let _ = plans.apply("[plans.free]\n[plans.pro]", Some(1)).await.unwrap();
    until(|| in_force.load().names() == "free, pro").await;
    assert!(told.confirmed().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_comes_back_empty_makes_everything_forgotten() {
    let mut server = RedisServer::start();
    let (watch, told) = hearing(&server.url(), SHORT);
    let in_force = watch.plans.clone();
    let _ = RedisPlans::new(link(&server), layout()).apply("[plans.free]", None).await.unwrap();
    done(&keys(&server.url()), &[record("acme", "free")]).await;
    let watcher = Watcher::new(watch);
    watcher.caught_up().await;
    assert_eq!(in_force.load().names(), "free");
    server.kill();
    until(|| told.forgotten().is_none()).await;
    server.run();
    let start = now();
    told.hears(Word::ForgetAll).await;
    report("forgotten after an empty start", vec![now() - start]);
    assert_eq!(in_force.load().names(), "free");
    let key = record("acme", "free");
    done(&keys(&server.url()), from_ref(&key)).await;
    until(|| told.0.lock().unwrap().iter().any(|word| *word != Word::ForgetAll)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_redis_confirms_nothing_until_it_is_back() {
    let server = RedisServer::start();
    let (watch, told) = hearing(&server.url(), SHORT);
    let watcher = Watcher::new(watch);
    watcher.caught_up().await;
    server.signal(Signal::STOP);
    let frozen = SystemClock.now();
    sleep(SHORT * 30).await;
    assert!(told.confirmed().unwrap() <= frozen);
    server.signal(Signal::CONT);
    let start = now();
    until(|| told.confirmed().is_some_and(|at| at > frozen)).await;
    report("confirmed again after a thaw", vec![now() - start]);
    let key = record("acme", "free");
    done(&keys(&server.url()), from_ref(&key)).await;
    until(|| !matches!(told.forgotten().as_deref(), None | Some([]))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cache_before_the_store_forgets_what_another_replica_revoked() {
    let server = begun().await;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let settings = Settings::default().max_age(LONG);
    let cached = CachedKeys::new(Arc::new(keys(&server.url())), Arc::clone(&clock), settings);
    let (watch, _) = hearing(&server.url(), SHORT);
    let watcher = Watcher::new(Watch { cache: Arc::new(cached.clone()), ..watch });
    watcher.caught_up().await;
    let key = record("acme", "free");
    assert!(cached.find(&key.digest).await.unwrap().is_none());
    done(&keys(&server.url()), from_ref(&key)).await;
    for next in [key.clone(), revoked(&key)] {
        if next.revision > 0 {
            done(&keys(&server.url()), from_ref(&next)).await;
        }
        let shows = async {
            while cached.find(&key.digest).await.unwrap().as_deref() != Some(&next) {
                sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(PATIENCE, shows).await.expect("the change shows");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn watching_ends_with_its_owner() {
    let server = RedisServer::start();
    let (watch, told) = hearing(&server.url(), SHORT);
    let other = Watcher::new(hearing(&server.url(), SHORT).0);
    let watcher = Watcher::new(watch);
    watcher.caught_up().await;
    until(|| watcher.replicas().get() == 2 && other.replicas().get() == 2).await;
    drop(watcher);
    until(|| Arc::strong_count(&told) == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_cluster_a_revocation_is_pushed() {
    let cluster = RedisCluster::start();
    let keys = keys(&cluster.url());
    done(&keys, &[record("acme", "free")]).await;
    let (watch, told) = hearing(&cluster.url(), LONG);
    let watcher = Watcher::new(watch);
    watcher.caught_up().await;
    // Nobody knows which node the listener is at.
    let listens =
        |node: &RedisServer| node.cli(&["PUBSUB", "NUMSUB", &layout().changed()]).ends_with('1');
    until(|| cluster.nodes().iter().any(listens)).await;
    report("forgotten by push in a cluster", revoke_each(&keys, &told, 20).await);
}

/// What a user of Redis must be allowed to do.
const ALLOWED: [&str; 4] = [
    "~kg:*",
    "&kg:*",
    "-@all",
    "+eval +evalsha +hdel +hget +hgetall +hmget +hset +xadd +xrange +xrevrange +zadd +zcard +zrange \
     +zrem +zremrangebyscore +expire +publish +subscribe +ping +time +type",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_may_do_only_what_is_needed_can_do_everything() {
    let server = RedisServer::start();
    let allowed = ALLOWED.iter().flat_map(|rules| rules.split_whitespace());
    let rules: Vec<&str> = ["ACL", "SETUSER", "keygate", "on", ">pw", "reset", "on", ">pw"]
        .into_iter()
        .chain(allowed)
        .collect();
    assert_eq!(server.cli(&rules), "OK");
    let url = server.url().replace("redis://", "redis://keygate:pw@");
    let (watch, told) = hearing(&url, LONG);
    let in_force = watch.plans.clone();
    let watcher = Watcher::new(watch);
    watcher.caught_up().await;
    until(|| server.cli(&["PUBSUB", "NUMSUB", &layout().changed()]).ends_with('1')).await;
    let plans = RedisPlans::new(link_to(&url), layout());
    let _ = plans.apply("[plans.free]", None).await.unwrap();
    until(|| in_force.load().names() == "free").await;
    let keys = keys(&url);
    let key = record("acme", "free");
    done(&keys, from_ref(&key)).await;
    let sold = changed(&key, |record| record.consumer = "zoo".parse().unwrap());
    done(&keys, from_ref(&sold)).await;
    done(&keys, &[revoked(&sold)]).await;
    told.hears(Word::Forget(key.digest)).await;
    assert!(keys.find(&key.digest).await.unwrap().is_some());
    assert!(keys.load(key.id).await.unwrap().is_some());
    assert!(plans.load().await.unwrap().is_some());
    assert!(plans.in_use().await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn polls_without_a_pause_or_without_an_end_are_polls() {
    let server = begun().await;
    for poll in [Duration::ZERO, Duration::MAX] {
        let (watch, told) = deaf(&server, poll);
        let watcher = Watcher::new(watch);
        watcher.caught_up().await;
        assert!(told.confirmed().is_some(), "{poll:?}");
    }
    let (watch, told) = deaf(&server, Duration::ZERO);
    let watcher = Watcher::new(watch);
    watcher.caught_up().await;
    let key = record("acme", "free");
    done(&keys(&server.url()), from_ref(&key)).await;
    told.hears(Word::Forget(key.digest)).await;
}
