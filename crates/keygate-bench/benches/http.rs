//! Requests over sockets: what stands in front of a route costs how many of them.
//!
//! The server has the first processor for itself, `wrk` and Redis share the second. Run on fewer, or
//! without `wrk` and `taskset`, it fails.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

use keygate::NewKey;
use keygate_bench::harness::{Options, Report};
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

const SERVERS: &str = "0";
const LOAD: &str = "1";
const CONNECTIONS: &str = "64";
const SECONDS: &str = "2";
const TARGET: f64 = 1.0;

const BARE: &str = "bare route";
const BY_HAND: &str = "one rate by hand, on Redis";
const KEYGATE: &str = "keygate on Redis (api_axum)";
const MEMORY: &str = "keygate in memory";

fn main() {
    let mut report = Report::new("http", Options::from_args());
    let redis = RedisServer::start();
    pin(&redis.cli(&["info", "server"]));
    let key = prepare(&redis);
    let own = env!("CARGO_BIN_EXE_serve");
    let (memory, issued) = started(Command::new("taskset").args(["-c", SERVERS, own, "memory"]));
    let by_hand = ["-c", SERVERS, own, "by-hand", &redis.url()];
    let contenders = [
        (BARE, started(Command::new("taskset").args(["-c", SERVERS, own, "bare"])).0, "none"),
        (BY_HAND, started(Command::new("taskset").args(by_hand)).0, key.as_str()),
        (KEYGATE, example(&redis), key.as_str()),
        (MEMORY, memory, issued.as_str()),
    ];
    let mut taken: Vec<Vec<f64>> = vec![Vec::new(); contenders.len()];
    for turn in 0..report.rounds().div_ceil(8) {
        for place in 0..contenders.len() {
            let place = (place + turn) % contenders.len();
            let (_, server, key) = &contenders[place];
            taken[place].push(requests_a_second(&server.address, key));
        }
    }
    tell(&mut report, &contenders.map(|(name, ..)| name), &mut taken);
    report.finish();
}

fn tell(report: &mut Report, names: &[&str], taken: &mut [Vec<f64>]) {
    taken.iter_mut().for_each(|taken| taken.sort_by(f64::total_cmp));
    let median = |taken: &Vec<f64>| taken[taken.len() / 2];
    report.say(&format!("{:30}  {:>9}  {:>9}  {:>7}", "requests", "a second", "at most", "share"));
    let medians: Vec<f64> = taken.iter().map(median).collect();
    for (place, name) in names.iter().enumerate() {
        let (median, most) = (medians[place], taken[place].last().expect("a run"));
        let share = median / medians[0];
        report.say(&format!("{name:30}  {median:>9.0}  {most:>9.0}  {share:>7.2}"));
        report.note(name, median);
    }
    let what = "requests by hand to those of keygate on Redis";
    report.target(what, medians[1] / medians[2], TARGET);
}

/// A server, ended by its id.
struct Server {
    process: Child,
    address: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Starts a server that prints its address, and perhaps a key.
fn started(command: &mut Command) -> (Server, String) {
    let mut process = command.stdout(Stdio::piped()).spawn().expect("the server starts");
    let mut line = String::new();
    let mut told = BufReader::new(process.stdout.take().expect("piped"));
    told.read_line(&mut line).expect("the server says where it listens");
    let line = line.trim().trim_start_matches("listening on http://");
    let (address, key) = line.split_once(' ').unwrap_or((line, ""));
    (Server { process, address: address.to_owned() }, key.to_owned())
}

/// The example, as it is shipped.
fn example(redis: &RedisServer) -> Server {
    let build = ["build", "--release", "--package", "keygate-examples", "--bin", "api_axum"];
    let built = Command::new(env!("CARGO")).args(build).status().expect("cargo starts");
    assert!(built.success(), "cargo cannot build the example");
    let own = std::path::Path::new(env!("CARGO_BIN_EXE_serve"));
    let example = own.with_file_name("api_axum");
    let mut command = Command::new("taskset");
    command.args(["-c", SERVERS]).arg(example);
    command.env("KEYGATE_REDIS_URL", redis.url()).env("KEYGATE_ADDR", "127.0.0.1:0");
    started(&mut command).0
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

fn pin(info: &str) {
    let process = info.lines().find_map(|line| line.trim().strip_prefix("process_id:"));
    let process = process.expect("Redis knows its id");
    let pinned = Command::new("taskset").args(["-a", "-p", "-c", LOAD, process]).output();
    assert!(pinned.expect("taskset is installed").status.success(), "Redis stays where it is");
}

fn requests_a_second(address: &str, key: &str) -> f64 {
    let url = format!("http://{address}/v1/search");
    let header = format!("Authorization: Bearer {key}");
    let wrk = ["-c", LOAD, "wrk", "-t", "1", "-c", CONNECTIONS, "-d", SECONDS, "-H", &header, &url];
    let told = Command::new("taskset").args(wrk).output().expect("wrk is installed").stdout;
    let told = String::from_utf8(told).expect("wrk speaks UTF-8");
    let after = |words| {
        let figure = told.lines().find_map(|line: &str| line.trim().strip_prefix(words));
        figure.and_then(|figure| figure.trim().parse::<f64>().ok())
    };
    let (all, seconds): (f64, f64) =
        (after("Requests/sec:").expect("a figure"), SECONDS.parse().expect("a number"));
    // On a busy machine a decision may come too late: the policy of its limits then refuses it, which
    // is no request served.
    let refused = after("Non-2xx or 3xx responses:").unwrap_or(0.0) / seconds;
    assert!(refused <= all / 100.0, "{url} refuses:\n{told}");
    all - refused
}
