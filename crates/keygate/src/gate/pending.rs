use std::{
    fmt, mem,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use super::{Gate, Taken, present::Shown};
use crate::{
    clock::Timestamp,
    key::KeyDigest,
    limit::Correction,
    plan::{Name, Plan},
    port::{Settlement, SlotId},
    record::{Caller, ConsumerId, KeyRecord},
    requirement::Requirement,
    usage::{Outcome, UsageEvent},
    verdict::{Admission, Counted, Passage, Reason, Refusal, Rejection},
    wire::{Fields, Manner, ResponseHead},
};

/// A request at the gate. It is metered exactly once, whatever becomes of it: as refused, as its
/// admission says, or as aborted when it is dropped before it is decided.
pub(crate) struct Pending {
    gate: Arc<Gate>,
    requirement: Arc<Requirement>,
    manner: Manner,
    at: Timestamp,
    /// The record of a key that is refused for itself.
    record: Option<Arc<KeyRecord>>,
    /// Whether this layer of the gate counts the request, and has not metered it yet.
    counts: AtomicBool,
}

impl Pending {
    pub(super) fn new(
        gate: Arc<Gate>,
        requirement: Arc<Requirement>,
        manner: Manner,
        shown: &Shown,
    ) -> Self {
        let (at, counts) = (gate.clock.now(), shown.admission_of(gate.number).is_none().into());
        Self { gate, requirement, manner, at, record: None, counts }
    }

    /// The checks in their order, from cheap to dear.
    pub(super) async fn decide(mut self, shown: Shown, cost: u64) -> Result<Passage, Rejection> {
        if let Some(outer) = shown.admission_of(self.gate.number) {
            return match self.narrow(outer.caller()) {
                Ok(()) => Ok(Passage::further(outer.clone())),
                Err(refusal) => Err(self.refuse(refusal)),
            };
        }
        match self.enter(&shown, cost).await {
            Ok((caller, taken)) => Ok(Passage::first(Admission::new(caller, cost, taken, self))),
            Err(refusal) => Err(self.refuse(refusal)),
        }
    }

    async fn enter(&mut self, shown: &Shown, cost: u64) -> Result<(Caller, Taken), Box<Refusal>> {
        let caller = match shown {
            Shown::Address(consumer) => self.gate.anonymous(consumer.clone())?,
            shown => {
                let (record, digest) = self.gate.find(shown.digests()?, self.at).await?;
                self.authenticate(record, digest)?
            }
        };
        match caller.authorize(self.requirement.scopes()) {
            Ok(()) => {}
            // What visitors may not do needs a key.
            Err(_) if caller.is_anonymous() => return Err(Reason::MissingKey.into()),
            Err(reason) => return Err(Refusal::new(reason).caller(caller)),
        }
        let limits = Arc::clone(caller.plan().charged(self.requirement.named_operation()));
        let charging = Charging { pending: self, caller: &caller };
        let taken = self.gate.charge(&caller, limits, cost, self.at).await;
        charging.decided();
        match taken {
            Ok(taken) => Ok((caller, taken)),
            Err(refusal) => Err(refusal.caller(caller)),
        }
    }

    fn authenticate(
        &mut self,
        record: Arc<KeyRecord>,
        digest: &KeyDigest,
    ) -> Result<Caller, Reason> {
        match self.gate.authenticate(&record, digest, self.at) {
            Ok(plan) => Ok(Caller::new(record, plan)),
            Err(reason) => {
                self.record = Some(record);
                Err(reason)
            }
        }
    }

    /// Another layer of this gate on one route: the caller is known and counted already, and only what
    /// this layer demands of its scopes is left to check.
    fn narrow(&self, caller: &Caller) -> Result<(), Box<Refusal>> {
        let operation = self.requirement.named_operation();
        if operation.is_some() || self.requirement.units() != Requirement::default().units() {
            tracing::warn!(
                ?operation,
                "only the first layer of a gate counts: this one's operation and cost are not"
            );
        }
        let authorized = caller.authorize(self.requirement.scopes());
        authorized.map_err(|reason| Refusal::new(reason).caller(caller.clone()))
    }

    fn refuse(&self, refusal: Box<Refusal>) -> Rejection {
        let operation = self.requirement.named_operation();
        tracing::debug!(reason = refusal.reason().code(), ?operation, "refused");
        let record = refusal.record().or(self.record.as_deref());
        self.meter(record, Outcome::Denied(refusal.reason()), 0, self.now());
        self.reject(refusal)
    }

    fn reject(&self, refusal: Box<Refusal>) -> Rejection {
        let (requirement, wire) = (Arc::clone(&self.requirement), Arc::clone(&self.gate.wire));
        Rejection::new(refusal, requirement, wire, self.manner)
    }

    /// Charges more of a request that was admitted, if it would still be: who pays by now, and what.
    pub(crate) async fn charge_more(
        &self,
        caller: &Caller,
        cost: u64,
    ) -> Result<(Caller, Taken), Rejection> {
        self.try_more(caller, cost).await.map_err(|refusal| self.reject(refusal))
    }

    async fn try_more(&self, caller: &Caller, cost: u64) -> Result<(Caller, Taken), Box<Refusal>> {
        let now = self.now();
        let caller = match caller.record() {
            Some(record) => {
                let digests = [record.digest];
                let (record, digest) = self.gate.find(&digests, now).await?;
                let plan = self.gate.authenticate(&record, digest, now)?;
                Caller::new(record, plan)
            }
            None => self.gate.anonymous(caller.consumer().clone())?,
        };
        if let Err(reason) = caller.authorize(self.requirement.scopes()) {
            return Err(Refusal::new(reason).caller(caller));
        }
        let limits = caller.plan().charged(self.requirement.named_operation()).weighing();
        match self.gate.charge(&caller, Arc::clone(limits), cost, now).await {
            Ok(taken) => Ok((caller, taken)),
            Err(refusal) => Err(refusal.caller(caller)),
        }
    }

    /// What makes a charge of `before` one of `after`.
    pub(crate) fn correction(&self, before: u64, after: u64) -> Correction {
        if let Some(units) = before.checked_sub(after).filter(|units| *units > 0) {
            return Correction::Refund { units, after_micros: self.now().micros_since(self.at) };
        }
        match after.saturating_sub(before) {
            0 => Correction::None,
            units => Correction::Extra(units),
        }
    }

    /// Corrects what was taken, and gives back a slot, where it was counted.
    pub(crate) fn settle(
        &self,
        caller: &Caller,
        taken: &Taken,
        correction: Correction,
        slot: Option<SlotId>,
    ) {
        let (consumer, key) = (caller.consumer(), caller.lineage());
        let limits = taken.counted.limits();
        if limits.is_empty() {
            return;
        }
        let settlement = Settlement { consumer, key, limits, correction, slot };
        if taken.degraded {
            self.gate.local.correct(&settlement);
        } else {
            drop(self.gate.counters.settle(&settlement));
        }
    }

    /// Whether a response of this status costs nothing after all.
    pub(crate) fn refunds(&self, status: Option<u16>) -> bool {
        self.requirement.refunds(status)
    }

    pub(crate) fn fields(&self, counted: &Counted) -> Fields {
        self.gate.wire.fields(counted, self.manner)
    }

    pub(crate) fn status_of(&self, response: &impl ResponseHead) -> u16 {
        self.manner.status_of(response)
    }

    pub(crate) fn is_of(&self, gate: u64) -> bool {
        self.gate.number == gate
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.gate.clock.now()
    }

    pub(crate) fn meter(
        &self,
        record: Option<&KeyRecord>,
        outcome: Outcome,
        cost: u64,
        ended: Timestamp,
    ) {
        // No swap: whoever meters a request has it alone, and only its drop comes later.
        if !self.counts.load(Relaxed) {
            return;
        }
        self.counts.store(false, Relaxed);
        self.gate.usage.record(&UsageEvent {
            at: self.at,
            key: record.map(|record| (record.id, &record.consumer)),
            operation: self.requirement.named_operation(),
            outcome,
            cost,
            latency_micros: ended.micros_since(self.at),
        });
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if *self.counts.get_mut() {
            self.meter(self.record.as_deref(), Outcome::Aborted, 0, self.now());
        }
    }
}

/// A request that is being charged, and whose caller is not in its [`Pending`]: metered as aborted if
/// it is dropped.
struct Charging<'p> {
    pending: &'p Pending,
    caller: &'p Caller,
}

