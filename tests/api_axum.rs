//! What `api_axum` does without its Redis: it says so at start, and goes on where it can later.

// So that the lints that spare tests spare their helpers.
#![cfg(test)]

use std::{fs, thread, time::Duration};

use keygate_tests::{
    Answer, Api, Client, Ended, Keygate, PATIENCE, RedisOptions, RedisServer, free_port, now,
    unknown_live_key,
};
use rustix::process::Signal;

/// Asserts that it failed with one line that says all of this.
#[track_caller]
fn assert_failed(ended: &Ended, expected: &[&str]) {
    let Ended { status, stdout, stderr } = ended;
    assert_eq!((status.code(), stdout.as_str()), (Some(1), ""), "{stderr}");
    let line = stderr.strip_prefix("error: ").and_then(|line| line.strip_suffix('\n'));
    assert!(line.is_some_and(|line| !line.contains('\n')), "no line: {stderr}");
    for text in expected {
        assert!(stderr.contains(text), "lacks `{text}`: {stderr}");
    }
}

#[test]
fn a_wrong_url_is_told_with_its_variable_and_without_its_password() {
    for url in [
        "",
        "nonsense",
        "http://:hush@127.0.0.1:6379",
        "redis://:hush@127.0.0.1:port",
        "redis://:hush@127.0.0.1:6379/nine",
    ] {
        let ended = Api::axum(url).ended();
        assert_failed(&ended, &["KEYGATE_REDIS_URL: "]);
        assert!(!ended.stderr.contains("hush"), "{}", ended.stderr);
    }
}

#[test]
fn without_its_redis_it_does_not_start_and_says_why() {
    let nobody = format!("redis://:hush@127.0.0.1:{}", free_port());
    let ended = Api::axum(&nobody).ended();
    assert_failed(&ended, &["KEYGATE_REDIS_URL: ", "cannot be reached"]);
    assert!(!ended.stderr.contains("hush"), "{}", ended.stderr);

    let redis = RedisOptions::default().password("right").start();
    let ended = Api::axum(&redis.url().replace("right", "hush")).ended();
    assert_failed(&ended, &["KEYGATE_REDIS_URL: ", "refused user or password"]);
    assert!(!ended.stderr.contains("hush"), "{}", ended.stderr);
}

#[test]
fn a_wrong_setting_is_told_with_its_variable() {
    let redis = RedisServer::start();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("plans.toml");
    let named = format!("KEYGATE_PLANS: {}: ", file.display());
    let with_plans = || Api::axum(&redis.url()).env("KEYGATE_PLANS", &file);
    assert_failed(&with_plans().ended(), &[&named, "No such file"]);
    fs::write(&file, "[plans.free]\nlimits = [{ name = \"daily\", quota = 1 }]\n").unwrap();
    assert_failed(&with_plans().ended(), &[&named, "plan `free`, limit `daily`", "`per`"]);
    for text in ["0", "soon", "-1"] {
        let ended = Api::axum(&redis.url()).env("KEYGATE_DEADLINE_MS", text).ended();
        assert_failed(&ended, &[&format!("KEYGATE_DEADLINE_MS is `{text}`; give milliseconds")]);
    }
    for (name, text, told) in [
        ("KEYGATE_VISITORS", "two words", "KEYGATE_VISITORS: `two words`"),
        ("KEYGATE_TRUSTED_PROXIES", "balancer", "KEYGATE_TRUSTED_PROXIES: `balancer` is no range"),
        ("KEYGATE_PROXY_HEADER", "via", "KEYGATE_PROXY_HEADER is `via`; try x-forwarded-for or"),
        ("KEYGATE_SUBPROTOCOL", "a b", "KEYGATE_SUBPROTOCOL: subprotocol `a b`"),
    ] {
        assert_failed(&Api::axum(&redis.url()).env(name, text).ended(), &[told]);
    }
}

#[test]
fn replicas_that_start_together_with_one_file_of_plans_all_start() {
    let redis = RedisServer::start();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("plans.toml");
    fs::write(&file, "[plans.free]\n").unwrap();
    let start = || Api::axum(&redis.url()).env("KEYGATE_PLANS", &file).start();
    let replicas =
        thread::scope(|scope| [(); 3].map(|()| scope.spawn(start)).map(|it| it.join().unwrap()));
    let key = Keygate::at(&redis.url()).issue("acme", "free", &[]);
    for replica in replicas {
        assert_eq!(replica.client().get("/v1/echo", &key.text).status, 200);
    }
}

