//! What the server does for a decision: which commands, and how long.

use std::{collections::BTreeMap, fmt::Write};

use keygate_bench::{
    by_hand::{GCRA, connect, load},
    harness::Report,
};
use keygate_tests::RedisServer;
use redis::{aio::MultiplexedConnection, cmd};
use tokio::task::JoinSet;

use crate::contender::Contender;

const DECISIONS: usize = 10_000;
const AT_ONCE: usize = 16;
const SUBJECTS: usize = 1000;
const TARGET: f64 = 6.0;

/// The least that any exact limit does: read the time and the value, write the value.
const FLOOR: &str = "redis.call('TIME') redis.call('GET', KEYS[1]) \
    redis.call('SET', KEYS[1], ARGV[1], 'PXAT', '99999999999999') return 1";

/// A rate and two quotas, with nothing that makes them plans: no names, versions, kinds, other limits
/// or memory of what was seen, and one cost.
const FIXED: &str = r"
local time = redis.call('TIME') local now = time[1] * 1000000 + time[2]
local value = redis.call('GET', KEYS[1])
local at, part, day, days, month, months = 0, 0, 0, 0, 0, 0
if value then at, part, day, days, month, months = struct.unpack('>I8I4I8I8I8I8', value) end
local pace, unit, burst, most_a_day, this_day, tomorrow, most_a_month, this_month, next_month =
  struct.unpack('>I8I8I8I8I8I8I8I8I8', ARGV[1])
local ahead = at - now
if ahead < 0 then ahead = 0 part = 0 end
local level, capacity = ahead * pace + part + unit, burst * unit
if day ~= this_day then days = 0 end
if month ~= this_month then months = 0 end
local fits = level <= capacity and days < most_a_day and months < most_a_month
if fits then
  part = level % pace days = days + 1 months = months + 1
  redis.call('SET', KEYS[1],
    struct.pack('>I8I4I8I8I8I8', now + (level - part) / pace, part, this_day, days, this_month, months),
    'PXAT', string.format('%.0f', next_month / 1000))
end
return struct.pack('>BI8I8I8I8', fits and 1 or 0, now, math.floor((capacity - level) / unit),
  most_a_day - days, most_a_month - months)
";

pub(crate) async fn run(report: &mut Report, redis: &RedisServer) {
    let keygate = Contender::keygate(redis, "three", SUBJECTS).await;
    commands(report, redis, &keygate).await;
    times(report, redis, &keygate).await;
}

/// Which commands 10,000 decisions are to the server.
async fn commands(report: &mut Report, redis: &RedisServer, keygate: &Contender) {
    decide(keygate).await;
    redis.cli(&["config", "resetstat"]);
    decide(keygate).await;
    report.say(&format!("commands of the server over {DECISIONS} decisions, by INFO commandstats"));
    for (name, Calls { calls, .. }) in stats(redis) {
        report.figure(&name, calls as f64);
    }
    report.say("");
}

/// What a call of each script takes, of the server's time.
async fn times(report: &mut Report, redis: &RedisServer, keygate: &Contender) {
    let mut connection = connect(&redis.url()).await.expect("a connection");
    let mut peers = Vec::new();
    let fixed =
        [100_u64, 1_000_000, 900_000_000, 1 << 40, 1, 2, 1 << 40, 1, 99_999_999_999_999_000];
    let fixed: Vec<u8> = fixed.iter().flat_map(|number| number.to_be_bytes()).collect();
    let gcra = [b"10000".to_vec(), b"900000000".to_vec()];
    for (name, script, args) in [
        ("an empty script", "return 1", vec![]),
        ("the floor: TIME, GET, SET PXAT", FLOOR, vec![vec![b'v'; 120]]),
        ("by hand, one rate", GCRA, gcra.to_vec()),
        ("a rate, two quotas, fixed", FIXED, vec![fixed]),
    ] {
        let hash = load(&mut connection, script).await.expect("filed");
        peers.push((name, Peer { hash, args }));
    }
    let mut taken: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for _ in 0..report.rounds() / 2 {
        for (name, peer) in &peers {
            let took = timed(redis, call(&connection, peer)).await;
            taken.entry(name).or_default().push(took);
        }
        taken.entry(KEYGATE).or_default().push(timed(redis, decide(keygate)).await);
    }
    tell(report, taken);
}

const KEYGATE: &str = "keygate, three limits";

fn tell(report: &mut Report, taken: BTreeMap<&str, Vec<f64>>) {
    let mut text =
        format!("server time a call, in µs\n  {:34}  {:>7}  {:>7}", "", "median", "least");
    let mut rows: Vec<_> = taken.into_iter().collect();
    rows.iter_mut().for_each(|(_, taken)| taken.sort_by(f64::total_cmp));
    rows.sort_by(|(_, one), (_, other)| one[0].total_cmp(&other[0]));
    for (name, taken) in &rows {
        let (median, least) = (taken[taken.len() / 2], taken[0]);
        let _ = write!(text, "\n  {name:34}  {median:>7.2}  {least:>7.2}");
        report.note(&format!("server time: {name}"), least);
    }
    report.say(&text);
    let (_, keygate) = rows.iter().find(|(name, _)| *name == KEYGATE).expect("it took part");
    report.target("server time of a decision, the least, µs", keygate[0], TARGET);
    report.say("");
}

async fn timed(redis: &RedisServer, calls: impl Future<Output = ()>) -> f64 {
    redis.cli(&["config", "resetstat"]);
    calls.await;
    stats(redis).get("evalsha").expect("scripts were called").micros
}

async fn decide(keygate: &Contender) {
    at_once(|task| {
        let keygate = keygate.clone();
        async move {
            for turn in 0..DECISIONS / AT_ONCE {
                keygate.decide(turn * AT_ONCE + task).await;
            }
        }
    })
    .await;
}

#[derive(Clone)]
struct Peer {
    hash: String,
    args: Vec<Vec<u8>>,
}

async fn call(connection: &MultiplexedConnection, peer: &Peer) {
    at_once(|task| {
        let (mut connection, peer) = (connection.clone(), peer.clone());
        async move {
            for turn in 0..DECISIONS / AT_ONCE {
                let key = format!("{}:{}", peer.hash, (turn * AT_ONCE + task) % SUBJECTS);
                let mut call = cmd("EVALSHA");
                call.arg(&peer.hash).arg(1).arg(key).arg(&peer.args);
                let _: redis::Value = call.query_async(&mut connection).await.expect("an answer");
            }
        }
    })
    .await;
}

async fn at_once<F: Future<Output = ()> + Send + 'static>(work: impl Fn(usize) -> F) {
    let tasks: JoinSet<()> = (0..AT_ONCE).map(work).collect();
    tasks.join_all().await;
}

#[derive(Clone, Copy)]
struct Calls {
    calls: u64,
    /// Each, on average.
    micros: f64,
}

/// By the name of the command.
fn stats(redis: &RedisServer) -> BTreeMap<String, Calls> {
    let told = redis.cli(&["info", "commandstats"]);
    let line = |line: &str| {
        let (name, figures) = line.trim().strip_prefix("cmdstat_")?.split_once(':')?;
        let figure = |name: &str| {
            figures.split(',').find_map(|figure| figure.strip_prefix(name)?.strip_prefix('='))
        };
        let (calls, micros) = (figure("calls")?, figure("usec_per_call")?);
        Some((name.to_owned(), Calls { calls: calls.parse().ok()?, micros: micros.parse().ok()? }))
    };
    told.lines().filter_map(line).collect()
}
