use std::sync::Arc;

use super::Pending;
use crate::{
    limit::Readings,
    plan::{Limit, Name, OnFailure},
    port::{Charge, StoreError},
    record::Caller,
    verdict::{Admitted, Counted, Reason, Refusal},
};

impl Pending {
    /// Counts an authorized request against every limit of its plan that counts its operation.
    pub(super) async fn charge(&self, caller: Caller, cost: u64) -> Result<Admitted, Box<Refusal>> {
        let limits = Arc::clone(caller.plan().charges(self.requirement.named_operation()));
        if limits.is_empty() {
            return Ok(Admitted::new(caller, cost, Counted::default(), false));
        }
        if limits.iter().any(|limit| can_never_hold(limit, cost)) {
            let violated = never_holding(&limits, cost);
            return Err(Refusal::new(Reason::CostExceedsLimit).violating(violated).caller(caller));
        }
        let (consumer, key) = (caller.consumer(), caller.record().lineage);
        let charge = Charge { consumer, key, limits: &limits, cost };
        let answer = self.gate.counters.charge(&charge).await;
        match answer.and_then(|readings| complete(readings, &limits)) {
            Ok(readings) => conclude(caller, cost, Counted::new(limits, readings)),
            Err(fault) => conclude_uncounted(caller, cost, &limits, &fault),
        }
    }
}

fn can_never_hold(limit: &Limit, cost: u64) -> bool {
    cost > limit.rule().capacity()
}

fn never_holding(limits: &[Limit], cost: u64) -> Vec<Name> {
    let too_small = limits.iter().filter(|limit| can_never_hold(limit, cost));
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

fn conclude(caller: Caller, cost: u64, counted: Counted) -> Result<Admitted, Box<Refusal>> {
    if counted.fits() {
        Ok(Admitted::new(caller, cost, counted, false))
    } else {
        Err(Refusal::of_charge(counted).caller(caller))
    }
}

/// The one place where a fault of the counters becomes a verdict.
fn conclude_uncounted(
    caller: Caller,
    cost: u64,
    limits: &[Limit],
    fault: &StoreError,
) -> Result<Admitted, Box<Refusal>> {
    let key = caller.key_id();
    if limits.iter().any(|limit| limit.on_failure() == OnFailure::Closed) {
        tracing::error!(%fault, %key, "the counters failed; the request is refused");
        return Err(Refusal::new(Reason::LimiterUnavailable).caller(caller));
    }
    tracing::warn!(%fault, %key, "the counters failed; the request is admitted uncounted");
    Ok(Admitted::new(caller, cost, Counted::default(), true))
}
