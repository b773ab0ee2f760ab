use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};

use super::Plans;

/// The plans in force: an edit reaches every holder at once.
///
/// A gate, its keyring and whoever edits plans hold the same. Cheap to clone.
///
/// ```
/// use keygate::plan::{LivePlans, Plans};
///
/// let plans = LivePlans::new(Plans::from_toml("[plans.free]")?);
/// let seen_elsewhere = plans.clone();
/// plans.replace(Plans::from_toml("[plans.free]\n[plans.pro]")?);
/// assert_eq!(seen_elsewhere.load().names(), "free, pro");
/// # Ok::<(), keygate::plan::PlanError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct LivePlans(Arc<ArcSwap<Plans>>);

impl LivePlans {
    /// These plans, until they are replaced.
    #[must_use]
    pub fn new(plans: Plans) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(plans)))
    }

    /// The plans in force now.
    #[must_use]
    pub fn load(&self) -> Arc<Plans> {
        self.0.load_full()
    }

    /// Puts other plans in force, from the next request on and for every key at once. What was used
    /// stays used.
    pub fn replace(&self, plans: Plans) {
        self.0.store(Arc::new(plans));
    }

    /// Without counting a reference, for the length of a lookup.
    pub(crate) fn peek(&self) -> Guard<Arc<Plans>> {
        self.0.load()
    }
}

impl From<Plans> for LivePlans {
    fn from(plans: Plans) -> Self {
        Self::new(plans)
    }
}
