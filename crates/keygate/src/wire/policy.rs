//! The last policy told about a list of limits, so that the hot path does not write it again.

use std::fmt;

use arc_swap::ArcSwapOption;
use smallvec::SmallVec;

use super::FieldValue;
use crate::{limit::Reading, verdict::Counted};

/// At most one text, and the lengths of the windows it speaks of: all that may change in a policy
/// while its limits stay the same. Belongs to the one list of limits it is kept with.
#[derive(Default)]
pub(crate) struct LastPolicy(ArcSwapOption<Policy>);

struct Policy {
    window_seconds: SmallVec<[u64; 4]>,
    value: FieldValue,
}

impl LastPolicy {
    /// The policy of these readings, by `write` if it is another one than last time.
    pub(super) fn of(&self, counted: &Counted, write: impl FnOnce() -> String) -> FieldValue {
        let windows = || counted.readings().iter().map(|reading: &Reading| reading.window_seconds);
        if let Some(last) = &*self.0.load()
            && last.window_seconds.iter().copied().eq(windows())
        {
            return last.value.clone();
        }
        let value = FieldValue::shared(write());
        let policy = Policy { window_seconds: windows().collect(), value: value.clone() };
        self.0.store(Some(policy.into()));
        value
    }
}

impl Clone for LastPolicy {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl fmt::Debug for LastPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LastPolicy")
    }
}
