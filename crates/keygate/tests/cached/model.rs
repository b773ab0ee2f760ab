//! Random histories: whatever happens, no answer is older than it may be.

use std::{
    sync::atomic::{AtomicU64, Ordering::SeqCst},
    task::Poll,
    thread,
    time::Duration,
};

use keygate::{
    cached::Settings,
    clock::Timestamp,
    key::KeyDigest,
    port::{Answer, Commit, KeyStore},
    record::KeyRecord,
};
use proptest::prelude::*;

use crate::{
    bench::{Bench, Found, MAX_AGE, SECOND, next, poll, record},
    rigged::Way,
};

const KEYS: usize = 3;
const IF_UNAVAILABLE: Duration = Duration::from_secs(20);

#[derive(Clone, Copy, Debug)]
enum Step {
    Pass(u64),
    /// Somebody else writes the next revision.
    Change(usize),
    /// It is written through the cache.
    Commit(usize),
    Forget(usize),
    ForgetAll,
    /// The watcher catches up with the changes.
    CatchUp,
    Turn(Way),
    Ask(usize),
    Cancel(usize),
    Release,
}

fn step() -> impl Strategy<Value = Step> {
    let ways = [Way::Well, Way::Well, Way::Waits, Way::Waits, Way::Fails, Way::FailsLate];
    prop_oneof![
        4 => (1..4_000_000_u64).prop_map(Step::Pass),
        2 => (1..200_000_u64).prop_map(Step::Pass),
        4 => (0..KEYS).prop_map(Step::Change),
        1 => (0..KEYS).prop_map(Step::Commit),
        1 => (0..KEYS).prop_map(Step::Forget),
        1 => Just(Step::ForgetAll),
        3 => Just(Step::CatchUp),
        3 => prop::sample::select(ways.to_vec()).prop_map(Step::Turn),
        10 => (0..KEYS).prop_map(Step::Ask),
        1 => (0..8_usize).prop_map(Step::Cancel),
        3 => Just(Step::Release),
    ]
}

/// One key as the store has it.
struct Truth {
    record: KeyRecord,
    /// When each revision was written.
    written: Vec<Timestamp>,
    /// How many of them whoever asks now must be shown, however old the others are.
    floor: usize,
    logged: bool,
}

impl Truth {
    fn next(&self) -> KeyRecord {
        if self.written.is_empty() { self.record.clone() } else { next(&self.record) }
    }

    /// How many revisions had been written by an instant.
    fn written_by(&self, at: Timestamp) -> usize {
        self.written.iter().filter(|written| **written <= at).count()
    }
}

struct Question<'a> {
    key: usize,
    asked: Timestamp,
    floor: usize,
    answer: Answer<'a, Found>,
}

struct History<'a> {
    bench: &'a Bench,
    digests: &'a [KeyDigest],
    truths: Vec<Truth>,
    questions: Vec<Question<'a>>,
    ever_failed: bool,
}

impl<'a> History<'a> {
    fn take(&mut self, step: Step) -> Result<(), TestCaseError> {
        match step {
            Step::Pass(micros) => self.bench.clock.advance(Duration::from_micros(micros)),
            Step::Change(key) => {
                self.bench.write(&self.truths[key].next());
                self.wrote(key);
            }
            Step::Commit(key) => {
                let records = [self.truths[key].next()];
                let commit = pollster::block_on(self.bench.cached.commit(&records));
                prop_assert_eq!(commit.unwrap(), Commit::Done);
                self.wrote(key);
                self.forgot(key);
            }
            Step::Forget(key) => {
                self.bench.cached.forget(&self.digests[key]);
                self.forgot(key);
            }
            Step::ForgetAll => {
                self.bench.cached.forget_all();
                (0..KEYS).for_each(|key| self.forgot(key));
            }
            Step::CatchUp => self.catch_up(),
            Step::Turn(way) => {
                self.ever_failed |= matches!(way, Way::Fails | Way::FailsLate);
                self.bench.store.finding(way);
            }
            Step::Ask(key) => self.ask(key),
            Step::Cancel(index) => {
                if index < self.questions.len() {
                    self.questions.swap_remove(index);
                }
            }
            Step::Release => self.bench.store.release(),
        }
        self.listen()
    }

