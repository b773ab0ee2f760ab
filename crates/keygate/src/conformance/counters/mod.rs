//! The laws of [`CounterStore`].

mod amounts;
mod model;
mod scene;
mod settling;
mod shares;
mod slots;
mod time;

use std::{sync::Arc, time::Duration};

pub use self::{
    amounts::{
        all_or_nothing, burst_then_pace, concurrency_never_oversells, cost_is_weight,
        denied_moves_nothing, over_capacity_never_fits, quota_is_exact,
    },
    model::agrees_with_limit,
    settling::{extra_is_owed, refund_is_bounded},
    shares::{partitions_are_strangers, plan_change_keeps_usage, reset_forgets_usage},
    slots::slots_are_exact,
    time::{period_turns_over, reset_never_lies, retry_is_honest, state_always_expires},
};
use super::{Job, Law};
use crate::{
    clock::Timestamp,
    port::{BoxFuture, CounterStore},
};

/// A counter store under test, and the world it counts in.
///
/// A store by an injected clock stands still between calls and lets any span go by at once; its
/// laws are then checked to the microsecond. A store by a running clock sleeps; each law then allows
/// for the time its own calls take.
pub trait CounterHarness: Send + Sync {
    /// The store.
    fn store(&self) -> Arc<dyn CounterStore>;

    /// What time the store counts by.
    fn now(&self) -> BoxFuture<'_, Timestamp>;

    /// Lets this span or more pass.
    fn pass(&self, span: Duration) -> BoxFuture<'_, ()>;

    /// Whether time stands still unless [`pass`](Self::pass) moves it, and then by no more than told.
    fn stands_still(&self) -> bool;

    /// The longest span that [`pass`](Self::pass) may be asked for. Rates need two seconds; quotas
    /// need 100 days, and are left out of the laws about time where that is too much.
    fn patience(&self) -> Duration;

    /// Runs jobs beside each other until all are done. A job that panics must not go unseen.
    fn run_concurrently(&self, jobs: Vec<Job>) -> BoxFuture<'_, ()>;

    /// How many owners the store keeps counters of, once it swept what it sweeps by itself; `None`
    /// if that cannot be told. Nobody else may use the store between two of these calls.
    fn owners(&self) -> BoxFuture<'_, Option<usize>>;
}

/// Every law, in the order of the port's doc comment.
pub const LAWS: &[Law<dyn CounterHarness>] = &[
    Law { name: "burst_then_pace", check: |harness| Box::pin(burst_then_pace(harness)) },
    Law { name: "quota_is_exact", check: |harness| Box::pin(quota_is_exact(harness)) },
    Law { name: "all_or_nothing", check: |harness| Box::pin(all_or_nothing(harness)) },
    Law { name: "denied_moves_nothing", check: |harness| Box::pin(denied_moves_nothing(harness)) },
    Law {
        name: "partitions_are_strangers",
        check: |harness| Box::pin(partitions_are_strangers(harness)),
    },
    Law { name: "cost_is_weight", check: |harness| Box::pin(cost_is_weight(harness)) },
    Law {
        name: "over_capacity_never_fits",
        check: |harness| Box::pin(over_capacity_never_fits(harness)),
    },
    Law { name: "retry_is_honest", check: |harness| Box::pin(retry_is_honest(harness)) },
    Law { name: "period_turns_over", check: |harness| Box::pin(period_turns_over(harness)) },
    Law { name: "reset_never_lies", check: |harness| Box::pin(reset_never_lies(harness)) },
    Law {
        name: "plan_change_keeps_usage",
        check: |harness| Box::pin(plan_change_keeps_usage(harness)),
    },
    Law {
        name: "concurrency_never_oversells",
        check: |harness| Box::pin(concurrency_never_oversells(harness)),
    },
    Law { name: "state_always_expires", check: |harness| Box::pin(state_always_expires(harness)) },
    Law { name: "reset_forgets_usage", check: |harness| Box::pin(reset_forgets_usage(harness)) },
    Law { name: "slots_are_exact", check: |harness| Box::pin(slots_are_exact(harness)) },
    Law { name: "extra_is_owed", check: |harness| Box::pin(extra_is_owed(harness)) },
    Law { name: "refund_is_bounded", check: |harness| Box::pin(refund_is_bounded(harness)) },
    Law { name: "agrees_with_limit", check: |harness| Box::pin(agrees_with_limit(harness)) },
];
