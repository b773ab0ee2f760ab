use std::sync::{Arc, atomic::Ordering::Relaxed};

use super::Gate;
use crate::{
    clock::Timestamp,
    limit::{Correction, Readings},
    plan::{Charged, Limit, Name, OnFailure},
    port::{Charge, Settlement, SlotId, StoreError},
    record::Caller,
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

impl Gate {
    /// Counts an authorized request against all of these limits.
    pub(super) async fn charge(
        &self,
        caller: &Caller,
        limits: Arc<Charged>,
        cost: u64,
        at: Timestamp,
    ) -> Result<Taken, Box<Refusal>> {
        if limits.is_empty() {
            return Ok(Taken::default());
        }
        if limits.iter().any(|limit| !limit.rule().can_hold(cost)) {
            let violated = never_holding(&limits, cost);
            return Err(Refusal::new(Reason::CostExceedsLimit).violating(violated));
        }
        let slot = self.slot_for(&limits, cost);
        let taking = Taking { gate: self, caller, limits: &limits, slot };
        let (consumer, key) = (caller.consumer(), caller.lineage());
        let charge = Charge { consumer, key, limits: &limits, cost, slot };
        let answer = self.counters.charge(&charge).await;
        match answer.and_then(|readings| complete(readings, &limits)) {
            Ok(readings) => {
                taking.decided();
                conclude(Counted::new(limits, readings), false, slot)
            }
            Err(fault) => {
                if fault.is_unasked() {
                    taking.decided();
                } else {
                    drop(taking);
                }
                self.charge_degraded(caller, &limits, cost, at, &fault)
            }
        }
    }

    /// The one place where a fault of the counters becomes a verdict: the strictest policy of the
    /// limits at hand decides.
    fn charge_degraded(
        &self,
        caller: &Caller,
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
        caller: &Caller,
        limits: &[Limit],
        cost: u64,
    ) -> Result<Taken, Box<Refusal>> {
        let replicas = self.counters.replicas();
        let shared = limits.iter().filter(|limit| limit.on_failure() == OnFailure::LocalShare);
        let limits = Charged::new(shared.map(|limit| limit.share(replicas)));
        if limits.iter().any(|limit| !limit.rule().can_hold(cost)) {
            return Err(Refusal::new(Reason::LimiterUnavailable));
        }
        let slot = self.slot_for(&limits, cost);
        let (consumer, key) = (caller.consumer(), caller.lineage());
        let readings = self.local.count(&Charge { consumer, key, limits: &limits, cost, slot });
        conclude(Counted::new(limits, readings), true, slot)
    }

    /// A name for the slot that a charge takes, if it takes one.
    fn slot_for(&self, limits: &Charged, cost: u64) -> Option<SlotId> {
        let takes = cost > 0 && limits.takes_slot();
        takes.then(|| SlotId::new(self.process, self.slots.fetch_add(1, Relaxed)))
    }
}

/// A slot that may or may not be taken, while nobody knows: given back on drop. A client may go away
/// while its request is decided, and a store may fail after it has counted.
struct Taking<'c> {
    gate: &'c Gate,
    caller: &'c Caller,
    limits: &'c [Limit],
    slot: Option<SlotId>,
}

impl Taking<'_> {
    /// The slot is taken, and somebody else's now, or was refused, or nobody was asked for it.
    fn decided(mut self) {
        self.slot = None;
    }
}

impl Drop for Taking<'_> {
    fn drop(&mut self) {
        if self.slot.is_some() {
            drop(self.gate.counters.settle(&Settlement {
                consumer: self.caller.consumer(),
                key: self.caller.lineage(),
                limits: self.limits,
                correction: Correction::None,
                slot: self.slot,
            }));
        }
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

fn conclude(counted: Counted, degraded: bool, slot: Option<SlotId>) -> Result<Taken, Box<Refusal>> {
    if counted.fits() {
        Ok(Taken { counted, degraded, slot })
    } else {
        Err(Refusal::of_charge(counted))
    }
}
