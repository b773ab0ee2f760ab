//! The parts of the RateLimit fields that stay the same from request to request, so that the hot path does not
//! write them again.

use std::{fmt, iter, sync::OnceLock};

use smallvec::SmallVec;

use super::{FieldValue, fields::GAP};
use crate::{limit::Reading, plan::Limit, verdict::Counted};

/// Belongs to the one list of limits it is kept with.
pub(crate) struct FieldParts {
    /// What stands before the number of each limit in the list of what remains.
    pub(super) heads: Box<[Box<str>]>,
    pub(super) policies: Policies,
}

/// Every policy told so far, the first one first. All that may change in a policy while its limits stay
/// the same is how long their windows are, and calendars know few lengths: months of 28 to 31 days, days of
/// 23 to 25 hours.
#[derive(Default)]
pub(super) struct Policies(OnceLock<Box<Policy>>);

struct Policy {
    window_seconds: SmallVec<[u64; 4]>,
    value: FieldValue,
    others: Policies,
}

impl FieldParts {
    pub(crate) fn of(limits: &[Limit]) -> Self {
        let gaps = iter::once("").chain(iter::repeat(GAP));
        // Names of limits hold no character that would need an escape.
        let head = |(gap, limit): (_, &Limit)| format!("{gap}\"{}\";r=", limit.name()).into();
        let heads = gaps.zip(limits).map(head).collect();
        Self { heads, policies: Policies::default() }
    }
}

impl Policies {
    /// The policy of these readings, by `write` if it was never told before.
    pub(super) fn of(&self, counted: &Counted, write: impl Fn() -> String) -> FieldValue {
        let windows = || counted.readings().iter().map(|reading: &Reading| reading.window_seconds);
        let new = || Policy {
            window_seconds: windows().collect(),
            value: FieldValue::shared(write()),
            others: Self::default(),
        };
        let mut policies = self;
        loop {
            let policy = policies.0.get_or_init(|| Box::new(new()));
            if policy.window_seconds.iter().copied().eq(windows()) {
                return policy.value.clone();
            }
            policies = &policy.others;
        }
    }
}

impl fmt::Debug for FieldParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FieldParts")
    }
}
