//! The policies told about a list of limits, so that the hot path does not write them again.

use std::{fmt, sync::OnceLock};

use smallvec::SmallVec;

use super::FieldValue;
use crate::{limit::Reading, verdict::Counted};

/// Every policy told so far, the first one first. All that may change in a policy while its limits stay
/// the same is how long their windows are, and calendars know few lengths: months of 28 to 31 days, days of
/// 23 to 25 hours. Belongs to the one list of limits it is kept with.
#[derive(Default)]
pub(crate) struct Policies(OnceLock<Box<Policy>>);

struct Policy {
    window_seconds: SmallVec<[u64; 4]>,
    value: FieldValue,
    others: Policies,
}

impl Policies {
    /// The policy of these readings, by `write` if it was never told before.
    pub(super) fn of(&self, counted: &Counted, write: impl FnOnce() -> String) -> FieldValue {
        let windows = || counted.readings().iter().map(|reading: &Reading| reading.window_seconds);
        let mut policies = self;
        while let Some(policy) = policies.0.get() {
            if policy.window_seconds.iter().copied().eq(windows()) {
                return policy.value.clone();
            }
            policies = &policy.others;
        }
        let value = FieldValue::shared(write());
        let policy = Policy {
            window_seconds: windows().collect(),
            value: value.clone(),
            others: Self::default(),
        };
        // Whoever came first at the same time is told next time.
        let _ = policies.0.set(Box::new(policy));
        value
    }
}

impl Clone for Policies {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl fmt::Debug for Policies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Policies")
    }
}
