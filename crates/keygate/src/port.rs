//! The ports: what a backend must do, as traits whose laws have names.
//!
//! Every law is a function of the `conformance` suite (behind the feature of that name), and one
//! entry function a port runs all of them: a backend that passes them can stand behind a gate.
//! Ports are async and object-safe; a call never blocks the thread, and none has a default method,
//! so that a decorator cannot forget one. Nothing of a port panics. A backend that does I/O answers
//! or fails within a deadline of its own: the gate has no timer, and waits for it.

use std::{
    error::Error,
    fmt,
    future::Future,
    num::NonZeroU64,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use chrono::{DateTime, Utc};

use crate::{
    key::{KeyDigest, KeyId},
    limit::{Correction, Readings},
    plan::Limit,
    record::{ConsumerId, KeyRecord, KeyStatus},
    usage::{Rollup, UsageEvent, UsageQuery},
};

/// A future on the heap.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What a port answers: a future that is there at once, or takes its time.
///
/// A backend in memory answers without the heap, and every backend behind one type.
///
/// ```
/// use keygate::port::Answer;
///
/// # pollster::block_on(async {
/// assert_eq!(Answer::ready(1).await, 1);
/// assert_eq!(Answer::later(async { 2 }).await, 2);
/// # });
/// ```
#[must_use = "futures do nothing unless awaited"]
pub struct Answer<'a, T>(State<'a, T>);

enum State<'a, T> {
    Ready(Option<T>),
    Later(BoxFuture<'a, T>),
}

impl<'a, T> Answer<'a, T> {
    /// The answer is there.
    pub const fn ready(answer: T) -> Self {
        Self(State::Ready(Some(answer)))
    }

    /// The answer is what the future makes.
    pub fn later(future: impl Future<Output = T> + Send + 'a) -> Self {
        Self(State::Later(Box::pin(future)))
    }

    /// The answer if it is there, without a poll: what takes its time is handed back as it was.
    ///
    /// # Errors
    /// The future, if its answer is still to come.
    ///
    /// ```
    /// # use keygate::port::Answer;
    /// assert_eq!(Answer::ready(1).at_once().ok(), Some(1));
    /// assert!(Answer::later(async { 2 }).at_once().is_err());
    /// ```
    pub fn at_once(self) -> Result<T, Self> {
        match self.0 {
            State::Ready(Some(answer)) => Ok(answer),
            state => Err(Self(state)),
        }
    }
}

impl<T: Send + Unpin + 'static> Answer<'static, T> {
    /// Goes on with the answer: now if it is there, or else once it is.
    pub(crate) fn then<U: Send + Unpin + 'static>(
        self,
        next: impl FnOnce(T) -> Answer<'static, U> + Send + 'static,
    ) -> Answer<'static, U> {
        match self.at_once() {
            Ok(answer) => next(answer),
            Err(later) => Answer::later(async move { next(later.await).await }),
        }
    }
}

impl<T: Unpin> Future for Answer<'_, T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        match &mut self.0 {
            // Polled again after the answer was taken, there is nothing to come.
            State::Ready(answer) => answer.take().map_or(Poll::Pending, Poll::Ready),
            State::Later(future) => future.as_mut().poll(cx),
        }
    }
}

impl<T> fmt::Debug for Answer<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            State::Ready(_) => "Answer(ready)",
            State::Later(_) => "Answer(later)",
        })
    }
}

/// A backend failed. This is never a verdict by itself: the gate makes one of it, by policy.
///
/// Cheap to clone, for one fault may be the answer to many who waited.
#[derive(Clone, Debug)]
pub struct StoreError {
    source: Arc<dyn Error + Send + Sync>,
    unasked: bool,
}

impl StoreError {
    /// Wraps what went wrong. The text must hold no key.
    pub fn new(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { source: Arc::from(source.into()), unasked: false }
    }

    /// Wraps why the backend was not even asked: nothing can have come of it.
    pub fn unasked(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { unasked: true, ..Self::new(source) }
    }

