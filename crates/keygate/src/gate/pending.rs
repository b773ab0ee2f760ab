use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use super::{Gate, Taken, charge::Asking, present::Shown};
use crate::{
    clock::Timestamp,
    key::KeyDigest,
    limit::Correction,
    plan::{Limit, Name, Plan},
    port::{Answer, Found, Settlement, SlotId},
    record::{ConsumerId, Identity, KeyRecord},
    requirement::Requirement,
    usage::{Outcome, UsageEvent},
    verdict::{Admission, Caller, Counted, Passage, Reason, Refusal, Rejection},
    wire::{Fields, Manner},
};

/// What a gate decides.
pub(crate) type Decision = Result<Passage, Rejection>;

type Digests = smallvec::IntoIter<[KeyDigest; 1]>;

/// A request at the gate. It is metered exactly once, whatever becomes of it: as refused, as its
/// admission says, or as aborted when it is dropped before it is decided.
pub(crate) struct Pending {
    gate: Arc<Gate>,
    requirement: Arc<Requirement>,
    manner: Manner,
    at: Timestamp,
    /// The record of a key that is refused for itself, or of a request that is dropped while it is counted.
    record: Option<Arc<KeyRecord>>,
    /// Whom the request bore as its caller when it came here.
    borne: Option<Caller>,
    /// Whether this layer of the gate counts the request, and has not metered it yet.
    counts: AtomicBool,
}

impl Pending {
    pub(super) fn new(
        gate: Arc<Gate>,
        requirement: Arc<Requirement>,
        manner: Manner,
        shown: &Shown,
        borne: Option<Caller>,
    ) -> Self {
        let is_ours = |borne: &Caller| borne.by(gate.number).is_some();
        let passed = matches!(shown, Shown::Admitted) && borne.as_ref().is_some_and(is_ours);
        let (at, counts) = (gate.clock.now(), (!passed).into());
        Self { gate, requirement, manner, at, record: None, borne, counts }
    }

