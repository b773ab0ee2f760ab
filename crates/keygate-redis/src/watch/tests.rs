use std::{slice::from_ref, sync::Mutex};

use keygate::{
    Plans,
    cached::Settings,
    clock::{ManualClock, SystemClock},
    port::{BoxFuture, Commit, KeyStore},
    record::{KeyRecord, KeyStatus},
};
use keygate_tests::{PATIENCE, RedisServer, now};
use redis::{Client, aio::PubSub};
use rustix::process::Signal;
use tokio::time::{sleep, timeout};

use super::*;
use crate::{
    fault::Fault,
    keys::{CHANGES_KEPT, RedisKeys},
    link::PushSource,
    plans::RedisPlans,
    testing::{changed, layout, link, link_to, record},
};

const LONG: Duration = Duration::from_secs(3_600);
const SHORT: Duration = Duration::from_millis(50);

/// A cache that tells what it was told.
#[derive(Debug, Default)]
struct Told(Mutex<Vec<Word>>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    Forget(KeyDigest),
    ForgetAll,
    Confirm(Timestamp),
}

impl Told {
    /// What was told since the last time, confirmations aside; `None` if there was none of these.
    fn forgotten(&self) -> Option<Vec<Word>> {
        let words = std::mem::take(&mut *self.0.lock().unwrap());
        let (confirmed, forgotten): (Vec<_>, Vec<_>) =
            words.into_iter().partition(|word| matches!(word, Word::Confirm(_)));
        (!confirmed.is_empty()).then_some(forgotten)
    }

    fn confirmed(&self) -> Option<Timestamp> {
        let words = self.0.lock().unwrap();
        words.iter().rev().find_map(|word| match word {
            Word::Confirm(at) => Some(*at),
            Word::Forget(_) | Word::ForgetAll => None,
        })
    }

    async fn hears(&self, word: Word) {
        until(|| self.0.lock().unwrap().contains(&word)).await;
    }
}

impl Cache for Told {
    fn forget(&self, digest: &KeyDigest) {
        self.0.lock().unwrap().push(Word::Forget(*digest));
    }

    fn forget_all(&self) {
        self.0.lock().unwrap().push(Word::ForgetAll);
    }

    fn confirm(&self, at: Timestamp) {
        self.0.lock().unwrap().push(Word::Confirm(at));
    }
}

async fn until(holds: impl Fn() -> bool) {
    let wait = async {
        while !holds() {
            sleep(Duration::from_micros(200)).await;
        }
    };
    timeout(PATIENCE, wait).await.expect("it comes true");
}

/// Nothing is ever announced.
#[derive(Debug)]
struct Deaf;

impl PushSource for Deaf {
    fn connect(&self) -> BoxFuture<'_, Result<PubSub, Fault>> {
        Box::pin(async { Err(Fault::Timeout) })
    }
}

fn watch(server: &RedisServer, poll: Duration, hints: Subscription) -> (Watch, Arc<Told>) {
    let told = Arc::new(Told::default());
    let watch = Watch {
        link: link(server),
        layout: layout(),
        hints,
        poll,
        cache: Arc::clone(&told) as _,
        plans: LivePlans::new(Plans::from_toml("[plans.built-in]").unwrap()),
        clock: Arc::new(SystemClock),
    };
    (watch, told)
}

fn deaf(server: &RedisServer, poll: Duration) -> (Watch, Arc<Told>) {
    watch(server, poll, Subscription::new(Deaf, layout().changed()))
}

fn hearing(server: &RedisServer, poll: Duration) -> (Watch, Arc<Told>) {
    let client = Client::open(server.url()).unwrap();
    watch(server, poll, Subscription::new(client, layout().changed()))
}

fn keys(server: &RedisServer) -> RedisKeys {
    RedisKeys::new(link(server), layout(), PATIENCE)
}

async fn done(keys: &RedisKeys, records: &[KeyRecord]) {
    assert_eq!(keys.commit(records).await.unwrap(), Commit::Done);
}

fn revoked(record: &KeyRecord) -> KeyRecord {
    changed(record, |record| record.status = KeyStatus::Revoked)
}

fn report(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let (median, last) = (times[times.len() / 2], times[times.len() - 1]);
    println!("{what}: median {median:?}, longest {last:?} of {}", times.len());
}

