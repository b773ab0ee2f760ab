//! One server, in all the ways to reach it.

use std::sync::Arc;

use deadpool_redis::{Manager, Pool, Runtime};
use keygate_tests::{RedisOptions, RedisServer};

use super::*;

#[tokio::test]
async fn commands_and_scripts_are_answered() {
    let server = RedisServer::start();
    let link = link(&server.url());
    assert_eq!(counted(&link, "a", AMPLE).await.unwrap(), 1);
    assert_eq!(scripted(&link, &counting(), "a", AMPLE).await.unwrap(), 2);
}

#[tokio::test]
async fn a_database_of_its_own_by_a_unix_socket() {
    let server = RedisServer::start();
    let link = link(&format!("redis+unix://{}?db=3", server.socket().display()));
    assert_eq!(counted(&link, "a", AMPLE).await.unwrap(), 1);
    assert_eq!(server.cli(&["-n", "3", "get", "a"]), "1");
}

#[tokio::test]
async fn a_user_with_a_password_that_needs_encoding() {
    let options = RedisOptions::default().user("counter", "p@ss:w/rd", "~* +@all");
    let server = options.start();
    let url = format!("redis://counter:p%40ss%3Aw%2Frd@127.0.0.1:{}", server.port());
    assert_eq!(counted(&link(&url), "a", AMPLE).await.unwrap(), 1);
}

#[tokio::test]
async fn tls_trusts_the_given_root_and_no_other() {
    let server = RedisOptions::default().password("hush").tls().start();
    let address = Address::parse(&server.url()).unwrap();
    let trusting = address.clone().with_root_certificates(server.root_certificate());
    let link = Link::to(&trusting).unwrap();
    assert_eq!(counted(&link, "a", AMPLE).await.unwrap(), 1);

    let mistrusting = Link::to(&address).unwrap();
    assert_eq!(kind(counted(&mistrusting, "a", AMPLE).await), FaultKind::Connection);
}

#[test]
fn root_certificates_must_be_some_and_of_use() {
    let with = |url: &str, pem: &str| {
        Link::to(&Address::parse(url).unwrap().with_root_certificates(pem)).map(|_| ())
    };
    let broken = "-----BEGIN CERTIFICATE-----\nnone\n-----END CERTIFICATE-----\n";
    assert!(with("rediss://localhost", broken).is_err());
    assert!(with("redis://localhost", "").is_err());
}

#[tokio::test]
async fn a_pool_of_the_users_own_gives_one_connection() {
    let server = RedisServer::start();
    let manager = Manager::new(server.url()).unwrap();
    let pool = Pool::builder(manager).runtime(Runtime::Tokio1).build().unwrap();
    let link = Link::new(pool);
    for turn in 1..=3 {
        assert_eq!(counted(&link, "a", AMPLE).await.unwrap(), turn);
    }
    assert_eq!(server.cli(&["client", "list", "type", "normal"]).lines().count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn scripts_survive_that_the_server_forgets_them() {
    let server = RedisServer::start();
    let (link, script) = (Arc::new(link(&server.url())), Arc::new(counting()));
    let callers: Vec<_> = (0..8)
        .map(|_| {
            let (link, script) = (Arc::clone(&link), Arc::clone(&script));
            tokio::spawn(async move {
                for _ in 0..200 {
                    scripted(&link, &script, "a", AMPLE).await.unwrap();
                }
            })
        })
        .collect();
    while !callers.iter().all(tokio::task::JoinHandle::is_finished) {
        assert_eq!(server.cli(&["script", "flush"]), "OK");
        tokio::task::yield_now().await;
    }
    for caller in callers {
        caller.await.unwrap();
    }
    assert_eq!(server.cli(&["get", "a"]), "1600");
}

#[tokio::test]
async fn what_it_started_ends_with_it() {
    let server = RedisServer::start();
    let link = link(&server.url());
    counted(&link, "a", AMPLE).await.unwrap();
    drop(link);
    let others = || async {
        let clients = server.cli(&["client", "list", "type", "normal"]).lines().count();
        if clients == 1 { Ok(()) } else { Err(clients) }
    };
    soon(others).await;
}
