//! What the API in actix-web does besides answering: that is told by the table of the wire.

// So that the lints that spare tests spare their helpers.
#![cfg(test)]

use keygate_tests::{Api, Call, Keygate, RedisServer};

const PLANS: &str = r#"
    [plans.pro]
    scopes = ["orders:*"]
    limits = [{ name = "daily", quota = 40, per = "day" }]
"#;

#[test]
fn the_api_in_actix_web_ends_when_asked_to_and_leaves_its_usage_in_redis() {
    let redis = RedisServer::start();
    let keygate = Keygate::at(&redis.url());
    keygate.apply(PLANS);
    let issued = keygate.issue("acme", "pro", &["orders:*"]);
    let mut replica = Api::actix(&redis.url()).patient().start();
    let mut client = replica.client();
    for _ in 0..3 {
        assert_eq!(client.send(Call::post("/v1/orders").key(&issued.text)).status, 200);
    }
    let ended = replica.stop();
    assert_eq!((ended.status.code(), ended.stdout.lines().count()), (Some(0), 1), "{ended:?}");
    assert!(!ended.stderr.contains(&issued.text), "{}", ended.stderr);
    let usage = keygate.usage("acme");
    assert_eq!(
        usage.iter().map(|it| it["requests"].as_u64().unwrap()).sum::<u64>(),
        3,
        "{usage:?}"
    );
}