    /// The checks in their order, from cheap to dear. What the stores know at once is decided at once.
    pub(super) fn decide(self, shown: Shown, cost: u64) -> Answer<'static, Decision> {
        match shown {
            Shown::Admitted => {
                let passed = self.pass_on().map_err(|refusal| self.refuse(refusal));
                Answer::ready(passed)
            }
            Shown::Key { digests, .. } => self.find(digests.into_iter(), cost),
            Shown::Address(consumer) => match self.gate.anonymous(consumer, self.at) {
                Ok(caller) => self.enter(caller, cost),
                Err(reason) => self.refused(reason),
            },
            Shown::Nothing { reason, detail } => self.refused(Refusal::new(reason).detail(detail)),
        }
    }

    /// Looks for the record behind one of the digests that the key may have.
    fn find(mut self, mut digests: Digests, cost: u64) -> Answer<'static, Decision> {
        let Some(digest) = digests.next() else { return self.refused(Reason::UnknownKey) };
        self.gate.keys.find(&digest).then(move |found| {
            let record = match self.gate.found(found, self.at) {
                Ok(Some(record)) => record,
                Ok(None) => return self.find(digests, cost),
                Err(reason) => return self.refused(reason),
            };
            match self.gate.authenticate(&record, &digest, self.at) {
                Ok(plan) => self.enter(Identity::new(record, plan), cost),
                Err(reason) => {
                    self.record = Some(record);
                    self.refused(reason)
                }
            }
        })
    }

    /// Authorizes whoever calls, and has the request counted.
    fn enter(mut self, caller: Identity, cost: u64) -> Answer<'static, Decision> {
        if let Err(refusal) = self.authorize(&caller) {
            return self.refused(refusal);
        }
        let limits = Arc::clone(caller.plan().charged(self.requirement.named_operation()));
        let (asked, counting) = match self.gate.ask(&caller, limits, cost) {
            Ok(asked) => asked,
            Err(refusal) => return self.refused(refusal.caller(caller)),
        };
        match counting.at_once() {
            Ok(answer) => {
                let taken = self.gate.conclude(&caller, asked, answer, self.at);
                Answer::ready(self.conclude(caller, cost, taken))
            }
            Err(counting) => {
                // Whoever drops it meanwhile has aborted a request of this key.
                self.record = caller.record().cloned();
                let asking = Asking::of(&self.gate, &caller, &asked);
                Answer::later(async move {
                    let answer = counting.await;
                    asking.into_iter().for_each(Asking::answered);
                    let taken = self.gate.conclude(&caller, asked, answer, self.at);
                    self.conclude(caller, cost, taken)
                })
            }
        }
    }

    fn conclude(self, caller: Identity, cost: u64, taken: Result<Taken, Box<Refusal>>) -> Decision {
        match taken {
            Ok(taken) => Ok(Passage::first(Admission::new(caller, cost, taken, self))),
            Err(refusal) => Err(self.refuse(refusal.caller(caller))),
        }
    }

    fn refused(self, refusal: impl Into<Box<Refusal>>) -> Answer<'static, Decision> {
        Answer::ready(Err(self.refuse(refusal.into())))
    }

    /// Through a further layer of the gate.
    fn pass_on(&self) -> Result<Passage, Box<Refusal>> {
        // That another gate presented it as admitted is no proof here.
        let borne = self.borne.as_ref().ok_or(Reason::MissingKey)?;
        let outer = borne.by(self.gate.number).ok_or(Reason::MissingKey)?;
        self.narrow(outer)?;
        Ok(Passage::further(outer.admission(), borne.clone()))
    }

    /// Another layer of this gate on one route: the caller is known and counted already, and only what
    /// this layer demands of its scopes is left to check.
    fn narrow(&self, caller: &Identity) -> Result<(), Box<Refusal>> {
        let operation = self.requirement.named_operation();
        let asks =
            operation.is_some() || self.requirement.units() != Requirement::default().units();
        if asks && let Some(requests) = self.gate.counted_before.count(self.at) {
            tracing::warn!(
                ?operation,
                requests,
                "only the first layer of a gate counts: this one's operation and cost are not"
            );
        }
        self.authorize(caller)
    }

    /// Whether whoever calls may do what is demanded here.
    fn authorize(&self, caller: &Identity) -> Result<(), Box<Refusal>> {
        caller.authorize(self.requirement.scopes()).map_err(|reason| {
            // What visitors may not do needs a key.
            let reason = if caller.is_anonymous() { Reason::MissingKey } else { reason };
            Refusal::new(reason).caller(caller.clone())
        })
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
        caller: &Identity,
        cost: u64,
    ) -> Result<(Identity, Taken), Rejection> {
        self.try_more(caller, cost).await.map_err(|refusal| self.reject(refusal))
    }

    async fn try_more(
        &self,
        caller: &Identity,
        cost: u64,
    ) -> Result<(Identity, Taken), Box<Refusal>> {
        let (gate, now) = (&self.gate, self.now());
        let caller = match caller.record() {
            Some(record) => {
                let found = gate.keys.find(&record.digest).await;
                let record = gate.found(found, now)?.ok_or(Reason::UnknownKey)?;
                let plan = gate.authenticate(&record, &record.digest, now)?;
                Identity::new(record, plan)
            }
            None => gate.anonymous(caller.consumer().clone(), now)?,
        };
        self.authorize(&caller)?;
        // None of them is a concurrency: nothing is to be given back if this is dropped.
        let limits = caller.plan().charged(self.requirement.named_operation()).weighing();
        let taken = match gate.ask(&caller, Arc::clone(limits), cost) {
            Ok((asked, counting)) => gate.conclude(&caller, asked, counting.await, now),
            Err(refusal) => Err(refusal),
        };
        match taken {
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
        caller: &Identity,
        taken: &Taken,
        correction: Correction,
        slot: Option<SlotId>,
    ) {
        let (consumer, key) = (caller.consumer(), caller.lineage());
        let limits = taken.counted.limits();
        if limits.is_empty() {
            return;
        }
        let edited = match correction {
            Correction::Extra(_) if !taken.degraded => self.gate.as_edited(caller.plan(), limits),
            _ => None,
        };
        let limits = edited.as_deref().unwrap_or(limits);
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

    pub(crate) fn manner(&self) -> Manner {
        self.manner
    }

    pub(crate) fn tells_admitted(&self) -> bool {
        self.gate.tells_admitted
    }

    pub(crate) fn borne(&self) -> Option<&Caller> {
        self.borne.as_ref()
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

impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pending")
            .field("requirement", &self.requirement)
            .field("at", &self.at)
            .finish_non_exhaustive()
    }
}

impl Gate {
    /// What a store said of a key. Its fault is a verdict here.
    fn found(&self, found: Found, at: Timestamp) -> Result<Option<Arc<KeyRecord>>, Reason> {
        found.map_err(|error| {
            if let Some(requests) = self.without_keys.count(at) {
                tracing::error!(%error, requests, "the key store failed; requests are refused");
            }
            Reason::KeysUnavailable
        })
    }

    /// The plan of a key that is in use.
    fn authenticate(
        &self,
        record: &KeyRecord,
        digest: &KeyDigest,
        at: Timestamp,
    ) -> Result<Arc<Plan>, Reason> {
        record.authenticate(digest, at)?;
        self.plan_named(&record.plan, at)
    }

    /// Whoever came without a key, if the gate has a plan for such.
    fn anonymous(&self, consumer: ConsumerId, at: Timestamp) -> Result<Identity, Reason> {
        let plan = self.anonymous.as_ref().ok_or(Reason::MissingKey)?;
        Ok(Identity::anonymous(consumer, self.plan_named(plan, at)?))
    }

    /// These limits by the rules of now, if their plan was edited: of what is taken by a rule that is in force
    /// no more the window may have turned, and what the one of now has counted in a longer one would be
    /// forgotten. What is given back is a matter of the rule that took it.
    fn as_edited(&self, plan: &Plan, limits: &[Limit]) -> Option<Vec<Limit>> {
        let plans = self.plans.peek();
        let now = plans.find(plan.name().as_str()).filter(|now| !std::ptr::eq(&***now, plan))?;
        let rule_of_now = |limit: &Limit| {
            let same = now.limits().iter().find(|it| it.has_counter_of(limit));
            same.unwrap_or(limit).clone()
        };
        Some(limits.iter().map(rule_of_now).collect())
    }

    fn plan_named(&self, plan: &Name, at: Timestamp) -> Result<Arc<Plan>, Reason> {
        let plans = self.plans.peek();
        plans.find(plan.as_str()).cloned().ok_or_else(|| {
            if let Some(requests) = self.without_plan.count(at) {
                let known = plans.names();
                tracing::error!(%plan, %known, requests, "a plan is named that the gate does not have");
            }
            Reason::PlanUnavailable
        })
    }
}
