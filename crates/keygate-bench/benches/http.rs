//! Requests over sockets, decided on Redis: the example as it is shipped, a limit by hand, and no store.

use std::{path::Path, process::Command};

use keygate::NewKey;
use keygate_bench::{
    harness::{Options, Report},
    load::{Contender, Server, pin_to_load, take_turns},
};
use keygate_redis::RedisStore;
use keygate_tests::RedisServer;
use tokio::runtime::Runtime;

/// Three limits that nobody reaches.
const PLANS: &str = r#"
[plans.pro]
scopes = ["search:*"]
limits = [
    { name = "burst", rate = "100/s", burst = 900_000_000 },
    { name = "daily", quota = 1_000_000_000_000, per = "day", zone = "Europe/Paris" },
    { name = "monthly", quota = 30_000_000_000_000, per = "month", anchor = 15 },
]
"#;

const TARGET: f64 = 1.0;
const FIELDS: &[&str] = &["ratelimit", "ratelimit-policy"];

fn main() {
    let mut report = Report::new("http", Options::from_args());
    let redis = RedisServer::start();
    pin_to_load(&process(&redis));
    let key = prepare(&redis);
    let memory = serve(&["keygate"]);
    let issued = memory.key.clone();
    let (by_hand, example) = (serve(&["by-hand", &redis.url()]), example(&redis));
    let contenders = [
        ("bare route", serve(&["bare"]), &key, &[] as &[_]),
        ("one rate by hand, on Redis", by_hand, &key, &["x-ratelimit-remaining"]),
        ("keygate on Redis (api_axum)", example, &key, FIELDS),
        ("keygate in memory", memory, &issued, FIELDS),
    ];
    let contenders = contenders.map(|(name, server, key, fields)| {
        let key = key.clone();
        Contender { name, server, key, fields }
    });
    let taken = take_turns(&mut report, "requests", &contenders);
    let what = "requests by hand to those of keygate on Redis";
    report.target(what, taken[1].rate / taken[2].rate, TARGET);
    report.finish();
}

fn serve(what: &[&str]) -> Server {
    Server::start(Command::new(env!("CARGO_BIN_EXE_serve")).arg("axum").args(what))
}

/// The example, as it is shipped.
fn example(redis: &RedisServer) -> Server {
    let build = ["build", "--release", "--package", "keygate-examples", "--bin", "api_axum"];
    let built = Command::new(env!("CARGO")).args(build).status().expect("cargo starts");
    assert!(built.success(), "cargo cannot build the example");
    let example = Path::new(env!("CARGO_BIN_EXE_serve")).with_file_name("api_axum");
    let mut command = Command::new(example);
    command.env("KEYGATE_REDIS_URL", redis.url()).env("KEYGATE_ADDR", "127.0.0.1:0");
    Server::start(&command)
}

/// Applies the plans, and issues a key.
fn prepare(redis: &RedisServer) -> String {
    let runtime = Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let store = RedisStore::connect(&redis.url()).await.expect("a store");
        store.stored_plans().apply(PLANS, None).await.expect("applied");
        let plans = keygate::Plans::from_toml(PLANS).expect("plans");
        let gate = keygate::Gate::builder(plans).keys(store.keys()).counters(store.counters());
        let gate = gate.usage(store.usage()).build().expect("a gate");
        let new = NewKey::new("cus_0000000000", "pro").scopes(["search:read"]);
        gate.keyring().issue(new).await.expect("a key").key.expose().to_owned()
    })
}

fn process(redis: &RedisServer) -> String {
    let info = redis.cli(&["info", "server"]);
    let process = info.lines().find_map(|line| line.trim().strip_prefix("process_id:"));
    process.expect("Redis knows its id").to_owned()
}
