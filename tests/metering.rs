//! Metering: usage is what the clients saw, whatever happened to replicas and to Redis.

// So that the lints that spare tests spare their helpers.
#![cfg(test)]

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::Duration,
};

use keygate_tests::{
    Answer, Api, Call, Client, IssuedKey, Keygate, OnDrop, PATIENCE, Proxy, RedisServer, Replica,
    now, unknown_live_key,
};

/// Connections to each replica.
const EACH: usize = 2;

/// How long Redis is out of reach of one replica.
const CUT: Duration = Duration::from_secs(5);

/// A quota that is never full, which answers 503 without Redis, and a rate that is full all the time.
const PLANS: &str = r#"
    [plans.wide]
    scopes = ["search:*"]
    limits = [{ name = "monthly", quota = 1000000000, per = "month" }]
    [plans.narrow]
    limits = [{ name = "burst", rate = "5/s", burst = 5 }]
"#;

/// How many requests of each consumer, or of nobody, ended in such a way: `admitted:success`, or
/// `denied:` and the reason.
type Tally = BTreeMap<(&'static str, String), u64>;

/// The consumers, each with one key.
struct Keys {
    wide: IssuedKey,
    narrow: IssuedKey,
    revoked: IssuedKey,
}

impl Keys {
    #[track_caller]
    fn issue(keygate: &Keygate) -> Self {
        let issue = |consumer, plan| keygate.issue(consumer, plan, &["search:*"]);
        let (wide, narrow) = (issue("wide", "wide"), issue("narrow", "narrow"));
        let revoked = issue("revoked", "wide");
        keygate.revoke(&revoked);
        Self { wide, narrow, revoked }
    }

    /// A call of each sort, with the consumer of its key.
    fn calls(&self, unknown: usize) -> [(&'static str, Call); 9] {
        let echo = || Call::get("/v1/echo");
        [
            ("wide", echo().key(&self.wide.text)),
            ("wide", Call::get("/v1/search").key(&self.wide.text)),
            ("wide", Call::post("/v1/search").key(&self.wide.text)),
            ("wide", Call::post("/v1/orders").key(&self.wide.text)),
            ("narrow", echo().key(&self.narrow.text)),
            ("revoked", echo().key(&self.revoked.text)),
            ("nobody", echo()),
            ("nobody", echo().key("kg_test_nonsense")),
            ("nobody", echo().key(&unknown_live_key(&unknown.to_string()))),
        ]
    }
}

/// What one client saw.
#[derive(Default)]
struct Seen {
    tally: Tally,
    unanswered: u64,
}

impl Seen {
    fn send(&mut self, client: &mut Client, consumer: &'static str, call: Call) {
        match client.try_send(call) {
            Ok(answer) => {
                let outcome = outcome(&answer);
                // Whose key it is stays unknown, too.
                let consumer =
                    if outcome == "denied:keys_unavailable" { "nobody" } else { consumer };
                *self.tally.entry((consumer, outcome)).or_default() += 1;
            }
            Err(_) => {
                self.unanswered += 1;
                thread::sleep(Duration::from_millis(5));
            }
        }
    }

    fn with(mut self, other: Self) -> Self {
        for (outcome, requests) in other.tally {
            *self.tally.entry(outcome).or_default() += requests;
        }
        self.unanswered += other.unanswered;
        self
    }
}

/// How usage calls what this answer says.
#[track_caller]
fn outcome(answer: &Answer) -> String {
    let by_gate = answer.field("content-type") == Some("application/problem+json");
    match answer.status {
        200 => "admitted:success".to_owned(),
        405 => "admitted:client_error".to_owned(),
        _ if by_gate => format!("denied:{}", answer.json()["code"].as_str().unwrap()),
        _ => panic!("{answer:?}"),
    }
}

/// Sends calls of all sorts, again and again, until it is over.
fn load(mut client: Client, keys: &Keys, number: usize, over: &AtomicBool) -> Seen {
    let mut seen = Seen::default();
    // Above all that other threads reach.
    let mut unknown = number * 1_000_000;
    while !over.load(Relaxed) {
        for (consumer, call) in keys.calls(unknown) {
            seen.send(&mut client, consumer, call);
        }
        unknown += 1;
    }
    seen
}

/// Calls until the quota is counted again.
fn recovered(client: &mut Client, keys: &Keys) -> Seen {
    let (mut seen, start) = (Seen::default(), now());
    let counted = ("wide", "admitted:success".to_owned());
    while !seen.tally.contains_key(&counted) {
        assert!(now().duration_since(start) < PATIENCE, "the replica does not recover");
        seen.send(client, "wide", Call::get("/v1/echo").key(&keys.wide.text));
        thread::sleep(Duration::from_millis(20));
    }
    seen
}

/// What usage says of these consumers, by the minute, and what their requests cost.
#[track_caller]
fn metered(keygate: &Keygate) -> (Tally, BTreeMap<&'static str, u64>) {
    let (mut tally, mut costs) = (Tally::new(), BTreeMap::new());
    for consumer in ["wide", "narrow", "revoked"] {
        for rollup in keygate.usage(consumer) {
            let [outcome, detail] = ["outcome", "detail"].map(|it| rollup[it].as_str().unwrap());
            let outcome = format!("{outcome}:{detail}");
            *tally.entry((consumer, outcome)).or_default() += rollup["requests"].as_u64().unwrap();
            *costs.entry(consumer).or_default() += rollup["cost"].as_u64().unwrap();
        }
    }
    (tally, costs)
}

/// Adds the requests without a known key. The command shows none of them, so they are read as they
/// lie in Redis: `key|operation|outcome`, then requests, cost and latency.
#[track_caller]
fn add_nobody(tally: &mut Tally, redis: &RedisServer) {
    let minutes = "keygate:usage:{~}:minute:";
    for bucket in redis.keys().iter().filter(|key| key.starts_with(minutes)) {
        let told = redis.cli(&["hgetall", bucket]);
        let lines: Vec<_> = told.lines().collect();
        for pair in lines.chunks(2) {
            let outcome = pair[0].rsplit('|').next().unwrap().to_owned();
            let requests: u64 = pair[1].split(' ').next().unwrap().parse().unwrap();
            *tally.entry(("nobody", outcome)).or_default() += requests;
        }
    }
}

/// One replica is restarted, and Redis is out of reach of another for a while.
#[track_caller]
fn trouble(restarted: &mut Replica, proxy: &Proxy, served: &mut Client, keys: &Keys) -> Seen {
    let seen = recovered(served, keys);
    proxy.cut();
    let begun = now();
    let ended = restarted.stop();
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    restarted.run();
    thread::sleep(CUT.saturating_sub(now().duration_since(begun)));
    proxy.mend();
    seen.with(recovered(served, keys))
}

#[test]
fn usage_is_what_clients_saw_though_a_replica_restarts_and_redis_is_cut_off() {
    let redis = RedisServer::start();
    let proxy = Proxy::before(redis.port());
    let keygate = Keygate::at(&redis.url());
    keygate.apply(PLANS);
    let keys = Keys::issue(&keygate);
    let behind_proxy = format!("redis://127.0.0.1:{}", proxy.port());
    let urls = [redis.url(), behind_proxy, redis.url()];
    let mut replicas = urls.map(|url| Api::axum(&url).start());

    let over = AtomicBool::new(false);
    let seen = thread::scope(|scope| {
        let clients = (0..3 * EACH).map(|number| (number, replicas[number % 3].client()));
        let load = |(number, client)| {
            scope.spawn({
                let (keys, over) = (&keys, &over);
                move || load(client, keys, number + 1, over)
            })
        };
        let loads: Vec<_> = clients.map(load).collect();
        let _over = OnDrop(|| over.store(true, Relaxed));
        let mut served = replicas[1].client();
        let seen = trouble(&mut replicas[0], &proxy, &mut served, &keys);
        over.store(true, Relaxed);
        loads.into_iter().map(|load| load.join().unwrap()).fold(seen, Seen::with)
    });
    for replica in &mut replicas {
        let ended = replica.stop();
        assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    }

    let (mut metered, costs) = metered(&keygate);
    add_nobody(&mut metered, &redis);
    let aborted: u64 = ["wide", "narrow", "revoked", "nobody"]
        .into_iter()
        .filter_map(|consumer| metered.remove(&(consumer, "aborted:".to_owned())))
        .sum();
    println!("{:?}; {} unanswered, {aborted} aborted", seen.tally, seen.unanswered);
    assert_eq!(metered, seen.tally);
    assert!(aborted <= seen.unanswered, "{aborted} of {}", seen.unanswered);
    for (consumer, cost) in costs {
        let admitted = seen.tally.iter().filter_map(|((of, outcome), requests)| {
            (*of == consumer && outcome.starts_with("admitted")).then_some(requests)
        });
        let admitted: u64 = admitted.sum();
        assert_eq!(cost, admitted, "every call of {consumer} weighs one");
    }
    let seen_of = |outcome: &str| seen.tally.keys().any(|(_, it)| it == outcome);
    for outcome in [
        "admitted:success",
        "admitted:client_error",
        "denied:insufficient_scope",
        "denied:rate_limited",
        "denied:revoked_key",
        "denied:missing_key",
        "denied:malformed_key",
        "denied:unknown_key",
        "denied:limiter_unavailable",
        "denied:keys_unavailable",
    ] {
        assert!(seen_of(outcome), "nobody saw {outcome}");
    }
}
