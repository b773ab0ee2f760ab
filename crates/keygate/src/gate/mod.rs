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
mod present;

use std::sync::{Arc, atomic::AtomicU64};

use arc_swap::ArcSwap;

pub use self::{
    builder::{GateBuilder, GateError},
    present::Presented,
};
use crate::{
    clock::{Clock, Timestamp},
    key::{Digester, KeyDigest, KeyFormat},
    keyring::Keyring,
    meter::{Meter, Pending},
    plan::{Plan, Plans},
    port::{CounterStore, KeyStore, UsageStore},
    record::{Caller, KeyRecord},
    usage::Outcome,
    verdict::{Admission, Admitted, Counted, Reason, Refusal, Rejection},
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
    keys: Arc<dyn KeyStore>,
    counters: Arc<dyn CounterStore>,
    meter: Arc<Meter>,
    clock: Arc<dyn Clock>,
    plans: Arc<ArcSwap<Plans>>,
    format: KeyFormat,
    digester: Arc<Digester>,
    wire: Arc<Wire>,
    public_paths: Vec<String>,
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

    /// Begins a gate; what is not set is kept in memory.
    pub fn builder(plans: Plans) -> GateBuilder {
        GateBuilder::new(plans)
    }

    /// Issues and manages the keys of this gate.
    #[must_use]
    pub fn keyring(&self) -> Keyring {
        Keyring::new(
            Arc::clone(&self.keys),
            Arc::clone(&self.plans),
            self.format.clone(),
            Arc::clone(&self.digester),
            Arc::clone(&self.clock),
        )
    }

    /// The usage it meters.
    #[must_use]
    pub fn usage(&self) -> &Arc<dyn UsageStore> {
        self.meter.store()
    }

    /// The plans in force.
    #[must_use]
    pub fn plans(&self) -> Arc<Plans> {
        self.plans.load_full()
    }

    /// Puts other plans in force, from the next request on and for every key at once. What was used
    /// stays used.
    pub fn replace_plans(&self, plans: Plans) {
        self.plans.store(Arc::new(plans));
    }

    /// Decides about a presented request: the verdict, metered once.
    ///
    /// # Errors
    /// The rejection, with the reply to send. A failing store is a verdict too, by the policy of
    /// the limits at hand.
    pub async fn admit(self: &Arc<Self>, presented: Presented) -> Result<Admission, Rejection> {
        if let Some(caller) = presented.admitted_by(self.number) {
            return self.narrow(caller.clone(), &presented);
        }
        let now = self.clock.now();
        let mut pending = self.meter.begin(now, Arc::clone(&presented.requirement));
        match self.decide(&presented, now, &mut pending).await {
            Ok(admitted) => {
                pending.weigh(admitted.cost());
                let wire = Some(Arc::clone(&self.wire));
                Ok(Admission::new(admitted, pending, wire, presented.cross_origin))
            }
            Err(refusal) => {
                let operation = presented.requirement.named_operation();
                tracing::debug!(reason = refusal.reason().code(), ?operation, "refused");
                pending.conclude(Outcome::Denied(refusal.reason()));
                Err(self.rejection(refusal, &presented))
            }
        }
    }

    async fn decide(
        &self,
        presented: &Presented,
        now: Timestamp,
        pending: &mut Pending,
    ) -> Result<Admitted, Box<Refusal>> {
        let (record, digest) = self.find(presented.digests()?).await?;
        pending.identify(Arc::clone(&record));
        record.authenticate(&digest, now)?;
        let plan = self.plan_of(&record)?;
        let caller = Caller::new(record, plan, self.number);
        match caller.authorize(presented.requirement.scopes()) {
            Ok(()) => self.charge(caller, presented).await,
            Err(reason) => Err(Refusal::new(reason).caller(caller)),
        }
    }

    /// The record behind one of the digests a key text may have.
    async fn find(&self, digests: &[KeyDigest]) -> Result<(Arc<KeyRecord>, KeyDigest), Reason> {
        for digest in digests {
            match self.keys.find(digest).await {
                Ok(Some(record)) => return Ok((record, *digest)),
                Ok(None) => {}
                Err(error) => {
                    tracing::error!(%error, "the key store failed; the request is refused");
                    return Err(Reason::KeysUnavailable);
                }
            }
        }
        Err(Reason::UnknownKey)
    }

    fn plan_of(&self, record: &KeyRecord) -> Result<Arc<Plan>, Reason> {
        let plans = self.plans.load();
        plans.find(record.plan.as_str()).cloned().ok_or_else(|| {
            let (key, plan, known) = (record.id, &record.plan, plans.names());
            tracing::error!(%key, %plan, %known, "a key names a plan that the gate does not have");
            Reason::PlanUnavailable
        })
    }

    /// A second layer of this gate on one route: the caller is known and counted already, and only
    /// what this layer demands of its scopes is left to check.
    fn narrow(&self, caller: Caller, presented: &Presented) -> Result<Admission, Rejection> {
        match caller.authorize(presented.requirement.scopes()) {
            Ok(()) => {
                let admitted = Admitted::new(caller, 0, Counted::default(), false);
                let pending = Pending::metered_elsewhere(Arc::clone(&presented.requirement));
                Ok(Admission::new(admitted, pending, None, presented.cross_origin))
            }
            Err(reason) => Err(self.rejection(Refusal::new(reason).caller(caller), presented)),
        }
    }

    fn rejection(&self, refusal: Box<Refusal>, presented: &Presented) -> Rejection {
        let (requirement, wire) = (Arc::clone(&presented.requirement), Arc::clone(&self.wire));
        Rejection::new(refusal, requirement, wire, presented.cross_origin)
    }
}