    fn wrote(&mut self, key: usize) {
        let truth = &mut self.truths[key];
        truth.record = truth.next();
        truth.written.push(self.bench.now());
        truth.logged = true;
    }

    fn forgot(&mut self, key: usize) {
        self.truths[key].floor = self.truths[key].written.len();
    }

    fn catch_up(&mut self) {
        let began = self.bench.now();
        for key in 0..KEYS {
            if std::mem::take(&mut self.truths[key].logged) {
                self.bench.cached.forget(&self.digests[key]);
                self.forgot(key);
            }
        }
        self.bench.clock.advance(SECOND / 10);
        self.bench.cached.confirm(began);
    }

    fn ask(&mut self, key: usize) {
        let answer = self.bench.cached.find(&self.digests[key]);
        let (asked, floor) = (self.bench.now(), self.truths[key].floor);
        self.questions.push(Question { key, asked, floor, answer });
    }

    /// Hears every answer that is there.
    fn listen(&mut self) -> Result<(), TestCaseError> {
        let (truths, ever_failed) = (&self.truths, self.ever_failed);
        let mut heard = Vec::new();
        self.questions.retain_mut(|question| match poll(&mut question.answer) {
            Poll::Pending => true,
            Poll::Ready(found) => {
                heard.push((question.key, question.asked, question.floor, found));
                false
            }
        });
        for (key, asked, floor, found) in heard {
            let Ok(found) = found else {
                prop_assert!(ever_failed, "a fault of a store that never failed");
                continue;
            };
            let outlives = ever_failed && found.is_some();
            let age = if outlives { MAX_AGE + IF_UNAVAILABLE } else { MAX_AGE };
            let age = u64::try_from(age.as_micros()).unwrap();
            let oldest = Timestamp::from_micros(asked.micros() - age);
            let least = floor.max(truths[key].written_by(oldest));
            let shown = found.map_or(0, |record| usize::try_from(record.revision).unwrap() + 1);
            prop_assert!(shown >= least, "key {key}: shown {shown} revisions, not {least}");
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(250))]

    #[test]
    fn no_answer_is_older_than_it_may_be(steps in prop::collection::vec(step(), 1..120)) {
        let bench = Bench::with(Settings::default().if_unavailable(IF_UNAVAILABLE));
        let record = |_| Truth {
            record: record(),
            written: Vec::new(),
            floor: 0,
            logged: false,
        };
        let truths: Vec<_> = (0..KEYS).map(record).collect();
        let digests: Vec<_> = truths.iter().map(|truth| truth.record.digest).collect();
        let mut history = History {
            bench: &bench,
            digests: &digests,
            truths,
            questions: Vec::new(),
            ever_failed: false,
        };
        for step in steps {
            history.take(step)?;
        }
    }
}

#[test]
fn threads_never_see_less_than_was_committed() {
    const COMMITS: u64 = 2_000;
    let bench = Bench::new();
    let record = bench.issued();
    let committed = AtomicU64::new(0);
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while committed.load(SeqCst) < COMMITS {
                    let least = committed.load(SeqCst);
                    let found = pollster::block_on(bench.cached.find(&record.digest)).unwrap();
                    let shown = found.unwrap().revision;
                    assert!(shown >= least, "shown {shown}, not {least}");
                }
            });
        }
        let mut record = record.clone();
        for revision in 1..=COMMITS {
            record = next(&record);
            let commit = pollster::block_on(bench.cached.commit(std::slice::from_ref(&record)));
            assert_eq!(commit.unwrap(), Commit::Done);
            committed.store(revision, SeqCst);
        }
    });
    assert_eq!(bench.asks(&record).0, Some(COMMITS));
}