    /// Whether the backend was not even asked, so that nothing is to be given back.
    #[must_use]
    pub fn is_unasked(&self) -> bool {
        self.unasked
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the store failed: {}", self.source)
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        // Its own text is in ours.
        self.source.source()
    }
}

/// Keeps key records.
///
/// # Laws
/// - `found_by_digest_and_id`: what was committed is found by its digest and by its id, equal to
///   what was committed.
/// - `unknown_is_none`: a digest or id that was never committed is `None`, not a fault.
/// - `changes_show_at_once`: after a commit, every way to read shows it.
/// - `commit_is_all_or_nothing`: if one record of a commit conflicts, none is written.
/// - `stale_revision_conflicts`: a new record must have revision 0 and an unused id; a change must
///   have the stored revision plus one; anything else is a conflict.
/// - `digest_is_unique`: two records never share a digest, and a record never changes its own.
/// - `racing_commits_have_one_winner`: of several changes to the same revision one is done and the
///   others conflict.
/// - `list_is_complete_and_ordered`: pages by id, each record once, filtered as asked.
pub trait KeyStore: fmt::Debug + Send + Sync {
    /// The record with this digest. The answer borrows nothing: a request outlives whoever asked.
    fn find(&self, digest: &KeyDigest) -> Answer<'static, Found>;

    /// The record with this id.
    fn load(&self, id: KeyId) -> Answer<'_, Result<Option<Arc<KeyRecord>>, StoreError>>;

    /// The records a filter selects, ordered by id.
    fn list<'a>(
        &'a self,
        filter: &'a KeyFilter,
    ) -> Answer<'a, Result<Vec<Arc<KeyRecord>>, StoreError>>;

    /// Writes records, all or none.
    fn commit<'a>(&'a self, records: &'a [KeyRecord]) -> Answer<'a, Result<Commit, StoreError>>;
}

/// The record that was looked for, if there is one.
pub type Found = Result<Option<Arc<KeyRecord>>, StoreError>;

/// How a commit ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Commit {
    /// Everything was written.
    Done,
    /// Nothing was written: somebody else was first.
    Conflict,
}

/// Which records to list.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyFilter {
    /// Only keys of this consumer.
    pub consumer: Option<ConsumerId>,
    /// Only keys of this plan.
    pub plan: Option<String>,
    /// Only keys of this status.
    pub status: Option<KeyStatus>,
    /// Only keys after this id: the last of the page before.
    pub after: Option<KeyId>,
    /// At most so many.
    pub most: usize,
}

impl Default for KeyFilter {
    fn default() -> Self {
        Self { consumer: None, plan: None, status: None, after: None, most: 100 }
    }
}

impl KeyFilter {
    /// Only keys of this consumer.
    #[must_use]
    pub fn consumer(self, consumer: ConsumerId) -> Self {
        Self { consumer: Some(consumer), ..self }
    }

    /// Only keys of this plan.
    #[must_use]
    pub fn plan(self, plan: impl Into<String>) -> Self {
        Self { plan: Some(plan.into()), ..self }
    }

    /// Only keys of this status.
    #[must_use]
    pub fn status(self, status: KeyStatus) -> Self {
        Self { status: Some(status), ..self }
    }

    /// Only keys after this id: the last of the page before.
    #[must_use]
    pub fn after(self, id: KeyId) -> Self {
        Self { after: Some(id), ..self }
    }

    /// At most so many; 100 unless said otherwise.
    #[must_use]
    pub fn most(self, most: usize) -> Self {
        Self { most, ..self }
    }

    /// Whether a record is selected, the page's bounds aside.
    #[must_use]
    pub fn selects(&self, record: &KeyRecord) -> bool {
        self.consumer.as_ref().is_none_or(|consumer| *consumer == record.consumer)
            && self.plan.as_ref().is_none_or(|plan| plan == record.plan.as_str())
            && self.status.is_none_or(|status| status == record.status)
    }
}

