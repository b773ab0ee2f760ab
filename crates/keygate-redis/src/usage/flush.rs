//! Bringing usage to Redis: in rounds, each of which sends what waits.

use std::{
    collections::VecDeque,
    hash::{BuildHasher, RandomState},
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use tokio::{
    sync::{Mutex, oneshot},
    task::JoinSet,
    time::{Instant, sleep, timeout, timeout_at},
};

use super::{
    backlog::Backlog,
    buffer::Buffer,
    errand::Errand,
    remote::{Refused, Remote},
    stats::{Figures, Throttle},
};
use crate::{
    clock::{deadline_after, now},
    fault::Fault,
};

/// Calls that wait for an answer at once, or for their turn.
const IN_FLIGHT: usize = 64;

/// The shortest pause between two rounds.
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);

/// The longest pause between two rounds while Redis is away.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The first pause before a last flush is tried again, and how often the next is twice as long.
const RETRY: Duration = Duration::from_millis(50);
const RETRY_DOUBLES: u32 = 4;

/// How long a store that was dropped tries to bring what it has to Redis.
const FAREWELL: Duration = Duration::from_secs(5);

pub(super) struct Flusher {
    pub(super) buffer: Buffer,
    pub(super) figures: Figures,
    pub(super) remote: Arc<Remote>,
    every: Duration,
    backlog: Mutex<Backlog>,
    jitter: RandomState,
    faults: Throttle,
    foreign: Throttle,
    folds: Throttle,
}

/// How far a round goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// No call is begun after this instant; what is left comes first in the next round.
    Until(Instant),
    /// Everything, also what could wait.
    All,
}

/// How a round went.
#[derive(Debug, Default)]
struct Round {
    /// Calls that were answered.
    answered: usize,
    /// Calls without an answer since the last one that had one.
    silent: usize,
    fault: Option<Fault>,
}

impl Flusher {
    pub(super) fn new(remote: Arc<Remote>, most: usize, every: Duration) -> Self {
        Self {
            buffer: Buffer::new(most.div_ceil(2)),
            figures: Figures::default(),
            remote,
            every: every.max(SHORTEST_PAUSE),
            backlog: Mutex::new(Backlog::new(most.div_ceil(2))),
            jitter: RandomState::new(),
            faults: Throttle::default(),
            foreign: Throttle::default(),
            folds: Throttle::default(),
        }
    }

    /// Flushes again and again until it is told to end, or nobody is left to tell. Then it flushes
    /// until everything is in Redis, no longer than it was told.
    pub(super) async fn run(
        self: Arc<Self>,
        mut end: oneshot::Receiver<Instant>,
    ) -> Result<(), Fault> {
        let mut failures: u32 = 0;
        let told = loop {
            if let Ok(told) = timeout(self.pause(self.every, failures), &mut end).await {
                break told;
            }
            let reach = Reach::Until(deadline_after(self.remote.within));
            let round = self.round(reach).await;
            let is_away = round.fault.is_some() && round.answered == 0;
            failures = if is_away { failures.saturating_add(1) } else { 0 };
        };
        self.flush_until(told.unwrap_or_else(|_| deadline_after(FAREWELL))).await
    }

    /// Sends everything that was recorded before, once.
    pub(super) async fn flush(&self) -> Result<(), Fault> {
        self.round(Reach::All).await.fault.map_or(Ok(()), Err)
    }

    /// Sends everything until it is in Redis, or it is too late.
    pub(super) async fn flush_until(&self, end: Instant) -> Result<(), Fault> {
        let mut last = Fault::Timeout;
        let flushed = timeout_at(end, async {
            let mut failures: u32 = 0;
            while let Err(fault) = self.flush().await {
                last = fault;
                sleep(self.pause(RETRY, failures.min(RETRY_DOUBLES))).await;
                failures = failures.saturating_add(1);
            }
        });
        flushed.await.map_err(|_| last)
    }

