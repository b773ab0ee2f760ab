//! One API in two frameworks: clients cannot tell them apart by what keygate has a say in.

// So that the lints that spare tests spare their helpers.
#![cfg(test)]

use std::{collections::BTreeMap, thread};

use keygate_tests::{Answer, Api, Call, Client, IssuedKey, Keygate, RedisServer, Replica};

const PLANS: &str = r#"
    [plans.pro]
    scopes = ["search:*", "orders:*"]
    limits = [
      { name = "daily", quota = 40, per = "day" },
      { name = "search", rate = "1/h", burst = 3, operations = ["search"], partition = "key" },
    ]
    [plans.free]
    scopes = ["search:*"]
    limits = [{ name = "daily", quota = 40, per = "day" }]
"#;

/// The frameworks' own: they are told differently, or only by one of them.
const THEIRS: [&str; 3] = ["date", "allow", "connection"];

/// What both must say: all but the passing of time, and who it was said to.
fn comparable(answer: &Answer, issued: &IssuedKey) -> (u16, BTreeMap<String, Vec<String>>, String) {
    let mut fields: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in &answer.headers {
        if !THEIRS.contains(&name.as_str()) {
            let told = timeless(value.to_str().unwrap());
            fields.entry(name.to_string()).or_default().push(told);
        }
    }
    if let Some(seconds) = fields.get_mut("retry-after") {
        assert!(answer.retry_after() >= 1);
        seconds.clear();
    }
    let body = String::from_utf8(answer.body.clone()).unwrap();
    let body = body.replace(&issued.id, "key_…").replace("-b\"", "-a\"");
    (answer.status, fields, body)
}

/// Without the times after which more becomes available.
fn timeless(field: &str) -> String {
    let items = field.split(", ").map(|item| item.split(";t=").next().unwrap());
    items.collect::<Vec<_>>().join(", ")
}

/// Sends the same to both, each with a key of its own.
struct Both {
    clients: [Client; 2],
    keys: [IssuedKey; 2],
}

impl Both {
    fn of(replicas: &[Replica; 2], keygate: &Keygate, plan: &str) -> Self {
        let scopes: &[&str] = if plan == "pro" { &["search:*", "orders:*"] } else { &["search:*"] };
        // Names of one length, so that answers have one, too.
        let keys = ["a", "b"].map(|one| keygate.issue(&format!("{plan}-{one}"), plan, scopes));
        Self { clients: replicas.each_ref().map(Replica::client), keys }
    }

    #[track_caller]
    fn say_the_same(&mut self, call: impl Fn(&str) -> Call) -> u16 {
        let [axum, actix] = [0, 1].map(|at| {
            let issued = &self.keys[at];
            comparable(&self.clients[at].send(call(&issued.text)), issued)
        });
        assert_eq!(axum, actix);
        axum.0
    }
}

/// Header fields to send.
type Fields<'f> = &'f [(&'f str, &'f str)];

#[test]
fn two_frameworks_answer_the_same() {
    let redis = RedisServer::start();
    let keygate = Keygate::at(&redis.url());
    keygate.apply(PLANS);
    let start = |api: Api| api.patient().start();
    let replicas = thread::scope(|scope| {
        let programs = [Api::axum(&redis.url()), Api::actix(&redis.url())];
        programs.map(|api| scope.spawn(move || start(api))).map(|it| it.join().unwrap())
    });

    let mut pro = Both::of(&replicas, &keygate, "pro");
    for (method, path, expected) in [
        ("GET", "/healthz", 200),
        ("HEAD", "/healthz", 200),
        ("POST", "/healthz", 405),
        ("GET", "/v1/echo", 200),
        ("HEAD", "/v1/echo", 200),
        ("OPTIONS", "/v1/echo", 405),
        ("POST", "/v1/echo", 405),
        ("GET", "/v1/echo/", 404),
        ("GET", "/nothing", 404),
        ("GET", "/v1/search?q=a%20b%C3%A9", 200),
        ("HEAD", "/v1/search", 200),
        ("POST", "/v1/orders", 200),
        ("GET", "/v1/orders", 405),
        ("GET", "/v1/search", 200),
        ("GET", "/v1/search", 429),
    ] {
        let status = pro.say_the_same(|key| Call::new(method, path).key(key));
        assert_eq!(status, expected, "{method} {path}");
        let expected = if path == "/healthz" { expected } else { 401 };
        let status = pro.say_the_same(|_| Call::new(method, path));
        assert_eq!(status, expected, "{method} {path} without a key");
    }
    let shop = ("origin", "https://shop.example");
    let echo = "/v1/echo";
    let unwelcome: [(&str, Fields<'_>, u16); 6] = [
        (echo, &[("x-api-key", "kg_live_nonsense")], 401),
        (echo, &[("authorization", "Basic YTpi")], 401),
        ("/v1/echo?api_key=mine", &[], 401),
        (echo, &[("authorization", "Bearer a"), ("x-api-key", "b")], 400),
        (echo, &[("x-api-key", "a"), ("x-api-key", "a")], 400),
        (echo, &[shop], 401),
    ];
    for (path, headers, expected) in unwelcome {
        let call = |_: &str| {
            headers.iter().fold(Call::get(path), |call, (name, value)| call.header(name, value))
        };
        assert_eq!(pro.say_the_same(call), expected, "{path} {headers:?}");
    }
    let crossing = |key: &str| Call::get(echo).key(key).header(shop.0, shop.1);
    assert_eq!(pro.say_the_same(crossing), 200);
    let preflight = |_: &str| {
        let call = Call::new("OPTIONS", "/v1/orders").header(shop.0, shop.1);
        call.header("access-control-request-method", "POST")
    };
    assert_eq!(pro.say_the_same(preflight), 405);
    let order = |key: &str| Call::post("/v1/orders").key(key).body("{\"item\":7}");
    while pro.say_the_same(order) == 200 {}
    assert_eq!(pro.say_the_same(order), 429);

    let mut free = Both::of(&replicas, &keygate, "free");
    assert_eq!(free.say_the_same(|key| Call::post("/v1/orders").key(key)), 403);
    assert_eq!(free.say_the_same(|key| Call::get("/nothing").key(key)), 404);
}

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
