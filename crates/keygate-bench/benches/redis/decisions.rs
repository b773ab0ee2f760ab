//! How many decisions a second, and how long each takes, by so many tasks at once.

use std::time::Duration;

use keygate_bench::harness::{Report, now, since};
use keygate_tests::RedisServer;
use rustix::time::{ClockId, clock_gettime};
use tokio::task::JoinSet;

use crate::contender::Contender;

const ROUND: Duration = Duration::from_millis(200);
const TASKS: [usize; 3] = [1, 16, 256];
const TARGET: f64 = 1.0;

const KEYGATE: &str = "keygate, three limits";
const BY_HAND: &str = "by hand, one rate";

/// What one contender did in one round.
struct Sample {
    per_second: f64,
    p50: Duration,
    p99: Duration,
    /// Processor time of this process a decision, in microseconds.
    cpu: f64,
}

pub(crate) async fn run(report: &mut Report, redis: &RedisServer) {
    for (of, subjects) in [("1,000 subjects", 1000), ("one subject", 1)] {
        let contenders = [
            (BY_HAND, Contender::by_hand(redis, subjects).await),
            (KEYGATE, Contender::keygate(redis, "three", subjects).await),
        ];
        for tasks in TASKS {
            let title = format!("decisions: {tasks} at once, {of}");
            let [by_hand, keygate] = table(report, &title, &contenders, tasks).await;
            if tasks == 256 {
                let what = format!("{title}, those by hand to keygate's");
                report.target(&what, by_hand / keygate, TARGET);
            }
            report.say("");
        }
    }
}

/// Lets the contenders take turns, and gives the median of each one's decisions a second.
async fn table(
    report: &mut Report,
    title: &str,
    contenders: &[(&str, Contender); 2],
    tasks: usize,
) -> [f64; 2] {
    let mut samples = [Vec::new(), Vec::new()];
    for (turn, (_, contender)) in contenders.iter().enumerate() {
        round(contender, tasks).await;
        samples[turn].clear();
    }
    for turn in 0..report.rounds() / 2 {
        for place in [turn % 2, (turn + 1) % 2] {
            samples[place].push(round(&contenders[place].1, tasks).await);
        }
    }
    report.say(&format!(
        "{title}\n  {:24}  {:>9}  {:>9}  {:>8}  {:>8}  {:>11}",
        "", "a second", "at most", "p50 µs", "p99 µs", "our CPU µs"
    ));
    let mut place = 0;
    samples.map(|samples| {
        let (name, _) = contenders[place];
        place += 1;
        tell(report, title, name, &samples)
    })
}

fn tell(report: &mut Report, title: &str, name: &str, samples: &[Sample]) -> f64 {
    let of = |figure: fn(&Sample) -> f64| median(samples.iter().map(figure).collect());
    let (per_second, cpu) = (of(|sample| sample.per_second), of(|sample| sample.cpu));
    let (p50, p99) = (of(|sample| micros(sample.p50)), of(|sample| micros(sample.p99)));
    let most = samples.iter().map(|sample| sample.per_second).fold(0.0, f64::max);
    report.say(&format!(
        "  {name:24}  {per_second:>9.0}  {most:>9.0}  {p50:>8.0}  {p99:>8.0}  {cpu:>11.1}"
    ));
    for (what, figure) in
        [("a second", per_second), ("p50 µs", p50), ("p99 µs", p99), ("CPU µs", cpu)]
    {
        report.note(&format!("{title}: {name}: {what}"), figure);
    }
    per_second
}

async fn round(contender: &Contender, tasks: usize) -> Sample {
    let (start, cpu) = (now(), processor_time());
    let mut set = JoinSet::new();
    for task in 0..tasks {
        let contender = contender.clone();
        set.spawn(async move {
            let (mut taken, mut subject) = (Vec::with_capacity(4096), task.wrapping_mul(7919));
            while since(start) < ROUND {
                let begun = now();
                contender.decide(subject).await;
                taken.push(since(begun));
                subject = subject.wrapping_add(104_729);
            }
            taken
        });
    }
    let mut taken = set.join_all().await.concat();
    let (elapsed, cpu) = (since(start), processor_time() - cpu);
    taken.sort_unstable();
    let decisions = taken.len() as f64;
    Sample {
        per_second: decisions / elapsed.as_secs_f64(),
        p50: taken[taken.len() / 2],
        p99: taken[taken.len() * 99 / 100],
        cpu: micros(cpu) / decisions,
    }
}

fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
