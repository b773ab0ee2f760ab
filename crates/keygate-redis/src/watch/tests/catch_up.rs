use keygate::clock::ManualClock;

use super::*;

#[tokio::test]
async fn only_what_changed_is_forgotten() {
    let server = RedisServer::start();
    let (watch, told) = deaf(&server, LONG);
    let (keys, mut catch_up) = (keys(&server.url()), CatchUp::new(&watch));
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
    let (keys, mut catch_up) = (keys(&server.url()), CatchUp::new(&watch));
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
    let (keys, mut catch_up) = (keys(&server.url()), CatchUp::new(&watch));
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
async fn who_looks_on_is_no_replica() {
    let server = RedisServer::start();
    let (watch, _) = deaf(&server, LONG);
    let tool = Watch { serves: false, ..deaf(&server, LONG).0 };
    let (mut replica, mut tool) = (CatchUp::new(&watch), CatchUp::new(&tool));
    assert_eq!(tool.once().await.unwrap(), None);
    assert_eq!(server.keys(), [""; 0], "it leaves no trace");
    assert_eq!(replica.once().await.unwrap().unwrap().get(), 1);
    assert_eq!(tool.once().await.unwrap().unwrap().get(), 1);
}

#[tokio::test]
async fn a_full_redis_is_followed_and_a_replica_of_another_is_not() {
    let server = RedisServer::start();
    let (watch, told) = deaf(&server, LONG);
    let mut catch_up = CatchUp::new(&watch);
    catch_up.once().await.unwrap();
    let key = record("acme", "free");
    done(&keys(&server.url()), from_ref(&key)).await;
    let _ = server.cli(&["CONFIG", "SET", "maxmemory", "1"]);
    assert_eq!(catch_up.once().await.unwrap(), None, "how many there are is not known");
    let _ = told.forgotten();
    let _ = server.cli(&["CONFIG", "SET", "maxmemory", "0"]);
    let _ = server.cli(&["REPLICAOF", "127.0.0.1", "1"]);
    let _ = catch_up.once().await.unwrap_err();
    assert_eq!(told.forgotten(), None, "what is behind confirms nothing");
}
