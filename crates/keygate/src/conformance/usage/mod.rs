//! The laws of [`UsageStore`].

mod laws;
mod scene;

use std::sync::Arc;

pub use self::laws::{
    every_event_counts_once, filters_select, granularities_agree, last_used_is_latest,
    rollups_are_by_key_operation_outcome,
};
use super::{Job, Law};
use crate::{
    clock::Timestamp,
    port::{BoxFuture, UsageStore},
};

/// A usage store under test.
pub trait UsageHarness: Send + Sync {
    /// The store. It must keep minutes for two hours, and hours and days for two days.
    fn store(&self) -> Arc<dyn UsageStore>;

    /// What time it is; the events of the laws lie in the two hours before.
    fn now(&self) -> Timestamp;

    /// Waits until what was recorded shows in queries.
    fn flush(&self) -> BoxFuture<'_, ()>;

    /// Runs jobs beside each other until all are done. A job that panics must not go unseen.
    fn run_concurrently(&self, jobs: Vec<Job>) -> BoxFuture<'_, ()>;
}

/// Every law, in the order of the port's doc comment.
pub const LAWS: &[Law<dyn UsageHarness>] = &[
    Law {
        name: "every_event_counts_once",
        check: |harness| Box::pin(every_event_counts_once(harness)),
    },
    Law {
        name: "rollups_are_by_key_operation_outcome",
        check: |harness| Box::pin(rollups_are_by_key_operation_outcome(harness)),
    },
    Law { name: "granularities_agree", check: |harness| Box::pin(granularities_agree(harness)) },
    Law { name: "filters_select", check: |harness| Box::pin(filters_select(harness)) },
    Law { name: "last_used_is_latest", check: |harness| Box::pin(last_used_is_latest(harness)) },
];
