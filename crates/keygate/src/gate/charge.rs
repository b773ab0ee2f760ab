use std::sync::{Arc, atomic::Ordering::Relaxed};

use super::Gate;
use crate::{
    clock::Timestamp,
    limit::{Correction, Readings},
    plan::{Charged, Limit, Name, OnFailure},
    port::{Answer, Charge, Settlement, SlotId, StoreError},
    record::Identity,
    verdict::{Counted, Reason, Refusal},
};

/// What a request took.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    pub(crate) counted: Counted,
    /// Whether the failure policy of the limits decided.
    pub(crate) degraded: bool,
    pub(crate) slot: Option<SlotId>,
}

impl Taken {
    /// Whether all counters here counted that, too.
    pub(crate) fn includes(&self, more: &Self) -> bool {
        let counted = |limit: &Limit| {
            limit.is_concurrency()
                || more.counted.limits().iter().any(|other| other.has_counter_of(limit))
        };
        self.degraded == more.degraded && self.counted.limits().iter().all(counted)
    }
}

/// What the counters were asked for.
#[derive(Clone)]
pub(super) struct Asked {
    limits: Arc<Charged>,
    cost: u64,
    slot: Option<SlotId>,
}

/// What they answer.
pub(super) type Counting = Answer<'static, Result<Readings, StoreError>>;

impl Gate {
    /// Asks for an authorized request to be counted against all of these limits.
    pub(super) fn ask(
        &self,
        caller: &Identity,
        limits: Arc<Charged>,
        cost: u64,
    ) -> Result<(Asked, Counting), Box<Refusal>> {
        if limits.iter().any(|limit| !limit.rule().can_hold(cost)) {
            let violated = never_holding(&limits, cost);
            return Err(Refusal::new(Reason::CostExceedsLimit).violating(violated));
        }
        let slot = self.slot_for(&limits, cost);
        let counting = if limits.is_empty() {
            Answer::ready(Ok(Readings::new()))
        } else {
            let (consumer, key) = (caller.consumer(), caller.lineage());
            self.counters.charge(&Charge { consumer, key, limits: limits.list(), cost, slot })
        };
        Ok((Asked { limits, cost, slot }, counting))
    }

    /// What came of it.
    pub(super) fn conclude(
        &self,
        caller: &Identity,
        asked: Asked,
        answer: Result<Readings, StoreError>,
        at: Timestamp,
    ) -> Result<Taken, Box<Refusal>> {
        match answer.and_then(|readings| complete(readings, &asked.limits)) {
            Ok(readings) => taken(Counted::new(asked.limits, readings), false, asked.slot),
            Err(fault) => {
                if !fault.is_unasked() {
                    self.give_back(caller, &asked);
                }
                self.charge_degraded(caller, &asked.limits, asked.cost, at, &fault)
            }
        }
    }

    /// Gives back a slot that may or may not have been taken: nobody knows.
    fn give_back(&self, caller: &Identity, asked: &Asked) {
        if asked.slot.is_some() {
            drop(self.counters.settle(&Settlement {
                consumer: caller.consumer(),
                key: caller.lineage(),
                limits: &asked.limits,
                correction: Correction::None,
                slot: asked.slot,
            }));
        }
    }

    /// The one place where a fault of the counters becomes a verdict: the strictest policy of the
    /// limits at hand decides.
    fn charge_degraded(
        &self,
        caller: &Identity,
        limits: &[Limit],
        cost: u64,
        at: Timestamp,
        fault: &StoreError,
    ) -> Result<Taken, Box<Refusal>> {
        if let Some(requests) = self.degraded.count(at) {
            let consumer = caller.consumer();
            tracing::warn!(%fault, %consumer, requests, "the counters failed; the policy of limits decides");
        }
        let has = |policy| limits.iter().any(|limit| limit.on_failure() == policy);
        if has(OnFailure::Closed) {
            return Err(Refusal::new(Reason::LimiterUnavailable));
        }
        if has(OnFailure::LocalShare) {
            return self.charge_local_share(caller, limits, cost);
        }
        Ok(Taken { degraded: true, ..Taken::default() })
    }

    /// Counts in this process, by this process's part of the limits.
    fn charge_local_share(
        &self,
        caller: &Identity,
        limits: &[Limit],
        cost: u64,
    ) -> Result<Taken, Box<Refusal>> {
        let replicas = self.counters.replicas();
        let shared = limits.iter().filter(|limit| limit.on_failure() == OnFailure::LocalShare);
        let limits = Charged::new(shared.map(|limit| limit.share(replicas)).collect());
        if limits.iter().any(|limit| !limit.rule().can_hold(cost)) {
            return Err(Refusal::new(Reason::LimiterUnavailable));
        }
        let slot = self.slot_for(&limits, cost);
        let (consumer, key) = (caller.consumer(), caller.lineage());
        let charge = Charge { consumer, key, limits: limits.list(), cost, slot };
        let readings = self.local.count(&charge);
        taken(Counted::new(limits, readings), true, slot)
    }

    /// A name for the slot that a charge takes, if it takes one.
    fn slot_for(&self, limits: &Charged, cost: u64) -> Option<SlotId> {
        let takes = cost > 0 && limits.takes_slot();
        takes.then(|| SlotId::new(self.process, self.slots.fetch_add(1, Relaxed)))
    }
}

/// A charge that is under way. Dropped before it is answered, for a client may go away while its request
/// is decided, it gives back what it may have taken; also if nobody ever polled it, for a decorator may
/// have asked its store already.
pub(super) struct Asking {
    gate: Arc<Gate>,
    caller: Identity,
    asked: Asked,
}

impl Asking {
    /// Nothing, unless it takes a slot.
    pub(super) fn of(gate: &Arc<Gate>, caller: &Identity, asked: &Asked) -> Option<Self> {
        let new = || Self { gate: Arc::clone(gate), caller: caller.clone(), asked: asked.clone() };
        asked.slot.is_some().then(new)
    }

    pub(super) fn answered(mut self) {
        self.asked.slot = None;
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.gate.give_back(&self.caller, &self.asked);
    }
}

fn never_holding(limits: &[Limit], cost: u64) -> Vec<Name> {
    let too_small = limits.iter().filter(|limit| !limit.rule().can_hold(cost));
    too_small.map(|limit| limit.name().clone()).collect()
}

/// A limit without a reading was not counted: that is a fault, not an admission.
fn complete(readings: Readings, limits: &[Limit]) -> Result<Readings, StoreError> {
    let (given, right) = (readings.len(), limits.len());
    if given == right {
        return Ok(readings);
    }
    Err(StoreError::new(format!("{given} readings for a charge of {right} limits")))
}

fn taken(counted: Counted, degraded: bool, slot: Option<SlotId>) -> Result<Taken, Box<Refusal>> {
    if counted.fits() {
        Ok(Taken { counted, degraded, slot })
    } else {
        Err(Refusal::of_charge(counted))
    }
}
