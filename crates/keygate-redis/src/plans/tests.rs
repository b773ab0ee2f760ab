use keygate::{port::KeyStore, record::KeyStatus};
use keygate_tests::RedisServer;

use super::*;
use crate::{
    keys::RedisKeys,
    testing::{changed, layout, link, record},
};

const FREE: &str =
    "# by hand\n[plans.free]\nlimits = [{ name = \"daily\", quota = 5, per = \"day\" }]\n";
const BOTH: &str = "[plans.free]\n[plans.pro]\n";

fn plans(server: &RedisServer) -> RedisPlans {
    RedisPlans::new(link(server), layout())
}

#[tokio::test]
async fn what_one_operator_applied_another_loads() {
    let server = RedisServer::start();
    let [one, other] = [plans(&server), plans(&server)];
    assert!(one.load().await.unwrap().is_none());
    let applied = one.apply(FREE, None).await.unwrap();
    let loaded = other.load().await.unwrap().unwrap();
    assert_eq!((loaded.text.as_str(), loaded.revision), (FREE, 1));
    assert_eq!(loaded.plans.names(), "free");
    assert_eq!(loaded.applied, applied.applied);
    assert!(loaded.applied.seconds() > 1_577_836_800);
    assert_eq!(other.apply(BOTH, Some(1)).await.unwrap().revision, 2);
    assert_eq!(one.load().await.unwrap().unwrap().plans.names(), "free, pro");
}

#[tokio::test]
async fn of_two_operators_one_is_told_that_the_other_was_first() {
    let server = RedisServer::start();
    let [one, other] = [plans(&server), plans(&server)];
    let absent = one.apply(FREE, Some(7)).await.unwrap_err().to_string();
    assert!(absent.contains("Redis has none, this edit was made of revision 7;"), "{absent}");
    let _ = one.apply(FREE, None).await.unwrap();
    let late = other.apply(BOTH, None).await.unwrap_err();
    assert!(matches!(late, PlansError::Conflict { expected: None, stored: Some(1) }), "{late:?}");
    let (first, second) = tokio::join!(one.apply(BOTH, Some(1)), other.apply(FREE, Some(1)));
    assert_eq!([first.is_ok(), second.is_ok()].iter().filter(|won| **won).count(), 1);
    assert_eq!(one.load().await.unwrap().unwrap().revision, 2);
    assert_eq!(server.cli(&["XLEN", &layout().changes()]), "2");
}

#[tokio::test]
async fn a_mistake_is_told_before_anything_is_sent() {
    let mut server = RedisServer::start();
    let plans = plans(&server);
    server.kill();
    let wrong = FREE.replace("quota = 5", "quota = 0");
    let error = plans.apply(&wrong, None).await.unwrap_err().to_string();
    assert_eq!(error, "plan `free`, limit `daily` (line 3): field `quota` is 0; give at least 1");
}

#[tokio::test]
async fn plans_of_a_newer_version_are_told_as_such() {
    let server = RedisServer::start();
    let plans = plans(&server);
    let _ = plans.apply(FREE, None).await.unwrap();
    let newer = "[plans.free]\nprice = 3\n";
    let _ = server.cli(&["HSET", &layout().plans(), "text", newer]);
    let error = plans.load().await.unwrap_err();
    assert!(matches!(error, PlansError::Unreadable { revision: 1, .. }), "{error:?}");
    assert!(error.to_string().contains("(line 2): unknown field `price`"), "{error}");
    assert_eq!(plans.apply(BOTH, Some(1)).await.unwrap().revision, 2);
}

#[tokio::test]
async fn a_foreign_value_is_told_and_left_alone() {
    let (key, log) = (layout().plans(), layout().changes());
    for (damage, told) in [
        (vec!["SET", &key, "x"], &key),
        (vec!["HSET", &key, "revision", "x"], &key),
        (vec!["SET", &log, "x"], &log),
    ] {
        let server = RedisServer::start();
        let plans = plans(&server);
        let _ = server.cli(&damage);
        let before = server.cli(&["DUMP", told]);
        let blame = format!("Redis key `{told}`: ");
        let error = plans.apply(FREE, None).await.unwrap_err().to_string();
        assert!(error.contains(&blame), "{error}");
        if *told == key {
            let error = plans.load().await.unwrap_err().to_string();
            assert!(error.contains(&blame), "{error}");
        }
        assert_eq!(server.cli(&["DUMP", told]), before);
        assert_eq!(server.keys().len(), 1);
    }
    let server = RedisServer::start();
    let plans = plans(&server);
    let _ = server.cli(&["HSET", &layout().plans_in_use(), "free", "x"]);
    assert!(plans.in_use().await.unwrap_err().to_string().contains("plans-in-use"));
}

#[tokio::test]
async fn a_user_who_may_not_write_changes_nothing() {
    let server = RedisServer::start();
    let plans = plans(&server);
    let _ = server.cli(&["ACL", "SETUSER", "default", "-hset"]);
    let error = plans.apply(FREE, None).await.unwrap_err().to_string();
    assert!(error.contains("may not HSET"), "{error}");
    assert_eq!(server.keys(), Vec::<String>::new());
}

#[tokio::test]
async fn a_plan_is_in_use_while_a_key_of_it_is_not_revoked() {
    let server = RedisServer::start();
    let (plans, keys) = (plans(&server), RedisKeys::new(link(&server), layout(), WITHIN));
    let [one, two] = ["free", "pro"].map(|plan| record("acme", plan));
    let _ = keys.commit(&[one.clone(), two]).await.unwrap();
    let in_use = plans.in_use().await.unwrap();
    assert_eq!(
        in_use.iter().map(|(plan, count)| (plan.as_str(), *count)).collect::<Vec<_>>(),
        [("free", 1), ("pro", 1)]
    );
    let _ = keys.commit(&[changed(&one, |key| key.status = KeyStatus::Revoked)]).await.unwrap();
    let in_use = plans.in_use().await.unwrap();
    assert_eq!(in_use.keys().map(Name::as_str).collect::<Vec<_>>(), ["pro"]);
}