impl Charging<'_> {
    fn decided(self) {
        // It holds nothing but references.
        mem::forget(self);
    }
}

impl Drop for Charging<'_> {
    fn drop(&mut self) {
        let (pending, record) = (self.pending, self.caller.record());
        pending.meter(record.map(|it| &**it), Outcome::Aborted, 0, pending.now());
    }
}

impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pending")
            .field("requirement", &self.requirement)
            .field("at", &self.at)
            .finish_non_exhaustive()
    }
}

impl Gate {
    /// The record behind one of the digests a key text may have.
    async fn find<'d>(
        &self,
        digests: &'d [KeyDigest],
        at: Timestamp,
    ) -> Result<(Arc<KeyRecord>, &'d KeyDigest), Reason> {
        for digest in digests {
            match self.keys.find(digest).await {
                Ok(Some(record)) => return Ok((record, digest)),
                Ok(None) => {}
                Err(error) => {
                    if let Some(requests) = self.without_keys.count(at) {
                        tracing::error!(%error, requests, "the key store failed; requests are refused");
                    }
                    return Err(Reason::KeysUnavailable);
                }
            }
        }
        Err(Reason::UnknownKey)
    }

    /// The plan of a key that is in use.
    fn authenticate(
        &self,
        record: &KeyRecord,
        digest: &KeyDigest,
        at: Timestamp,
    ) -> Result<Arc<Plan>, Reason> {
        record.authenticate(digest, at)?;
        self.plan_named(&record.plan)
    }

    /// Whoever came without a key, if the gate has a plan for such.
    fn anonymous(&self, consumer: ConsumerId) -> Result<Caller, Reason> {
        let plan = self.anonymous.as_ref().ok_or(Reason::MissingKey)?;
        Ok(Caller::anonymous(consumer, self.plan_named(plan)?))
    }

    fn plan_named(&self, plan: &Name) -> Result<Arc<Plan>, Reason> {
        let plans = self.plans.peek();
        plans.find(plan.as_str()).cloned().ok_or_else(|| {
            let known = plans.names();
            tracing::error!(%plan, %known, "a plan is named that the gate does not have");
            Reason::PlanUnavailable
        })
    }
}
