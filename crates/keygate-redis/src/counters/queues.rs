//! Who waits at a hot owner while a charge is under way; see [`combining`](super::combining).

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use keygate::plan::Limit;
use smallvec::SmallVec;
use tokio::{
    sync::oneshot::{self, Receiver},
    time::Instant,
};

use super::batch::{Answer, Batch, Member};

/// How many charges are made as one.
const MOST: usize = 256;

/// The queues at one owner. There is one while a charge is under way, for each list of limits.
#[derive(Debug, Default)]
pub(super) struct Queues(Mutex<Few<Queue>>);

type Few<T> = SmallVec<[T; 1]>;

/// Charges of these limits that wait for one that is under way.
#[derive(Debug)]
struct Queue {
    /// Where the limits are. Whoever serves the queue holds on to them, so that nothing else is there.
    limits: usize,
    /// The deadline of the first, until a task serves those who wait.
    first: Option<Instant>,
    members: VecDeque<Member>,
}

impl Queues {
    /// Waits for a charge of these limits that is under way. If there is none a queue is opened for this one.
    pub(super) fn join(&self, limits: &[Limit], cost: u64, deadline: Instant) -> Option<Place> {
        let mut queues = self.lock();
        let Some(queue) = place(&queues, limits).and_then(|place| queues.get_mut(place)) else {
            let (limits, first) = (address(limits), Some(deadline));
            queues.push(Queue { limits, first, members: VecDeque::new() });
            return None;
        };
        let (answer, receiver) = oneshot::channel();
        queue.push(Member { cost, deadline, answer });
        Some(Place { answer: receiver, first: queue.first })
    }

    /// The first of this deadline is not waited for any more. Whether others wait, which are a task's from now on;
    /// if nobody does the queue is closed.
    pub(super) fn goes_on(&self, limits: &[Limit], first: Instant) -> bool {
        let mut queues = self.lock();
        let is_its = place(&queues, limits)
            .and_then(|place| queues.get(place))
            .is_some_and(|queue| queue.first == Some(first));
        let Some(queue) = is_its.then(|| front(&mut queues, limits)).flatten() else {
            return false;
        };
        queue.first = None;
        true
    }

    /// Begins a batch with those who have waited longest. If nobody waits the queue is closed.
    pub(super) fn take(&self, limits: &[Limit], batch: &mut Batch<'_>) -> bool {
        let mut queues = self.lock();
        let Some(queue) = front(&mut queues, limits) else { return false };
        let most = queue.members.len().min(MOST);
        batch.begin(queue.members.drain(..most));
        true
    }

    /// Closes the queue, whoever waits.
    pub(super) fn abandon(&self, limits: &[Limit]) {
        let mut queues = self.lock();
        let abandoned = place(&queues, limits).map(|place| queues.swap_remove(place));
        // Without the lock: those who wait are woken.
        drop(queues);
        drop(abandoned);
    }

    /// Whether no charge is under way that others would wait for.
    #[cfg(test)]
    pub(super) fn is_idle(&self) -> bool {
        self.lock().is_empty()
    }

    /// How many charges wait, or have waited and went away.
    #[cfg(test)]
    pub(super) fn members(&self) -> usize {
        self.lock().iter().map(|queue| queue.members.len()).sum()
    }

    fn lock(&self) -> MutexGuard<'_, Few<Queue>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Somebody's place in a queue.
pub(super) struct Place {
    pub(super) answer: Receiver<Answer>,
    /// The deadline of the first, if one is waited for.
    pub(super) first: Option<Instant>,
}

impl Queue {
    fn push(&mut self, member: Member) {
        let room = self.members.capacity();
        if self.members.len() == room {
            // Those who went away must not pile up until the call is over. There is room for twice as many as
            // are left, so that this is rare.
            self.members.retain(|member| !member.answer.is_closed());
            self.members.reserve(self.members.len().max(1));
        }
        self.members.push_back(member);
    }
}

fn place(queues: &[Queue], limits: &[Limit]) -> Option<usize> {
    queues.iter().position(|queue| queue.limits == address(limits))
}

/// The queue if anybody waits in it; it is closed if nobody does.
fn front<'q>(queues: &'q mut Few<Queue>, limits: &[Limit]) -> Option<&'q mut Queue> {
    let place = place(queues, limits)?;
    if queues.get(place)?.members.is_empty() {
        queues.swap_remove(place);
        return None;
    }
    queues.get_mut(place)
}

fn address(limits: &[Limit]) -> usize {
    limits.as_ptr().addr()
}
