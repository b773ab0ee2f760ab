//! The gate: the one flow every request takes, whatever the framework.
//!
//! ```text
//! present ─► find ─► authenticate ─► authorize ─► charge ─► conclude
//! ```
//!
//! [`Gate::present`] looks at the request and needs no store; [`Gate::admit`] asks the stores and
//! needs no request. Checks go from cheap to dear, and nothing is charged unless everything before
//! it passed; then every limit is charged in one step, or none is.
//!
//! ```
//! use keygate::{gate::Gate, keyring::NewKey, plan::Plans};
//!
//! # pollster::block_on(async {
//! let plans = Plans::from_toml(r#"
//!     [plans.free]
//!     scopes = ["orders:read"]
//!     limits = [{ name = "daily", quota = 1000, per = "day" }]
//! "#)?;
//! let gate = Gate::in_memory(plans)?;
//! let issued = gate.keyring().issue(NewKey::new("acme", "free").scopes(["orders:read"])).await?;
//! println!("shown once: {}", issued.key.expose());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```

mod builder;
mod charge;

mod pending;
mod present;

use std::sync::{Arc, atomic::AtomicU64};

pub use self::{
    builder::{GateBuilder, GateError},
    present::Presented,
};
pub(crate) use self::{charge::Taken, pending::Pending};
use crate::{
    clock::Clock,
    failures::Failures,
    key::{Digester, KeyFormat},
    keyring::Keyring,
    memory::MemoryCounters,
    plan::{LivePlans, Name, Plans},
    port::{Answer, CounterStore, KeyStore, UsageStore},
    verdict::{Passage, Rejection},
    wire::Wire,
};

/// Gates are told apart by number, so that two layers of one gate count a request once, and layers
/// of two gates count it twice.
static NEXT_GATE: AtomicU64 = AtomicU64::new(0);

/// Validates keys, checks what they may do, counts and meters requests.
///
/// One gate serves every framework and protocol of a process. It has no type parameters: its stores
/// are trait objects, so an `Arc<Gate>` fits any state.
#[derive(Debug)]
pub struct Gate {
    number: u64,
    /// Tells the slots of this gate from those of others, in any process.
    process: u64,
    slots: AtomicU64,
    keys: Arc<dyn KeyStore>,
    counters: Arc<dyn CounterStore>,
    usage: Arc<dyn UsageStore>,
    /// Counts by the policy `local_share` while the shared counters cannot be reached.
    local: MemoryCounters,
    degraded: Failures,
    without_keys: Failures,
    /// Keys of plans that the gate does not have.
    without_plan: Failures,
    /// Requests that were counted before a layer that names what else to count.
    counted_before: Failures,
    clock: Arc<dyn Clock>,
    plans: LivePlans,
    format: KeyFormat,
    digester: Arc<Digester>,
    wire: Arc<Wire>,
    public_paths: Vec<String>,
    /// The plan of callers without a key.
    anonymous: Option<Name>,
    /// Whether layers around the gate's are told of admitted requests.
    tells_admitted: bool,
}

impl Gate {
    /// A gate that keeps everything in this process: keys, counters and usage are gone with it, and
    /// replicas do not share them.
    ///
    /// # Errors
    /// None with these settings; [`Gate::builder`] shares the signature.
    pub fn in_memory(plans: Plans) -> Result<Arc<Self>, GateError> {
        Self::builder(plans).build()
    }

    /// Begins a gate; what is not set is kept in memory. With [`LivePlans`] instead of [`Plans`] it
    /// follows the edits that somebody else makes.
    pub fn builder(plans: impl Into<LivePlans>) -> GateBuilder {
        GateBuilder::new(plans.into())
    }

    /// Issues and manages the keys of this gate.
    #[must_use]
    pub fn keyring(&self) -> Keyring {
        Keyring::new(
            Arc::clone(&self.keys),
            self.plans.clone(),
            self.format.clone(),
            Arc::clone(&self.digester),
            Arc::clone(&self.clock),
        )
    }

    /// The usage it meters.
    #[must_use]
    pub fn usage(&self) -> &Arc<dyn UsageStore> {
        &self.usage
    }

    /// The plans in force.
    #[must_use]
    pub fn plans(&self) -> Arc<Plans> {
        self.plans.load()
    }

    /// Puts other plans in force, from the next request on and for every key at once. What was used
    /// stays used.
    pub fn replace_plans(&self, plans: Plans) {
        self.plans.replace(plans);
    }

    /// How many requests were decided by the failure policy of their limits, because the counters
    /// could not be reached, since the gate was built.
    #[must_use]
    pub fn degraded(&self) -> u64 {
        self.degraded.total()
    }

    /// Decides about a presented request: the verdict, metered once.
    ///
    /// The answer borrows nothing. Where the stores answer at once, so does this, and has counted the request
    /// when it returns. Dropped before it is done, the request is metered as aborted.
    ///
    /// # Errors
    /// The rejection, with the reply to send. A failing store is a verdict too, by the policy of
    /// the limits at hand.
    pub fn admit(
        self: &Arc<Self>,
        presented: Presented,
    ) -> Answer<'static, Result<Passage, Rejection>> {
        let Presented { requirement, shown, cost, manner, borne } = presented;
        // Before the first poll: a request that is dropped at once was here too.
        let pending = Pending::new(Arc::clone(self), requirement, manner, &shown, borne);
        pending.decide(shown, cost)
    }
}