/// A server whose log has begun.
async fn begun() -> RedisServer {
    let server = RedisServer::start();
    done(&keys(&server), &[record("acme", "free")]).await;
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
    let (watch, told) = hearing(&server, LONG);
    let watcher = Watcher::new(watch);
    watcher.caught_up().await;
    until(|| server.cli(&["PUBSUB", "NUMSUB", &layout().changed()]).ends_with('1')).await;
    report("forgotten by push", revoke_each(&keys(&server), &told, 50).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_push_a_revocation_is_seen_at_the_next_poll() {
    let server = begun().await;
    let (watch, told) = deaf(&server, POLL);
    let watcher = Watcher::new(watch);
    watcher.caught_up().await;
    report("forgotten by polling", revoke_each(&keys(&server), &told, 3).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_that_is_cut_again_and_again_is_not_needed() {
    let server = begun().await;
    let (watch, told) = hearing(&server, POLL);
    let watcher = Watcher::new(watch);
    watcher.caught_up().await;
    let cutter = link(&server);
    let cut = tokio::spawn(async move {
        loop {
            let kill = redis::cmd("CLIENT").arg("KILL").arg("TYPE").arg("pubsub").clone();
            let _: u32 = cutter.query(&kill, PATIENCE).await.unwrap();
        }
    });
    let times = revoke_each(&keys(&server), &told, 5).await;
    cut.abort();
    report("forgotten while the push is cut", times);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_of_plans_reaches_a_running_replica() {
    let server = RedisServer::start();
    let (watch, told) = hearing(&server, LONG);
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
    let (watch, told) = hearing(&server, SHORT);
    let in_force = watch.plans.clone();
    let _ = RedisPlans::new(link(&server), layout()).apply("[plans.free]", None).await.unwrap();
    done(&keys(&server), &[record("acme", "free")]).await;
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
    done(&keys(&server), from_ref(&key)).await;
    until(|| told.0.lock().unwrap().iter().any(|word| *word != Word::ForgetAll)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_redis_confirms_nothing_until_it_is_back() {
    let server = RedisServer::start();
    let (watch, told) = hearing(&server, SHORT);
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
    done(&keys(&server), from_ref(&key)).await;
    until(|| !matches!(told.forgotten().as_deref(), None | Some([]))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cache_before_the_store_forgets_what_another_replica_revoked() {
    let server = begun().await;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let settings = Settings::default().max_age(LONG);
    let cached = CachedKeys::new(Arc::new(keys(&server)), Arc::clone(&clock), settings);
    let (watch, _) = hearing(&server, SHORT);
    let watcher = Watcher::new(Watch { cache: Arc::new(cached.clone()), ..watch });
    watcher.caught_up().await;
    let key = record("acme", "free");
    assert!(cached.find(&key.digest).await.unwrap().is_none());
    done(&keys(&server), from_ref(&key)).await;
    for next in [key.clone(), revoked(&key)] {
        if next.revision > 0 {
            done(&keys(&server), from_ref(&next)).await;
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
    let (watch, told) = hearing(&server, SHORT);
    let other = Watcher::new(hearing(&server, SHORT).0);
    let watcher = Watcher::new(watch);
    watcher.caught_up().await;
    until(|| watcher.replicas().get() == 2 && other.replicas().get() == 2).await;
    drop(watcher);
    until(|| Arc::strong_count(&told) == 1).await;
}

#[tokio::test]
async fn only_what_changed_is_forgotten() {
    let server = RedisServer::start();
    let (watch, told) = deaf(&server, LONG);
    let (keys, mut catch_up) = (keys(&server), CatchUp::new(&watch));
    catch_up.once().await.unwrap();
    assert_eq!(told.forgotten(), Some(vec![Word::ForgetAll]), "what was cached before is old");
    catch_up.once().await.unwrap();
    assert_eq!(told.forgotten(), Some(vec![]), "an empty log says nothing");
    let [one, two] = ["acme", "zoo"].map(|consumer| record(consumer, "free"));
    done(&keys, &[one.clone(), two.clone()]).await;
    catch_up.once().await.unwrap();
    assert_eq!(told.forgotten(), Some(vec![Word::ForgetAll]), "nothing says where the log began");
    done(&keys, &[revoked(&two), revoked(&one)]).await;
    let three = record("acme", "free");
    done(&keys, from_ref(&three)).await;
    catch_up.once().await.unwrap();
    let right = [two, one, three].map(|record| Word::Forget(record.digest));
    assert_eq!(told.forgotten(), Some(right.to_vec()));
    catch_up.once().await.unwrap();
    assert_eq!(told.forgotten(), Some(vec![]));
    let many: Vec<_> = (0..500).map(|_| record("acme", "free")).collect();
    done(&keys, &many).await;
    catch_up.once().await.unwrap();
    assert_eq!(told.forgotten(), Some(vec![Word::ForgetAll]));
}

/// A clock that goes on whenever it is read.
#[derive(Debug, Default)]
struct Ticking(ManualClock);

impl Clock for Ticking {
    fn now(&self) -> Timestamp {
        self.0.advance(Duration::from_micros(1));
        self.0.now()
    }
}

#[tokio::test]
async fn what_is_confirmed_was_true_when_the_look_began() {
    let server = RedisServer::start();
    let (watch, told) = deaf(&server, LONG);
    let watch = Watch { clock: Arc::new(Ticking::default()), ..watch };
    let mut catch_up = CatchUp::new(&watch);
    for look in 1..4 {
        catch_up.once().await.unwrap();
        assert_eq!(told.confirmed(), Some(Timestamp::from_micros(look)));
    }
}

#[tokio::test]
async fn a_log_that_no_longer_reaches_back_makes_everything_forgotten() {
    let server = RedisServer::start();
    let (watch, told) = deaf(&server, LONG);
    let (keys, mut catch_up) = (keys(&server), CatchUp::new(&watch));
    let mut latest = record("acme", "free");
    done(&keys, from_ref(&latest)).await;
    catch_up.once().await.unwrap();
    for (missed, right) in [
        (CHANGES_KEPT - 1, vec![Word::Forget(latest.digest); CHANGES_KEPT - 1]),
        (CHANGES_KEPT, vec![Word::ForgetAll]),
    ] {
        let _ = told.forgotten();
        for _ in 0..missed {
            latest = changed(&latest, |_| ());
            done(&keys, from_ref(&latest)).await;
        }
        catch_up.once().await.unwrap();
        assert_eq!(told.forgotten(), Some(right), "{missed} missed");
    }
}

/// As after a failover to a node that lacks the last changes, or the restart of an empty one.
#[tokio::test]
async fn another_history_makes_everything_forgotten_however_long_it_is() {
    let server = RedisServer::start();
    let (watch, told) = deaf(&server, LONG);
    let (keys, mut catch_up) = (keys(&server), CatchUp::new(&watch));
    let key = record("acme", "free");
    done(&keys, from_ref(&key)).await;
    let _ = server.cli(&["COPY", &layout().changes(), "earlier"]);
    done(&keys, &[revoked(&key)]).await;
    catch_up.once().await.unwrap();
    for restore in [&["COPY", "earlier", &layout().changes(), "REPLACE"][..], &["FLUSHALL"]] {
        let _ = told.forgotten();
        let _ = server.cli(restore);
        for _ in 0..5 {
            done(&keys, &[record("acme", "free")]).await;
        }
        catch_up.once().await.unwrap();
        assert_eq!(told.forgotten(), Some(vec![Word::ForgetAll]), "{restore:?}");
        catch_up.once().await.unwrap();
        assert_eq!(told.forgotten(), Some(vec![]));
    }
}

#[tokio::test]
async fn plans_that_cannot_be_read_leave_those_in_force() {
    let server = RedisServer::start();
    let (watch, told) = deaf(&server, LONG);
    let plans = RedisPlans::new(link(&server), layout());
    let _ = plans.apply("[plans.free]", None).await.unwrap();
    let mut catch_up = CatchUp::new(&watch);
    catch_up.once().await.unwrap();
    assert_eq!(watch.plans.load().names(), "free");
    let newer = "[plans.free]\nprice = 3\n";
    for (field, value) in [("text", newer), ("applied", "x"), ("revision", "-1")] {
        let _ = server.cli(&["HSET", &layout().plans(), "revision", "2", field, value]);
        let _ = told.forgotten();
        catch_up.once().await.unwrap();
        assert_eq!(watch.plans.load().names(), "free", "{field}");
        assert_eq!(told.forgotten(), Some(vec![]), "keys go on");
    }
    let _ = server.cli(&["DEL", &layout().plans()]);
    catch_up.once().await.unwrap();
    assert_eq!(watch.plans.load().names(), "free");
    let _ = plans.apply("[plans.pro]", None).await.unwrap();
    catch_up.once().await.unwrap();
    assert_eq!(watch.plans.load().names(), "pro");
}

#[tokio::test]
async fn a_foreign_value_is_told_and_nothing_is_confirmed() {
    for key in [layout().changes(), layout().plans(), layout().replicas()] {
        let server = RedisServer::start();
        let (watch, told) = deaf(&server, LONG);
        let mut catch_up = CatchUp::new(&watch);
        let _ = server.cli(&["SET", &key, "x"]);
        let error = catch_up.once().await.unwrap_err().to_string();
        assert!(error.contains(&format!("Redis key `{key}`: a string, where")), "{error}");
        assert_eq!(told.forgotten(), None);
        assert_eq!(server.cli(&["GET", &key]), "x");
        let _ = server.cli(&["DEL", &key]);
        catch_up.once().await.unwrap();
    }
    let server = RedisServer::start();
    let (watch, told) = deaf(&server, LONG);
    let mut catch_up = CatchUp::new(&watch);
    let _ = server.cli(&["XADD", &layout().changes(), "*", "keys", "?"]);
    catch_up.once().await.unwrap();
    let _ = told.forgotten();
    let _ = server.cli(&["XADD", &layout().changes(), "*", "keys", "what is this"]);
    catch_up.once().await.unwrap();
    assert_eq!(told.forgotten(), Some(vec![Word::ForgetAll]));
}

#[tokio::test]
async fn replicas_are_counted_while_they_are_heard_of() {
    let server = RedisServer::start();
    let replicas = layout().replicas();
    let (watch, _) = deaf(&server, LONG);
    let (mut one, mut two) = (CatchUp::new(&watch), CatchUp::new(&watch));
    assert_eq!(one.once().await.unwrap().unwrap().get(), 1);
    assert_eq!(two.once().await.unwrap().unwrap().get(), 2);
    assert_eq!(one.once().await.unwrap().unwrap().get(), 2);
    let _ = server.cli(&["ZADD", &replicas, "1", "long gone"]);
    assert_eq!(two.once().await.unwrap().unwrap().get(), 2);
    let ttl: i64 = server.cli(&["TTL", &replicas]).parse().unwrap();
    assert!((1..=15).contains(&ttl), "{ttl}");
    assert_eq!(server.keys(), [replicas]);
}

#[tokio::test]
async fn a_full_redis_is_followed_and_a_replica_of_another_is_not() {
    let server = RedisServer::start();
    let (watch, told) = deaf(&server, LONG);
    let mut catch_up = CatchUp::new(&watch);
    catch_up.once().await.unwrap();
    let key = record("acme", "free");
    done(&keys(&server), from_ref(&key)).await;
    let _ = server.cli(&["CONFIG", "SET", "maxmemory", "1"]);
    assert_eq!(catch_up.once().await.unwrap(), None, "how many there are is not known");
    let _ = told.forgotten();
    let _ = server.cli(&["CONFIG", "SET", "maxmemory", "0"]);
    let _ = server.cli(&["REPLICAOF", "127.0.0.1", "1"]);
    let _ = catch_up.once().await.unwrap_err();
    assert_eq!(told.forgotten(), None, "what is behind confirms nothing");
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
    let client = Client::open(url.clone()).unwrap();
    let (watch, told) = watch(&server, LONG, Subscription::new(client, layout().changed()));
    let watch = Watch { link: link_to(&url), ..watch };
    let in_force = watch.plans.clone();
    let watcher = Watcher::new(watch);
    watcher.caught_up().await;
    until(|| server.cli(&["PUBSUB", "NUMSUB", &layout().changed()]).ends_with('1')).await;
    let plans = RedisPlans::new(link_to(&url), layout());
    let _ = plans.apply("[plans.free]", None).await.unwrap();
    until(|| in_force.load().names() == "free").await;
    let keys = RedisKeys::new(link_to(&url), layout(), PATIENCE);
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