/// Limits and the cost of one request, ready to be counted.
///
/// The owner of a limit's counter is the consumer or the key's lineage, by the limit's partition.
/// The consumer is also what a shared backend places both by, so that one charge is one atomic
/// step in one place.
#[derive(Clone, Copy, Debug)]
pub struct Charge<'a> {
    /// Who pays.
    pub consumer: &'a ConsumerId,
    /// The lineage of the key.
    pub key: KeyId,
    /// What counts; never two limits of one name. Shared, for whoever answers later.
    pub limits: &'a Arc<[Limit]>,
    /// Units to charge. A cost of 0 reads and changes nothing.
    pub cost: u64,
    /// Names the slot that the request takes, if one of the limits is a concurrency and the cost is
    /// not 0. All concurrencies of a charge know it by this name. Without one no slot is taken, but one
    /// must be free.
    pub slot: Option<SlotId>,
}

/// Names the slot that a request holds while it is under way: no two requests of any replica have the
/// same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SlotId([u8; 16]);

impl SlotId {
    /// The slot number `number` of the process that named itself `process` at random.
    #[must_use]
    pub const fn new(process: u64, number: u64) -> Self {
        let ([a, b, c, d, e, f, g, h], [i, j, k, l, m, n, o, p]) =
            (process.to_be_bytes(), number.to_be_bytes());
        Self([a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p])
    }

    /// As bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// What became of a request that was charged.
#[derive(Clone, Copy, Debug)]
pub struct Settlement<'a> {
    /// Who paid.
    pub consumer: &'a ConsumerId,
    /// The lineage of the key.
    pub key: KeyId,
    /// What counted the request. The plan may have been edited since: a refund is by the rules of then, and
    /// what takes more by those of now.
    pub limits: &'a [Limit],
    /// What it was charged too little or too much.
    pub correction: Correction,
    /// The slot that is free again.
    pub slot: Option<SlotId>,
}

/// Whose counters they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner<'a> {
    /// The consumer's, over all its keys.
    Consumer(&'a ConsumerId),
    /// Those of one key.
    Key {
        /// Who owns the key.
        consumer: &'a ConsumerId,
        /// Its lineage.
        key: KeyId,
    },
}

