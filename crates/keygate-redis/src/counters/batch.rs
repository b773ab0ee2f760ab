//! The arithmetic of a batch: several charges of the same limits, made as one charge of what they cost together.
//!
//! A charge of n is n charges of one. So a batch that is charged was charged member by member, at one instant
//! and in the order of arrival, and each is told what it would have been told then: the core's own
//! [`decide`] goes over them once more, from the levels before the sum. A batch that is refused tells what is
//! left. Those who fit, one beside the other, are then tried together; who does not fit is refused by what was told.
//!
//! Nothing is sent from here: [`Batch::next`] says what to send, and is told what came of it.

use std::collections::VecDeque;

use keygate::{
    limit::{Level, Readings, decide},
    plan::Limit,
};
use tokio::{sync::oneshot, time::Instant};

use super::format::Few;
use crate::fault::Fault;

/// What a charge is told.
pub(super) type Answer = Result<Readings, Fault>;

/// A charge that waits for its answer.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) cost: u64,
    pub(super) deadline: Instant,
    pub(super) answer: oneshot::Sender<Answer>,
}

impl Member {
    /// Whether nobody waits for it any more.
    fn is_withdrawn(&self, now: Instant) -> bool {
        self.answer.is_closed() || self.deadline <= now
    }

    fn tell(self, answer: Answer) {
        // Who went away after the send has been charged all the same.
        let _ = self.answer.send(answer);
    }
}

/// What of a batch is sent, as one charge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sum {
    pub(super) cost: u64,
    /// The latest of its members.
    pub(super) deadline: Instant,
}

/// Charges of these limits that are made together. Dropped, it leaves those unanswered that were not sent.
#[derive(Debug)]
pub(super) struct Batch<'l> {
    limits: &'l [Limit],
    members: VecDeque<Waiting>,
    /// What was told last, and after all members had come.
    told: Option<Few<Level>>,
}

#[derive(Debug)]
struct Waiting {
    member: Member,
    /// Whether it is under way.
    sent: bool,
}

impl<'l> Batch<'l> {
    pub(super) const fn new(limits: &'l [Limit]) -> Self {
        Self { limits, members: VecDeque::new(), told: None }
    }

    /// Goes on with these. What was told before they came is no answer for them.
    pub(super) fn begin(&mut self, members: impl Iterator<Item = Member>) {
        self.members.extend(members.map(|member| Waiting { member, sent: false }));
        self.told = None;
    }

    /// What to send next, if there is anybody left who may be admitted.
    pub(super) fn next(&mut self, now: Instant) -> Option<Sum> {
        self.refuse();
        self.members.retain(|it| !it.member.is_withdrawn(now));
        // Another one may be at the front.
        self.refuse();
        self.choose();
        let deadline = self.under_way().map(|member| member.deadline).max()?;
        Some(Sum { cost: self.cost(), deadline })
    }

    /// The sum was charged; these were the levels before it.
    pub(super) fn charged(&mut self, before: impl Iterator<Item = Level>) {
        let mut levels: Few<Level> = before.collect();
        for it in std::mem::take(&mut self.members) {
            // Who was not sent is answered in its turn, if it still does not fit.
            if it.sent || (self.members.is_empty() && !fit(&levels, it.member.cost)) {
                let readings = decide(&mut levels, it.member.cost);
                it.member.tell(Ok(readings));
            } else {
                self.members.push_back(it);
            }
        }
        self.told = Some(levels);
    }

    /// The sum was not charged, for these are the levels.
    pub(super) fn refused(&mut self, levels: impl Iterator<Item = Level>) {
        let levels: Few<Level> = levels.collect();
        if fit(&levels, self.cost()) {
            // It would be asked for again without end.
            return self.failed(&Fault::Foreign("what fits is refused".into()));
        }
        self.members.iter_mut().for_each(|it| it.sent = false);
        self.told = Some(levels);
    }

    /// The sum could not be charged, or nobody knows.
    pub(super) fn failed(&mut self, fault: &Fault) {
        for it in std::mem::take(&mut self.members) {
            match it.sent {
                true => it.member.tell(Err(fault.clone())),
                false => self.members.push_back(it),
            }
        }
        self.told = None;
    }

    /// Refuses those at the front who do not fit into what was told. Somebody behind them may.
    fn refuse(&mut self) {
        let Some(levels) = &mut self.told else { return };
        while self.members.front().is_some_and(|it| !fit(levels, it.member.cost)) {
            if let Some(Waiting { member, .. }) = self.members.pop_front() {
                let readings = decide(levels, member.cost);
                member.tell(Ok(readings));
            }
        }
    }

    /// Chooses who is sent: whoever fits beside those before it, by what was told. If nothing was, as many from
    /// the front as there could ever be room for.
    fn choose(&mut self) {
        let mut sum = 0_u64;
        for it in &mut self.members {
            let more = sum.saturating_add(it.member.cost);
            it.sent = match &self.told {
                Some(levels) => fit(levels, more),
                // Alone it is told what is left, even if it never fits.
                None => sum == 0 || self.limits.iter().all(|limit| limit.rule().can_hold(more)),
            };
            match it.sent {
                true => sum = more,
                false if self.told.is_none() => break,
                false => {}
            }
        }
    }

    fn cost(&self) -> u64 {
        self.under_way().fold(0, |sum, member| sum.saturating_add(member.cost))
    }

    fn under_way(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(|it| it.sent).map(|it| &it.member)
    }
}

/// What became of those under way nobody will learn.
impl Drop for Batch<'_> {
    fn drop(&mut self) {
        self.failed(&Fault::Timeout);
    }
}

fn fit(levels: &[Level], cost: u64) -> bool {
    levels.iter().all(|level| level.fits(cost))
}
