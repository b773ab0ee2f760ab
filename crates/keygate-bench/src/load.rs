//! Requests over sockets: what stands in front of a route costs how many of them.
//!
//! The servers have the first processor for themselves, one at a time; `wrk`, and what else a server
//! asks, have the second. Run on fewer, or without `wrk` and `taskset`, it fails.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Child, Command, Stdio},
};

use crate::harness::Report;

/// The route that everybody serves.
pub const ROUTE: &str = "/v1/search";

const SERVERS: &str = "0";
const LOAD: &str = "1";
const CONNECTIONS: &str = "64";
/// Short, for those that are compared are to find the machine as it was a moment before.
const SECONDS: &str = "1";

/// A server, ended by its id.
pub struct Server {
    process: Child,
    address: String,
    /// That it issued, or nothing.
    pub key: String,
}

impl Server {
    /// Starts a server that prints its address, and perhaps a key, where servers run.
    pub fn start(command: &Command) -> Self {
        let mut process = pinned(command).stdout(Stdio::piped()).spawn().expect("taskset starts");
        let mut line = String::new();
        let mut told = BufReader::new(process.stdout.take().expect("piped"));
        told.read_line(&mut line).expect("the server says where it listens");
        let line = line.trim().trim_start_matches("listening on http://");
        let (address, key) = line.split_once(' ').unwrap_or((line, ""));
        Self { process, address: address.to_owned(), key: key.to_owned() }
    }

    /// The head of an answer, in small letters.
    fn answer(&self, key: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).expect("it listens");
        let head = format!(
            "GET {ROUTE} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {key}\r\n\
             connection: close\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        answer.split("\r\n\r\n").next().unwrap_or_default().to_lowercase()
    }

    /// Of the processor, in the ticks of the system.
    fn ticks(&self) -> f64 {
        let stat =
            fs::read_to_string(format!("/proc/{}/stat", self.process.id())).expect("it runs");
        let (_, fields) = stat.rsplit_once(')').expect("a name");
        let ticks = fields.split_whitespace().skip(11).take(2);
        ticks.map(|ticks| ticks.parse::<f64>().expect("a number")).sum()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Moves a process to where the load comes from.
pub fn pin_to_load(process: &str) {
    let pinned = Command::new("taskset").args(["-a", "-p", "-c", LOAD, process]).output();
    assert!(pinned.expect("taskset is installed").status.success(), "{process} stays where it is");
}

fn pinned(command: &Command) -> Command {
    let mut pinned = Command::new("taskset");
    pinned.args(["-c", SERVERS]).arg(command.get_program()).args(command.get_args());
    pinned.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    pinned
}

/// A server under load.
pub struct Contender {
    pub name: &'static str,
    pub server: Server,
    /// What clients send. Everybody gets one, for a head costs by its length.
    pub key: String,
    /// Without which an answer is none of this contender's.
    pub fields: &'static [&'static str],
}

/// Requests a second, and microseconds of the server's processor for each.
struct Run {
    rate: f64,
    micros: f64,
}

/// What a contender made of the load: medians over the turns.
#[derive(Clone, Copy, Debug)]
pub struct Taken {
    pub rate: f64,
    pub micros: f64,
    /// Of the first contender's, turn by turn: a machine is quicker in one minute than in the next.
    pub share: Share,
}

/// What a contender leaves of the requests of a bare route.
#[derive(Clone, Copy, Debug)]
pub struct Share {
    pub by_rate: f64,
    /// By the processor time of the server, which is steadier where others use the processors too.
    pub by_micros: f64,
}

impl Taken {
    fn of(runs: &[Run], first: &[Run]) -> Self {
        let over = |figure: fn(&Run) -> f64| median(runs.iter().map(figure));
        let shares = |share: fn((&Run, &Run)) -> f64| median(runs.iter().zip(first).map(share));
        let share = Share {
            by_rate: shares(|(own, bare)| own.rate / bare.rate),
            by_micros: shares(|(own, bare)| bare.micros / own.micros),
        };
        Self { rate: over(|run| run.rate), micros: over(|run| run.micros), share }
    }
}

/// Lets the contenders take turns, and tells of them; the first is what the others are a share of.
pub fn take_turns(report: &mut Report, title: &str, contenders: &[Contender]) -> Vec<Taken> {
    contenders.iter().for_each(Contender::admits);
    let mut runs: Vec<Vec<Run>> = contenders.iter().map(|_| Vec::new()).collect();
    // Odd, so that there is one in the middle.
    let turns = report.rounds().div_ceil(4) | 1;
    for turn in 0..turns {
        for place in 0..contenders.len() {
            let place = (place + turn) % contenders.len();
            runs[place].push(contenders[place].run());
        }
    }
    tell(report, title, contenders, &runs)
}

fn tell(
    report: &mut Report,
    title: &str,
    contenders: &[Contender],
    runs: &[Vec<Run>],
) -> Vec<Taken> {
    let heads = ["a second", "at most", "share", "µs", "share"].map(|head| format!("{head:>9}"));
    report.say(&format!("{title:30}  {}", heads.join("  ")));
    let mut all = Vec::new();
    for (Contender { name, .. }, own) in contenders.iter().zip(runs) {
        let taken = Taken::of(own, &runs[0]);
        let Taken { rate, micros, share: Share { by_rate, by_micros } } = taken;
        let most = own.iter().map(|run| run.rate).fold(0.0, f64::max);
        report.say(&format!(
            "{name:30}  {rate:>9.0}  {most:>9.0}  {by_rate:>9.2}  {micros:>9.2}  {by_micros:>9.2}"
        ));
        report.note(&format!("{title}: {name}"), rate);
        report.note(&format!("{title}: {name}, µs of the processor"), micros);
        all.push(taken);
    }
    all
}

fn median(figures: impl Iterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.collect();
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

impl Contender {
    /// A contender that refuses would be the fastest of all.
    fn admits(&self) {
        let answer = self.server.answer(&self.key);
        assert!(answer.starts_with("http/1.1 200 "), "{}: {answer}", self.name);
        for field in self.fields {
            assert!(
                answer.contains(&format!("\r\n{field}: ")),
                "{} no {field}: {answer}",
                self.name
            );
        }
    }

    fn run(&self) -> Run {
        let before = self.server.ticks();
        let told = wrk(&format!("http://{}{ROUTE}", self.server.address), &self.key);
        let ticks = self.server.ticks() - before;
        let after = |words| {
            let figure = told.lines().find_map(|line: &str| line.trim().strip_prefix(words));
            figure.and_then(|figure| figure.trim().parse::<f64>().ok())
        };
        let (all, seconds): (f64, f64) =
            (after("Requests/sec:").expect("a figure"), SECONDS.parse().expect("a number"));
        // On a busy machine a decision may come too late: the policy of its limits then refuses it,
        // which is no request served.
        let refused = after("Non-2xx or 3xx responses:").unwrap_or(0.0) / seconds;
        assert!(refused <= all / 100.0, "{} refuses:\n{told}", self.name);
        let micros_a_tick = 1e6 / rustix::param::clock_ticks_per_second() as f64;
        Run { rate: all - refused, micros: ticks * micros_a_tick / (all * seconds) }
    }
}

fn wrk(url: &str, key: &str) -> String {
    let header = format!("Authorization: Bearer {key}");
    let wrk = ["-c", LOAD, "wrk", "-t", "1", "-c", CONNECTIONS, "-d", SECONDS, "-H", &header, url];
    let told = Command::new("taskset").args(wrk).output().expect("wrk is installed").stdout;
    String::from_utf8(told).expect("wrk speaks UTF-8")
}
