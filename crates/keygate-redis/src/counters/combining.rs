//! A hot owner costs one trip at a time: what comes while a charge is under way waits for it, and goes then as
//! one charge (see [`batch`](super::batch)).
//!
//! The first charge makes its call itself, and its owner has a queue (see [`queues`](super::queues)) while
//! that is under way. If others wait when it is done, or was given up, a task sends them, batch by batch, until
//! nobody waits. That is decided under the lock under which others come to wait, so that nobody is left behind.
//! The task runs where the counters were made: a request's runtime may end with one of a server's threads.
//!
//! The first may also be one that is not polled, where the thread of its task is busy with another one. Its call is
//! over by its deadline; if it did not say so by then, those who wait leave themselves to a task.
//!
//! Who waits keeps its own deadline. If it gives up before it was sent it is charged nothing; after that its
//! outcome is unknown, as that of any call is. Should the task end with the runtime, those that were not sent
//! make their calls themselves.

use std::sync::Arc;

use keygate::{key::KeyId, limit::Rule, plan::Limit, port::Charge, record::ConsumerId};
use tokio::{
    sync::oneshot::error::RecvError,
    time::{Instant, error::Elapsed, timeout_at},
};

use super::{
    Counting,
    batch::{Answer, Batch, Sum},
    part::Owners,
    queues::Place,
    seen::Known,
};
use crate::clock::now;

/// Hardly a trip takes longer: it is what a decision may take, unless said otherwise.
const LONG_TRIP_MICROS: u64 = 25_000;

/// How a charge is made.
pub(super) enum Turn<'a> {
    /// At once, and whoever comes meanwhile waits for it.
    First(Lead<'a>),
    /// With others, by whoever answers it.
    Together(Wait<'a>),
    /// By itself: it cannot be added to others.
    Alone,
}

impl<'a> Turn<'a> {
    pub(super) fn of(
        counting: &'a Arc<Counting>,
        owners: &'a Owners,
        charge: &'a Charge<'a>,
        deadline: Instant,
    ) -> Self {
        let Some(owner) = owners.narrowest().filter(|_| is_mere_sum(charge)) else {
            return Self::Alone;
        };
        let site = Site { counting, owners, owner, charge };
        match owner.queues.join(charge.limits, charge.cost, deadline) {
            Some(place) => Self::Together(Wait { site, place, deadline }),
            None => Self::First(Lead { site, deadline }),
        }
    }
}

/// Slots have names, and who weighs nothing only looks.
fn is_mere_sum(charge: &Charge<'_>) -> bool {
    charge.cost > 0
        && charge.slot.is_none()
        && charge.limits.iter().all(|limit| can_wait(limit.rule()))
}

/// Whether nothing is lost if what comes during a trip is counted at its end. A burst that is back sooner would
/// not hold what flows back meanwhile, and those who keep the pace would be refused.
fn can_wait(rule: &Rule) -> bool {
    match rule {
        Rule::Rate(rate) => {
            let (flow, unit) = rate.pace();
            rate.burst().saturating_mul(unit) >= flow.saturating_mul(LONG_TRIP_MICROS)
        }
        Rule::Quota(_) => true,
        _ => false,
    }
}

/// Where charges meet.
struct Site<'a> {
    counting: &'a Arc<Counting>,
    owners: &'a Owners,
    owner: &'a Known,
    charge: &'a Charge<'a>,
}

impl Site<'_> {
    /// Leaves those to a task who wait for the first of this deadline.
    fn go_on(&self, first: Instant) {
        let Charge { consumer, key, limits, .. } = *self.charge;
        if !self.owner.queues.goes_on(limits, first) {
            return;
        }
        let serving = Serving {
            counting: Arc::clone(self.counting),
            owners: self.owners.clone(),
            consumer: consumer.clone(),
            key,
            limits: Arc::clone(limits),
            open: true,
        };
        self.counting.runtime.spawn(serving.run());
    }
}

/// What others of the same limits wait for. Done or given up, it leaves them to a task.
pub(super) struct Lead<'a> {
    site: Site<'a>,
    deadline: Instant,
}

impl Drop for Lead<'_> {
    fn drop(&mut self) {
        self.site.go_on(self.deadline);
    }
}

/// One who waits with others.
pub(super) struct Wait<'a> {
    site: Site<'a>,
    place: Place,
    deadline: Instant,
}

impl Wait<'_> {
    /// The answer in time, if whoever was to send it did.
    pub(super) async fn answer(self) -> Result<Result<Answer, RecvError>, Elapsed> {
        let Place { mut answer, first } = self.place;
        if let Some(first) = first.filter(|first| *first < self.deadline) {
            if let Ok(answer) = timeout_at(first, &mut answer).await {
                return Ok(answer);
            }
            self.site.go_on(first);
        }
        timeout_at(self.deadline, answer).await
    }
}

/// Answers all who wait in a queue.
struct Serving {
    counting: Arc<Counting>,
    owners: Owners,
    consumer: ConsumerId,
    key: KeyId,
    limits: Arc<[Limit]>,
    /// Whether the queue is.
    open: bool,
}

impl Serving {
    async fn run(mut self) {
        let limits = Arc::clone(&self.limits);
        let mut batch = Batch::new(&limits);
        while self.takes(&mut batch) {
            while let Some(sum) = batch.next(now()) {
                self.send(sum, &mut batch).await;
            }
        }
    }

    fn takes(&mut self, batch: &mut Batch<'_>) -> bool {
        let owner = self.owners.narrowest();
        self.open = owner.is_some_and(|owner| owner.queues.take(&self.limits, batch));
        self.open
    }

    async fn send(&self, Sum { cost, deadline }: Sum, batch: &mut Batch<'_>) {
        let (consumer, key, limits) = (&self.consumer, self.key, &self.limits);
        let charge = Charge { consumer, key, limits, cost, slot: None };
        match self.counting.decide(&charge, &self.owners, deadline).await {
            Ok(decided) if decided.charged => batch.charged(decided.levels_before(cost)),
            Ok(decided) => batch.refused(decided.levels_before(0)),
            Err(fault) => batch.failed(&fault),
        }
    }
}

/// Ended by a runtime that ends, it leaves nobody waiting.
impl Drop for Serving {
    fn drop(&mut self) {
        if let Some(owner) = self.owners.narrowest().filter(|_| self.open) {
            owner.queues.abandon(&self.limits);
        }
    }
}
