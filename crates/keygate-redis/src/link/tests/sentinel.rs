//! A master behind Sentinels.

use deadpool_redis::sentinel::{Manager, Pool, SentinelServerType};
use keygate_tests::{RedisOptions, RedisSentinel};

use super::*;

#[tokio::test]
async fn after_a_fail_over_the_new_master_is_reached() {
    let mut sentinel = RedisSentinel::of(2, RedisOptions::default().password("hush"));
    let link = link(&sentinel.url());
    counted(&link, "a", AMPLE).await.unwrap();
    let old = sentinel.master();
    sentinel.kill(old);
    let (_, took) = soon(|| counted(&link, "after", AMPLE)).await;
    let new = sentinel.wait_for_another_than(old);
    assert_eq!(sentinel.servers()[new].cli(&["get", "after"]), "1");
    println!("reached the new master after {took:?}");
}

#[tokio::test]
async fn a_master_that_was_frozen_meanwhile_is_left() {
    let sentinel = RedisSentinel::start();
    let link = link(&sentinel.url());
    counted(&link, "a", AMPLE).await.unwrap();
    let old = sentinel.master();
    sentinel.servers()[old].signal(rustix::process::Signal::STOP);
    let (_, took) = soon(|| counted(&link, "after", Duration::from_millis(50))).await;
    sentinel.servers()[old].signal(rustix::process::Signal::CONT);
    let new = sentinel.wait_for_another_than(old);
    assert_eq!(sentinel.servers()[new].cli(&["get", "after"]), "1");
    println!("left the frozen master after {took:?}");
}

#[tokio::test]
async fn a_master_that_became_a_replica_is_left() {
    let sentinel = RedisSentinel::start();
    let link = link(&sentinel.url());
    counted(&link, "a", AMPLE).await.unwrap();
    let old = sentinel.master();
    sentinel.fail_over();
    let new = sentinel.wait_for_another_than(old);
    // Until the Sentinels tell it, the old one still takes what it will lose.
    let arrived = || async {
        counted(&link, "after", Duration::from_millis(50)).await.map_err(|fault| fault.kind())?;
        let seen = sentinel.servers()[new].cli(&["get", "after"]);
        if seen.is_empty() { Err(FaultKind::NotMaster) } else { Ok(()) }
    };
    soon(arrived).await;
}

#[tokio::test]
async fn two_sentinels_are_as_good_as_three() {
    let mut sentinel = RedisSentinel::start();
    sentinel.kill_sentinel(0);
    let link = link(&sentinel.url());
    assert_eq!(counted(&link, "a", AMPLE).await.unwrap(), 1);
}

#[tokio::test]
async fn an_unknown_master_is_no_connection() {
    let sentinel = RedisSentinel::of(0, RedisOptions::default());
    let link = link(&sentinel.url().replace("/main", "/other"));
    assert_eq!(kind(counted(&link, "a", AMPLE).await), FaultKind::Connection);
}

#[tokio::test]
async fn a_pool_of_the_users_own_is_taken() {
    let sentinel = RedisSentinel::of(0, RedisOptions::default());
    let urls = sentinel.sentinel_urls();
    let manager = Manager::new(urls, "main".to_owned(), None, SentinelServerType::Master).unwrap();
    let link = Link::new(Pool::builder(manager).build().unwrap());
    assert_eq!(counted(&link, "a", AMPLE).await.unwrap(), 1);
}
