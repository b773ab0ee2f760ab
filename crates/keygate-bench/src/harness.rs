//! Contenders that take turns.
//!
//! Every contender runs for about ten milliseconds a round, and the rounds of all are interleaved,
//! so that whatever else the machine does hits all of them alike. What is told is the median and
//! the minimum over the rounds, and the ratio of each to a baseline's. On a busy machine the ratio of
//! the minima is the steadier of the two.

use std::{
    env,
    hint::black_box,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

const ROUND: Duration = Duration::from_millis(10);

/// Small enough for the input of a batch to stay in the nearest cache, large enough to make reading
/// the clock negligible.
const BATCH: usize = 16;

/// What the command line asks for: `--json` and `--rounds <n>`. Everything else, such as the
/// `--bench` that cargo adds, is left alone.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    pub json: bool,
    pub rounds: usize,
}

impl Options {
    pub fn from_args() -> Self {
        let args: Vec<String> = env::args().collect();
        let after = |flag| args.iter().skip_while(move |arg| *arg != flag).nth(1);
        Self {
            json: args.iter().any(|arg| arg == "--json"),
            rounds: after("--rounds").map_or(40, |n| n.parse().expect("--rounds takes a number")),
        }
    }
}

/// Contenders of one table; the first is the baseline unless another is named.
pub struct Table {
    title: String,
    baseline: usize,
    contenders: Vec<Contender>,
}

struct Contender {
    name: String,
    run: Run,
    samples: Vec<f64>,
}

/// Does so many operations and says how long they took.
type Run = Box<dyn FnMut(u64) -> Duration>;

/// What one contender took, in nanoseconds an operation.
#[derive(Clone, Debug)]
pub struct Row {
    pub name: String,
    pub median: f64,
    pub minimum: f64,
    pub ratio: f64,
    pub ratio_of_minima: f64,
}

/// A finished table.
#[derive(Clone, Debug)]
pub struct Outcome {
    title: String,
    baseline: String,
    rows: Vec<Row>,
}

impl Table {
    pub fn new(title: &str) -> Self {
        Self { title: title.to_owned(), baseline: 0, contenders: Vec::new() }
    }

    /// The contender added last is the baseline.
    pub fn baseline(mut self) -> Self {
        self.baseline = self.contenders.len().saturating_sub(1);
        self
    }

    /// An operation without input of its own.
    pub fn op<R>(self, name: &str, mut op: impl FnMut() -> R + 'static) -> Self {
        self.timed(name, move |times| {
            let start = now();
            for _ in 0..times {
                black_box(op());
            }
            since(start)
        })
    }

    /// An operation that uses up an input. Neither making the input nor dropping what the operation
    /// returns is timed.
    pub fn batched<T, R>(
        self,
        name: &str,
        mut input: impl FnMut() -> T + 'static,
        mut op: impl FnMut(T) -> R + 'static,
    ) -> Self {
        self.timed(name, move |times| {
            let mut inputs = Vec::with_capacity(BATCH);
            let mut outputs = Vec::with_capacity(BATCH);
            let mut taken = Duration::ZERO;
            for _ in 0..times / BATCH as u64 {
                inputs.extend((0..BATCH).map(|_| input()));
                let start = now();
                for input in inputs.drain(..) {
                    outputs.push(black_box(op(black_box(input))));
                }
                taken += since(start);
                outputs.clear();
            }
            taken
        })
    }

    /// An operation that times itself, in batches of [`batch`].
    pub fn timed(mut self, name: &str, run: impl FnMut(u64) -> Duration + 'static) -> Self {
        let (name, run) = (name.to_owned(), Box::new(run));
        self.contenders.push(Contender { name, run, samples: Vec::new() });
        self
    }

    /// Lets the contenders take turns.
    pub fn run(mut self, options: Options) -> Outcome {
        let times: Vec<u64> = self.contenders.iter_mut().map(Contender::calibrate).collect();
        for round in 0..options.rounds {
            // Whoever follows a contender that spoils the caches pays for it: not always the same.
            for turn in 0..times.len() {
                let turn = (turn + round) % times.len();
                self.contenders[turn].sample(times[turn]);
            }
        }
        let base = &mut self.contenders[self.baseline];
        let (baseline, median, minimum) = (base.name.clone(), base.median(), base.minimum());
        let rows = self.contenders.iter_mut().map(|it| it.row(median, minimum)).collect();
        Outcome { title: self.title, baseline, rows }
    }
}

/// How many operations make a batch.
pub const fn batch() -> usize {
    BATCH
}

/// The one clock of all benchmarks.
#[expect(clippy::disallowed_methods, reason = "this is a stopwatch")]
pub fn now() -> Instant {
    Instant::now()
}

/// How long ago that was.
pub fn since(start: Instant) -> Duration {
    now().duration_since(start)
}

impl Contender {
    /// How many operations fill a round; warms up on the way.
    fn calibrate(&mut self) -> u64 {
        let mut times = 4 * BATCH as u64;
        loop {
            let taken = (self.run)(times);
            if taken * 4 >= ROUND {
                let fitting = times as f64 * ROUND.as_secs_f64() / taken.as_secs_f64();
                return (fitting as u64).next_multiple_of(BATCH as u64);
            }
            times *= 2;
        }
    }

    fn sample(&mut self, times: u64) {
        let taken = (self.run)(times);
        self.samples.push(taken.as_secs_f64() * 1e9 / times as f64);
    }

