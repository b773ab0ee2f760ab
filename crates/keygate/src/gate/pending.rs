use std::sync::Arc;

use super::{Gate, present::Shown};
use crate::{
    clock::Timestamp,
    key::KeyDigest,
    plan::Plan,
    record::{Caller, KeyRecord},
    requirement::Requirement,
    usage::{Outcome, UsageEvent},
    verdict::{Admitted, Counted, Reason, Refusal, Rejection},
    wire::Wire,
};

/// A request at the gate. It is metered exactly once, whatever becomes of it: as refused, under the
/// status of its response, or as aborted when it is dropped before that.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(super) gate: Arc<Gate>,
    pub(super) requirement: Arc<Requirement>,
    pub(super) at: Timestamp,
    record: Option<Arc<KeyRecord>>,
    cost: u64,
    /// Whether this layer of the gate counts the request, and has not metered it yet.
    counts: bool,
}

impl Pending {
    pub(super) fn new(gate: Arc<Gate>, requirement: Arc<Requirement>, shown: &Shown) -> Self {
        let (at, counts) = (gate.clock.now(), shown.caller_of(gate.number).is_none());
        Self { gate, requirement, at, record: None, cost: 0, counts }
    }

    /// The checks in their order, from cheap to dear.
    pub(super) async fn decide(
        &mut self,
        shown: &Shown,
        cost: u64,
    ) -> Result<Admitted, Box<Refusal>> {
        if let Some(caller) = shown.caller_of(self.gate.number) {
            return narrow(caller.clone(), &self.requirement);
        }
        let (record, digest) = self.gate.find(shown.digests()?, self.at).await?;
        self.record = Some(Arc::clone(&record));
        record.authenticate(digest, self.at)?;
        let plan = self.gate.plan_of(&record)?;
        let caller = Caller::new(record, plan, self.gate.number);
        if let Err(reason) = caller.authorize(self.requirement.scopes()) {
            return Err(Refusal::new(reason).caller(caller));
        }
        let admitted = self.charge(caller, cost).await?;
        self.cost = cost;
        Ok(admitted)
    }

    /// How to tell the client of its limits; nothing if another layer does.
    pub(crate) fn wire(&self) -> Option<&Wire> {
        self.counts.then_some(&*self.gate.wire)
    }

    pub(super) fn refuse(mut self, refusal: Box<Refusal>, cross_origin: bool) -> Rejection {
        let operation = self.requirement.named_operation();
        tracing::debug!(reason = refusal.reason().code(), ?operation, "refused");
        self.meter(Outcome::Denied(refusal.reason()));
        let (requirement, wire) = (Arc::clone(&self.requirement), Arc::clone(&self.gate.wire));
        Rejection::new(refusal, requirement, wire, cross_origin)
    }

    /// The service answered, or failed without a response.
    pub(crate) fn answered(mut self, status: Option<u16>) {
        self.meter(Outcome::answered(status));
    }

    fn meter(&mut self, outcome: Outcome) {
        if !std::mem::take(&mut self.counts) {
            return;
        }
        self.gate.usage.record(&UsageEvent {
            at: self.at,
            key: self.record.as_ref().map(|record| (record.id, &record.consumer)),
            operation: self.requirement.named_operation(),
            outcome,
            cost: self.cost,
            latency_micros: self.gate.clock.now().micros_since(self.at),
        });
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        // A service that panics has failed; otherwise nobody waits for its answer any more.
        let failed = std::thread::panicking();
        self.meter(if failed { Outcome::answered(None) } else { Outcome::Aborted });
    }
}

/// A second layer of this gate on one route: the caller is known and counted already, and only what
/// this layer demands of its scopes is left to check.
fn narrow(caller: Caller, requirement: &Requirement) -> Result<Admitted, Box<Refusal>> {
    let operation = requirement.named_operation();
    if operation.is_some() || requirement.units() != Requirement::default().units() {
        tracing::warn!(
            ?operation,
            "only the first layer of a gate counts: this one's operation and cost are not"
        );
    }
    match caller.authorize(requirement.scopes()) {
        Ok(()) => Ok(Admitted::new(caller, 0, Counted::default(), false)),
        Err(reason) => Err(Refusal::new(reason).caller(caller)),
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

    fn plan_of(&self, record: &KeyRecord) -> Result<Arc<Plan>, Reason> {
        let plans = self.plans.peek();
        plans.find(record.plan.as_str()).cloned().ok_or_else(|| {
            let (key, plan, known) = (record.id, &record.plan, plans.names());
            tracing::error!(%key, %plan, %known, "a key names a plan that the gate does not have");
            Reason::PlanUnavailable
        })
    }
}