    async fn round(&self, reach: Reach) -> Round {
        let mut backlog = self.backlog.lock().await;
        self.take(&mut backlog);
        let mut queue = VecDeque::from(backlog.errands(reach == Reach::All));
        let mut running = JoinSet::new();
        let mut round = Round::default();
        loop {
            while running.len() < IN_FLIGHT && round.may_go_on(reach) {
                let Some(errand) = queue.pop_front() else { break };
                backlog.sent(&errand);
                let remote = Arc::clone(&self.remote);
                running.spawn(async move { (remote.run(&errand).await, errand) });
            }
            let Some(done) = running.join_next().await else { break };
            match done {
                Ok((answer, errand)) => {
                    let next = self.settle(&mut backlog, &mut round, answer, &errand);
                    queue.extend(next);
                }
                // The runtime is ending.
                Err(error) => round.failed(Fault::Connection(Arc::new(error))),
            }
            self.figures.show_waiting(backlog.len());
        }
        self.conclude(&backlog, &round);
        round
    }

    /// Moves what was recorded to what waits.
    fn take(&self, backlog: &mut Backlog) {
        let drained = self.buffer.drain().into_iter();
        let folded = drained.map(|series| backlog.absorb(series)).fold(0, u64::saturating_add);
        self.figures.folded.fetch_add(folded, Relaxed);
        self.figures.show_waiting(backlog.len());
        let folded = self.folded();
        if folded > self.figures.folds_told.load(Relaxed) && self.folds.may_speak() {
            self.figures.folds_told.store(folded, Relaxed);
            tracing::warn!(folded, "there is no room for more usage: events lose their key");
        }
    }

    pub(super) fn folded(&self) -> u64 {
        self.buffer.folded().saturating_add(self.figures.folded.load(Relaxed))
    }

    fn settle(
        &self,
        backlog: &mut Backlog,
        round: &mut Round,
        answer: Result<Refused, Fault>,
        errand: &Errand,
    ) -> Option<Errand> {
        match answer {
            Ok(refused) => {
                round.answered = round.answered.saturating_add(1);
                round.silent = 0;
                self.figures.dropped.fetch_add(refused.events, Relaxed);
                self.complain(refused);
                self.figures.batches.fetch_add(u64::from(errand.is_batch()), Relaxed);
                backlog.done(errand)
            }
            Err(fault) => {
                self.figures.dropped.fetch_add(backlog.failed(errand), Relaxed);
                round.failed(fault);
                None
            }
        }
    }

    fn complain(&self, refused: Refused) {
        let Some(key) = refused.key else { return };
        if self.foreign.may_speak() {
            let dropped = refused.events;
            tracing::warn!(key, dropped, "a Redis key holds what is not of usage: left alone");
        }
    }

    fn conclude(&self, backlog: &Backlog, round: &Round) {
        match &round.fault {
            Some(fault) if self.faults.may_speak() => {
                tracing::warn!(%fault, waiting = backlog.len(), "usage cannot be brought to Redis");
            }
            None if backlog.is_empty() => {
                self.figures.flushed.store(self.remote.clock.now().micros(), Relaxed);
            }
            _ => {}
        }
    }

    /// The time to the next round: this, longer after failures, and never quite the same, so that
    /// replicas do not come together.
    fn pause(&self, first: Duration, failures: u32) -> Duration {
        let longest = LONGEST_PAUSE.max(first);
        let pause = first.saturating_mul(1 << failures.min(8)).min(longest);
        let percent = self.jitter.hash_one(now()) % 51;
        pause.saturating_mul(u32::try_from(percent).unwrap_or(0).saturating_add(75)) / 100
    }
}

impl Round {
    fn may_go_on(&self, reach: Reach) -> bool {
        let in_time = match reach {
            Reach::Until(end) => now() < end,
            Reach::All => true,
        };
        in_time && self.silent < IN_FLIGHT
    }

    fn failed(&mut self, fault: Fault) {
        self.silent = self.silent.saturating_add(1);
        self.fault = Some(fault);
    }
}