    fn median(&mut self) -> f64 {
        self.samples.sort_by(f64::total_cmp);
        let middle = self.samples.len() / 2;
        match self.samples.len() % 2 {
            0 => f64::midpoint(self.samples[middle - 1], self.samples[middle]),
            _ => self.samples[middle],
        }
    }

    fn minimum(&self) -> f64 {
        self.samples.iter().copied().fold(f64::INFINITY, f64::min)
    }

    fn row(&mut self, base_median: f64, base_minimum: f64) -> Row {
        let (median, minimum) = (self.median(), self.minimum());
        Row {
            name: self.name.clone(),
            median,
            minimum,
            ratio: median / base_median,
            ratio_of_minima: minimum / base_minimum,
        }
    }
}

impl Outcome {
    /// The row of this name.
    pub fn row(&self, name: &str) -> &Row {
        self.rows.iter().find(|row| row.name == name).expect("a contender of this table")
    }
}

/// All that a benchmark has to say.
pub struct Report {
    bench: &'static str,
    options: Options,
    tables: Vec<Outcome>,
    targets: Vec<Target>,
    figures: Vec<Value>,
}

struct Target {
    what: String,
    figure: f64,
    bound: Bound,
}

enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

impl Report {
    pub fn new(bench: &'static str, options: Options) -> Self {
        let (tables, targets, figures) = (Vec::new(), Vec::new(), Vec::new());
        Self { bench, options, tables, targets, figures }
    }

    /// Runs a table, and prints it at once unless all is to be one JSON.
    pub fn table(&mut self, table: Table) -> Outcome {
        let outcome = table.run(self.options);
        if !self.options.json {
            println!("{}\n", outcome.text());
        }
        self.tables.push(outcome.clone());
        outcome
    }

    /// States what is aimed at, and whether it is met.
    pub fn target(&mut self, what: &str, figure: f64, most: f64) {
        self.aim(what, figure, Bound::AtMost(most));
    }

    /// The same, of a figure that had better be large.
    pub fn at_least(&mut self, what: &str, figure: f64, least: f64) {
        self.aim(what, figure, Bound::AtLeast(least));
    }

    fn aim(&mut self, what: &str, figure: f64, bound: Bound) {
        let target = Target { what: what.to_owned(), figure, bound };
        if !self.options.json {
            println!("{}", target.text());
        }
        self.targets.push(target);
    }

    /// A figure that no contender competes for.
    pub fn figure(&mut self, what: &str, figure: f64) {
        self.say(&format!("  {what:width$}  {figure:>9.1}", width = 34));
        self.note(what, figure);
    }

    /// A figure that was said already, for JSON.
    pub fn note(&mut self, what: &str, figure: f64) {
        self.figures.push(json!({ "what": what, "figure": figure }));
    }

    /// How many rounds were asked for.
    pub fn rounds(&self) -> usize {
        self.options.rounds
    }

    /// Something to say that JSON has in another form.
    pub fn say(&self, text: &str) {
        if !self.options.json {
            println!("{text}");
        }
    }

    /// Prints the JSON, if it was asked for.
    pub fn finish(self) {
        if self.options.json {
            let tables: Vec<Value> = self.tables.iter().map(Outcome::json).collect();
            let targets: Vec<Value> = self.targets.iter().map(Target::json).collect();
            let (bench, figures) = (self.bench, self.figures);
            let all =
                json!({ "bench": bench, "tables": tables, "targets": targets, "figures": figures });
            println!("{all}");
        }
    }
}

impl Target {
    fn is_met(&self) -> bool {
        match self.bound {
            Bound::AtMost(most) => self.figure <= most,
            Bound::AtLeast(least) => self.figure >= least,
        }
    }

    fn text(&self) -> String {
        let verdict = if self.is_met() { "met" } else { "MISSED" };
        let (words, bound) = self.bound.told();
        // One digit more than the tables have: what misses by little is seen to miss.
        format!("{}: {:.3}, aimed at {words} {bound}: {verdict}", self.what, self.figure)
    }

    fn json(&self) -> Value {
        let (name, bound) = self.bound.told();
        json!({ "what": self.what, "figure": self.figure, name: bound, "met": self.is_met() })
    }
}

impl Bound {
    fn told(&self) -> (&'static str, f64) {
        match self {
            Self::AtMost(most) => ("most", *most),
            Self::AtLeast(least) => ("least", *least),
        }
    }
}

impl Outcome {
    fn text(&self) -> String {
        let width = self.rows.iter().map(|row| row.name.chars().count()).max().unwrap_or(0);
        let mut text = format!(
            "{}\n  {:width$}  {:>9}  {:>9}  {:>7}  {:>8}",
            self.title, "", "median ns", "least ns", "ratio", "of least"
        );
        for row in &self.rows {
            text += &format!(
                "\n  {:width$}  {:>9.1}  {:>9.1}  {:>7.2}  {:>8.2}",
                row.name, row.median, row.minimum, row.ratio, row.ratio_of_minima
            );
        }
        text + &format!("\n  ratio: to {}", self.baseline)
    }

    fn json(&self) -> Value {
        let rows: Vec<Value> = self.rows.iter().map(Row::json).collect();
        json!({ "title": self.title, "baseline": self.baseline, "rows": rows })
    }
}

impl Row {
    fn json(&self) -> Value {
        json!({
            "name": self.name,
            "median_ns": self.median,
            "minimum_ns": self.minimum,
            "ratio": self.ratio,
            "ratio_of_minima": self.ratio_of_minima,
        })
    }
}
