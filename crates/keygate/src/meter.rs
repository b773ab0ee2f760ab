//! Meters every request once.

use std::sync::Arc;

use crate::{
    clock::{Clock, Timestamp},
    port::UsageStore,
    record::KeyRecord,
    requirement::Requirement,
    usage::{Outcome, UsageEvent},
};

#[derive(Debug)]
pub(crate) struct Meter {
    store: Arc<dyn UsageStore>,
    clock: Arc<dyn Clock>,
}

impl Meter {
    pub(crate) fn new(store: Arc<dyn UsageStore>, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock }
    }

    pub(crate) fn store(&self) -> &Arc<dyn UsageStore> {
        &self.store
    }

    /// Begins metering a request that arrived at `at`.
    pub(crate) fn begin(self: &Arc<Self>, at: Timestamp, requirement: Arc<Requirement>) -> Pending {
        Pending { meter: Some(Arc::clone(self)), at, requirement, record: None, cost: 0 }
    }
}

/// A request that is metered exactly once, whatever becomes of it: by [`conclude`](Self::conclude),
/// or as aborted when it is dropped before that.
#[derive(Debug)]
pub(crate) struct Pending {
    meter: Option<Arc<Meter>>,
    at: Timestamp,
    requirement: Arc<Requirement>,
    record: Option<Arc<KeyRecord>>,
    cost: u64,
}

impl Pending {
    /// A request that another layer meters already.
    pub(crate) fn metered_elsewhere(requirement: Arc<Requirement>) -> Self {
        Self { meter: None, at: Timestamp::default(), requirement, record: None, cost: 0 }
    }

    /// From here on it is known whose key it is.
    pub(crate) fn identify(&mut self, record: Arc<KeyRecord>) {
        self.record = Some(record);
    }

    /// From here on it weighs this much, in units.
    pub(crate) fn weigh(&mut self, cost: u64) {
        self.cost = cost;
    }

    pub(crate) fn conclude(mut self, outcome: Outcome) {
        self.record(outcome);
    }

    fn record(&mut self, outcome: Outcome) {
        let Some(meter) = self.meter.take() else {
            return;
        };
        meter.store.record(&UsageEvent {
            at: self.at,
            key: self.record.as_ref().map(|record| (record.id, &record.consumer)),
            operation: self.requirement.named_operation(),
            outcome,
            cost: self.cost,
            latency_micros: meter.clock.now().micros_since(self.at),
        });
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.record(Outcome::Aborted);
    }
}