/// A rate, a quota, and neither.
const PLANS: &str = r#"
    [plans.rate]
    limits = [{ name = "burst", rate = "1/h", burst = 1000 }]
    [plans.quota]
    limits = [{ name = "monthly", quota = 1000, per = "month" }]
    [plans.none]
"#;

/// Asks until the answer is like this.
#[track_caller]
fn eventually(client: &mut Client, key: &str, is_it: impl Fn(&Answer) -> bool) -> Answer {
    let start = now();
    loop {
        let answer = client.get("/v1/echo", key);
        if is_it(&answer) {
            return answer;
        }
        assert!(now().duration_since(start) < PATIENCE, "it stays so: {answer:?}");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn while_redis_is_down_rates_are_open_quotas_closed_and_known_keys_known() {
    let mut redis = RedisServer::start();
    let keygate = Keygate::at(&redis.url());
    keygate.apply(PLANS);
    let keys = ["rate", "quota", "none"].map(|plan| keygate.issue(plan, plan, &[]).text);
    let [rate, quota, none] = keys.each_ref().map(String::as_str);
    // A Redis that is gone is told at once, however long one may take that is slow.
    let mut replica = Api::axum(&redis.url()).patient().start();
    let mut client = replica.client();
    for key in [rate, quota, none] {
        assert_eq!(client.get("/v1/echo", key).status, 200);
    }
    assert!(client.get("/v1/echo", rate).remaining("burst").is_some());
    client.get("/v1/echo", &unknown_live_key("1")).refused(401, "unknown_key");

    redis.kill();
    for _ in 0..30 {
        let answer = client.get("/v1/echo", rate);
        let told = (answer.field("ratelimit"), answer.field("ratelimit-policy"));
        assert_eq!((answer.status, told), (200, (None, None)), "{answer:?}");
        let answer = client.get("/v1/echo", quota);
        answer.refused(503, "limiter_unavailable");
        assert!(answer.retry_after() >= 1);
        assert_eq!(client.get("/v1/echo", none).status, 200);
    }
    for tail in ["2", "3"] {
        let answer = client.get("/v1/echo", &unknown_live_key(tail));
        answer.refused(503, "keys_unavailable");
        assert!(answer.retry_after() >= 1);
    }

    // It comes back with nothing in it: what is asked for again is the operator's to bring.
    redis.run();
    keygate.apply(PLANS);
    let key = keygate.issue("another", "quota", &[]).text;
    let counted = |answer: &Answer| answer.status == 200 && answer.remaining("monthly").is_some();
    eventually(&mut client, &key, counted);
    let is_unknown = |answer: &Answer| answer.status == 401;
    eventually(&mut client, &unknown_live_key("2"), is_unknown).refused(401, "unknown_key");
    let ended = replica.stop();
    assert_eq!((ended.status.code(), ended.stdout.lines().count()), (Some(0), 1), "{ended:?}");
    assert!(keys.iter().all(|key| !ended.stderr.contains(key)), "{}", ended.stderr);
}

/// Waits until the rate and the quota of these keys are counted.
#[track_caller]
fn are_counted(client: &mut Client, [rate, quota]: &[String; 2]) {
    for (key, limit) in [(rate, "burst"), (quota, "monthly")] {
        eventually(client, key, |answer| answer.remaining(limit).is_some());
    }
}

#[test]
fn a_redis_that_hangs_is_no_reason_to_hang() {
    let redis = RedisServer::start();
    let keygate = Keygate::at(&redis.url());
    keygate.apply(PLANS);
    let keys = ["rate", "quota"].map(|plan| keygate.issue(plan, plan, &[]).text);
    let replica = Api::axum(&redis.url()).start();
    let mut client = replica.client();
    // A busy machine may be late, too.
    are_counted(&mut client, &keys);
    redis.signal(Signal::STOP);
    for _ in 0..30 {
        let answer = client.get("/v1/echo", &keys[0]);
        assert_eq!((answer.status, answer.field("ratelimit")), (200, None), "{answer:?}");
        client.get("/v1/echo", &keys[1]).refused(503, "limiter_unavailable");
    }
    redis.signal(Signal::CONT);
    are_counted(&mut client, &keys);
}