/// Counts.
///
/// A counter belongs to (owner, limit name, kind of rule), not to a plan: a rate and a quota of one
/// name mean different things and are two counters. The store owns time: by
/// its own clock, for all replicas, so a charge carries no instant and a reading only durations.
///
/// # Laws
/// - `burst_then_pace`: a rate admits its burst at once, then one unit per interval.
/// - `quota_is_exact`: a quota admits its amount in a window, not one more or less, under any
///   concurrency.
/// - `all_or_nothing`: a charge counts against every limit or none.
/// - `denied_moves_nothing`: a refusal changes no counter.
/// - `partitions_are_strangers`: owners do not touch each other's counters; keys of one consumer
///   share the consumer's.
/// - `cost_is_weight`: a charge of n is n charges of one; a charge of 0 fits and changes nothing.
/// - `over_capacity_never_fits`: a cost above a capacity is refused without a retry.
/// - `retry_is_honest`: a microsecond before the retry it is refused, on time it is admitted.
/// - `period_turns_over`: a new window starts with everything, the old one's usage gone.
/// - `reset_never_lies`: once the reset has passed, more remains than before.
/// - `plan_change_keeps_usage`: limits of one name under one owner share what was used, whatever
///   the numbers; a lowered limit clamps, a raised one helps at once.
/// - `concurrency_never_oversells`: however many charge at once, limits admit what they allow, not
///   more and not less.
/// - `state_always_expires`: a counter that says nothing any more is forgotten.
/// - `reset_forgets_usage`: after a reset an owner has everything again, and nobody else has more; but
///   slots that are held stay held.
/// - `slots_are_exact`: a concurrency admits as many requests at once as it has slots, whatever they
///   weigh; a settlement that names a slot gives back that one, once. So a store keeps names, not a
///   number: who settles need not know whether the slot was taken, or given back before.
/// - `extra_is_owed`: a correction takes more even beyond the capacity, and what is beyond comes back at
///   the pace of the limit before anything is admitted again.
/// - `refund_is_bounded`: a refund gives back what was charged, never more than is used, nothing that
///   came back by itself, and nothing into another window; by a rule that was edited since it takes
///   nothing away from what the new one counted.
/// - `agrees_with_limit`: readings are those of the [`limit`](crate::limit) arithmetic.
pub trait CounterStore: fmt::Debug + Send + Sync {
    /// Decides and counts, in one atomic step. The readings are in the order of the limits; the
    /// charge was made iff all say `within`.
    ///
    /// The answer borrows nothing. A store that answers at once has counted when this returns. Any other
    /// counts no sooner than it is polled, and a decorator asks its store no sooner: what nobody polls
    /// was not charged.
    fn charge(&self, charge: &Charge<'_>) -> Answer<'static, Result<Readings, StoreError>>;

    /// Corrects what was charged and gives back a slot, as far as each of the limits is concerned. A
    /// fault here is nobody's verdict: it is logged, and a slot comes back by itself later.
    ///
    /// Called from `Drop`, so it must not wait, and goes on if nobody awaits the answer. What is
    /// settled shows once the answer is there.
    fn settle(&self, settlement: &Settlement<'_>) -> Answer<'static, ()>;

    /// Forgets what an owner used, of every limit. Slots stay with the requests that hold them.
    fn reset<'a>(&'a self, owner: Owner<'a>) -> Answer<'a, Result<(), StoreError>>;

    /// How many processes count here, as last seen, this one included: 1 if it is alone. Must not
    /// wait: it is asked for when the store fails, to share a limit out.
    fn replicas(&self) -> NonZeroU64;
}

/// Keeps usage.
///
/// # Laws
/// - `every_event_counts_once`: the rollups of a query sum to the events recorded in its range.
/// - `rollups_are_by_key_operation_outcome`: events that differ in one of these, or in the bucket
///   of their time, are told apart; others are summed.
/// - `granularities_agree`: minutes, hours and days of the same range sum to the same.
/// - `filters_select`: a query returns what it asks for and nothing else.
/// - `last_used_is_latest`: the latest use of a key, whatever the order of recording.
pub trait UsageStore: fmt::Debug + Send + Sync {
    /// Takes one event. Stands on the request path and in `Drop`: it must not wait for anything. A
    /// backend that ships events elsewhere buffers here and flushes by itself.
    fn record(&self, event: &UsageEvent<'_>);

    /// The rollups a query selects, ordered by time, key, operation and outcome.
    fn query<'a>(&'a self, query: &'a UsageQuery) -> Answer<'a, Result<Vec<Rollup>, StoreError>>;

    /// When a request last showed this key, whatever became of it; `None` when never, or longer ago
    /// than the store remembers.
    fn last_used(&self, key: KeyId) -> Answer<'_, Result<Option<DateTime<Utc>>, StoreError>>;
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicBool, Ordering::SeqCst},
        task::Waker,
    };

    use super::*;

    fn poll_once<T: Unpin>(answer: &mut Answer<'_, T>) -> Poll<T> {
        Pin::new(answer).poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn an_answer_is_taken_once() {
        let mut answer = Answer::ready(1);
        assert!(poll_once(&mut answer).is_ready());
        assert!(poll_once(&mut answer).is_pending());
        let mut taken = answer.at_once().unwrap_err();
        assert!(poll_once(&mut taken).is_pending());
    }

    #[test]
    fn what_takes_its_time_is_handed_back_unpolled() {
        let polled = AtomicBool::new(false);
        let answer = Answer::later(async { polled.store(true, SeqCst) });
        let answer = answer.at_once().unwrap_err();
        assert!(!polled.load(SeqCst));
        pollster::block_on(answer);
        assert!(polled.load(SeqCst));
    }

    #[test]
    fn what_follows_is_there_at_once_only_if_all_of_it_is() {
        let [ready, later] = [Answer::ready, |it| Answer::later(std::future::ready(it))];
        assert_eq!(ready(1).then(move |it| ready(it + 1)).at_once().ok(), Some(2));
        for answer in [
            ready(1).then(move |it| later(it + 1)),
            later(1).then(move |it| ready(it + 1)),
            later(1).then(move |it| later(it + 1)),
        ] {
            assert_eq!(pollster::block_on(answer.at_once().unwrap_err()), 2);
        }
    }
}
