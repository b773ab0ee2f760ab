use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering},
    },
};

use super::{Counted, Rejection};
use crate::{
    clock::Timestamp,
    gate::{Pending, Taken},
    limit::Correction,
    record::Identity,
    usage::Outcome,
};

/// What is known of an admitted request.
pub struct Admitted {
    caller: Identity,
    pub(super) taken: Taken,
    /// Units so far: what was charged at the gate, and since then by its admissions.
    cost: AtomicU64,
    /// Those of them that the counters of the gate did not see: the store failed, or the plan named other
    /// limits by then, or the key had another owner. They cannot be given back there.
    elsewhere: AtomicU64,
    pub(super) pending: Pending,
    pub(super) ended: Ended,
    /// Admissions at hand. With the last one the request is over.
    open: AtomicUsize,
}

impl Admitted {
    /// Who called.
    #[must_use]
    pub fn caller(&self) -> &Identity {
        &self.caller
    }

    /// What it weighs, in units, as far as that is known now.
    #[must_use]
    pub fn cost(&self) -> u64 {
        self.cost.load(Ordering::Relaxed)
    }

    /// What each limit said at the gate.
    #[must_use]
    pub fn counted(&self) -> &Counted {
        &self.taken.counted
    }

    /// Whether the shared counters could not be reached, so that the failure policy of the limits
    /// decided: admitted uncounted, or counted in this process against its share.
    #[must_use]
    pub fn is_degraded(&self) -> bool {
        self.taken.degraded
    }

    pub(super) fn is_of(&self, gate: u64) -> bool {
        self.pending.is_of(gate)
    }

    fn conclude(&self) {
        if self.taken.slot.is_some() {
            self.pending.settle(&self.caller, &self.taken, Correction::None, self.taken.slot);
        }
        let record = self.caller.record().map(|record| &**record);
        self.pending.meter(record, self.ended.outcome(), self.cost(), self.ended.at());
    }
}

impl fmt::Debug for Admitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admitted")
            .field("caller", &self.caller)
            .field("cost", &self.cost())
            .field("counted", &self.taken.counted)
            .field("degraded", &self.taken.degraded)
            .finish_non_exhaustive()
    }
}

/// An admitted request, in the hands of whoever serves it: [`Caller::admission`](super::Caller::admission)
/// gives it to a handler. Cheap to clone.
///
/// Most handlers need none of it. It is for costs that are not known at the gate: each message of a
/// stream is [`charge`](Self::charge)d as it comes, and what a request weighed in the end is
/// [`settle_cost`](Self::settle_cost)d. All of it draws on the plan of the caller, and is metered
/// with the request, as one.
///
/// A request is over when it was answered and nobody holds its admission any more. Until then it keeps
/// its slot, if its plan limits how many requests are under way at once, and is not metered: a
/// handler that answers at once and works on in the background keeps a clone.
#[must_use = "a request without an admission at hand is over"]
pub struct Admission(pub(super) Arc<Admitted>);

impl Admission {
    pub(crate) fn new(caller: Identity, cost: u64, taken: Taken, pending: Pending) -> Self {
        Self(Arc::new(Admitted {
            caller,
            taken,
            cost: AtomicU64::new(cost),
            elsewhere: AtomicU64::new(0),
            pending,
            ended: Ended::unanswered(),
            open: AtomicUsize::new(1),
        }))
    }

    /// Who calls.
    #[must_use]
    pub fn caller(&self) -> &Identity {
        self.0.caller()
    }

    /// What is known of the request.
    #[must_use]
    pub fn admitted(&self) -> &Admitted {
        &self.0
    }

