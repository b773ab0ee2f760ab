//! A master behind Sentinels.

use deadpool_redis::sentinel::{Manager, Pool, SentinelServerType};
use keygate_tests::{RedisOptions, RedisSentinel};

use super::*;

/// How long a master that is to be replaced is silent before it is: longer than a busy machine is.
const SILENCE: Duration = Duration::from_secs(2);

#[tokio::test]
async fn after_a_fail_over_the_new_master_is_reached() {
    let options = RedisOptions::default().password("hush");
    let mut sentinel = RedisSentinel::of(2, options).noticing_after(SILENCE);
    let link = link(&sentinel.url());
    counted(&link, "a", AMPLE).await.unwrap();
    let old = sentinel.master();
    sentinel.kill(old);
    let (_, took) = soon(|| counted(&link, "after", AMPLE)).await;
    println!("reached the new master after {took:?}");
    reaches_another_master(&link, &sentinel, old).await;
}

#[tokio::test]
async fn a_master_that_was_frozen_meanwhile_is_left() {
    let sentinel = RedisSentinel::start().noticing_after(SILENCE);
    let link = link(&sentinel.url());
    counted(&link, "a", AMPLE).await.unwrap();
    let old = sentinel.master();
    sentinel.servers()[old].signal(rustix::process::Signal::STOP);
    let (_, took) = soon(|| counted(&link, "after", Duration::from_millis(50))).await;
    println!("left the frozen master after {took:?}");
    sentinel.servers()[old].signal(rustix::process::Signal::CONT);
    reaches_another_master(&link, &sentinel, old).await;
}

#[tokio::test]
async fn a_master_that_became_a_replica_is_left() {
    let sentinel = RedisSentinel::start();
    let link = link(&sentinel.url());
    counted(&link, "a", AMPLE).await.unwrap();
    let old = sentinel.master();
    sentinel.fail_over();
    reaches_another_master(&link, &sentinel, old).await;
}

/// Counts until it shows at the master. The old one may still take what it will lose, and so may any
/// other between them: a busy machine can make the Sentinels choose more than once.
async fn reaches_another_master(link: &Link, sentinel: &RedisSentinel, old: usize) {
    sentinel.wait_for_another_than(old);
    let arrived = || async {
        let count = counted(link, "after", AMPLE).await.map_err(|fault| fault.kind())?;
        let shown = sentinel.servers()[sentinel.master()].cli(&["get", "after"]);
        if shown == count.to_string() { Ok(()) } else { Err(FaultKind::NotMaster) }
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
