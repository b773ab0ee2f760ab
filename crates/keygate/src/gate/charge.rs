use std::sync::Arc;

use super::Pending;
use crate::{
    limit::Readings,
    plan::{Charged, Limit, Name, OnFailure},
    port::{Charge, StoreError},
    record::Caller,
    verdict::{Admitted, Counted, Reason, Refusal},
};

impl Pending {
    /// Counts an authorized request against every limit of its plan that counts its operation.
    pub(super) async fn charge(&self, caller: Caller, cost: u64) -> Result<Admitted, Box<Refusal>> {
        let limits = Arc::clone(caller.plan().charged(self.requirement.named_operation()));
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
            Ok(readings) => conclude(caller, cost, Counted::new(limits, readings), false),
            Err(fault) => self.conclude_degraded(caller, cost, &limits, &fault),
        }
    }

    /// The one place where a fault of the counters becomes a verdict: the strictest policy of the
    /// limits at hand decides.
    fn conclude_degraded(
        &self,
        caller: Caller,
        cost: u64,
        limits: &[Limit],
        fault: &StoreError,
    ) -> Result<Admitted, Box<Refusal>> {
        if let Some(requests) = self.gate.degraded.count(self.at) {
            let key = caller.key_id();
            tracing::warn!(%fault, %key, requests, "the counters failed; the policy of limits decides");
        }
        let has = |policy| limits.iter().any(|limit| limit.on_failure() == policy);
        if has(OnFailure::Closed) {
            return Err(Refusal::new(Reason::LimiterUnavailable).caller(caller));
        }
        if has(OnFailure::LocalShare) {
            return self.charge_local_share(caller, cost, limits);
        }
        Ok(Admitted::new(caller, cost, Counted::default(), true))
    }

    /// Counts in this process, by this process's part of the limits.
    fn charge_local_share(
        &self,
        caller: Caller,
        cost: u64,
        limits: &[Limit],
    ) -> Result<Admitted, Box<Refusal>> {
        let replicas = self.gate.counters.replicas();
        let shared = limits.iter().filter(|limit| limit.on_failure() == OnFailure::LocalShare);
        let limits = Charged::new(shared.map(|limit| limit.share(replicas)));
        if limits.iter().any(|limit| can_never_hold(limit, cost)) {
            return Err(Refusal::new(Reason::LimiterUnavailable).caller(caller));
        }
        let (consumer, key) = (caller.consumer(), caller.record().lineage);
        let readings = self.gate.local.count(&Charge { consumer, key, limits: &limits, cost });
        conclude(caller, cost, Counted::new(limits, readings), true)
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

fn conclude(
    caller: Caller,
    cost: u64,
    counted: Counted,
    degraded: bool,
) -> Result<Admitted, Box<Refusal>> {
    if counted.fits() {
        Ok(Admitted::new(caller, cost, counted, degraded))
    } else {
        Err(Refusal::of_charge(counted).caller(caller))
    }
}