    /// Charges more of the same request: a message of a WebSocket or of a stream, `cost` units, with
    /// the limits of the request's operation. It takes no slot, for the request has one.
    ///
    /// The key is looked at again, and its plan as it is now: one that was revoked or has expired
    /// since is refused. A charge that is refused consumes nothing.
    ///
    /// ```
    /// # use keygate::{gate::Gate, plan::Plans, verdict::{Admission, Rejection}};
    /// async fn converse(admission: Admission, messages: Vec<String>) -> Result<(), Rejection> {
    ///     for message in messages {
    ///         let units = 1 + u64::try_from(message.len()).unwrap_or(u64::MAX) / 1024;
    ///         if let Err(rejection) = admission.charge(units).await {
    ///             // `reason()` tells why, `retry_after()` how long to wait.
    ///             return Err(rejection);
    ///         }
    ///     }
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    /// The rejection, with its reason and how long to wait.
    pub async fn charge(&self, cost: u64) -> Result<Counted, Rejection> {
        let it = &*self.0;
        let (payer, more) = it.pending.charge_more(&it.caller, cost).await?;
        if !it.caller.pays_as(&payer) || !it.taken.includes(&more) {
            add(&it.elsewhere, cost);
        }
        add(&it.cost, cost);
        Ok(more.counted)
    }

    /// Says what the request weighs as a whole, in units, once that is known: the tokens of an answer,
    /// the bytes of a download. The limits that counted it at the gate are corrected by the
    /// difference.
    ///
    /// What is missing is taken even beyond a limit, which then denies the next requests until it has
    /// come back. What was taken too much is given back, as far as it has not come back by itself.
    /// Said again, the last word counts. The fields of the response tell what was known at the
    /// gate.
    ///
    /// ```
    /// # use keygate::verdict::Admission;
    /// # fn complete(_: &str) -> (String, u64) { (String::new(), 0) }
    /// fn answer(admission: &Admission, prompt: &str) -> String {
    ///     let (text, tokens) = complete(prompt);
    ///     admission.settle_cost(tokens);
    ///     text
    /// }
    /// ```
    pub fn settle_cost(&self, cost: u64) {
        let it = &*self.0;
        let before = it.cost.swap(cost, Ordering::Relaxed);
        let elsewhere = it.elsewhere.load(Ordering::Relaxed);
        let here = |units: u64| units.saturating_sub(elsewhere);
        let correction = it.pending.correction(here(before), here(cost));
        if correction != Correction::None {
            it.pending.settle(&it.caller, &it.taken, correction, None);
        }
    }

    pub(super) fn of(admitted: &Arc<Admitted>) -> Self {
        admitted.open.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(admitted))
    }
}

impl Clone for Admission {
    fn clone(&self) -> Self {
        Self::of(&self.0)
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        // As for any count of references: what others did must be seen by whoever concludes. The last one
        // stays counted, so that one which a caller makes later is never the last, and concludes nothing.
        let but_the_last = |open: usize| (open > 1).then(|| open.saturating_sub(1));
        let (set, fetch) = (Ordering::AcqRel, Ordering::Acquire);
        if self.0.open.fetch_update(set, fetch, but_the_last).is_err() {
            self.0.conclude();
        }
    }
}

impl fmt::Debug for Admission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// How a request ended and when, for whoever lets go of it last.
///
/// Its one passage writes this before it lets go itself, so plain words do without a lock.
pub(super) struct Ended {
    /// The status, or something larger if there was no answer.
    status: AtomicU32,
    at: AtomicU64,
}

impl Ended {
    fn unanswered() -> Self {
        Self { status: AtomicU32::new(u32::MAX), at: AtomicU64::new(0) }
    }

    pub(super) fn answered(&self, status: Option<u16>, at: Timestamp) {
        // A service that failed without a status is metered as one of an impossible status.
        self.status.store(status.unwrap_or_default().into(), Ordering::Relaxed);
        self.at.store(at.micros(), Ordering::Relaxed);
    }

    pub(super) fn aborted(&self, at: Timestamp) {
        self.at.store(at.micros(), Ordering::Relaxed);
    }

    fn outcome(&self) -> Outcome {
        let status = u16::try_from(self.status.load(Ordering::Relaxed));
        status.map_or(Outcome::Aborted, |status| Outcome::answered(Some(status)))
    }

    fn at(&self) -> Timestamp {
        Timestamp::from_micros(self.at.load(Ordering::Relaxed))
    }
}

fn add(sum: &AtomicU64, units: u64) {
    let add = |sum: u64| Some(sum.saturating_add(units));
    // It always has something to say.
    let _ = sum.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
}
