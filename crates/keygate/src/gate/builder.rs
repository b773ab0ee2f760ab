use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use super::{Gate, NEXT_GATE};
use crate::{
    clock::{AnchoredClock, Clock},
    failures::Failures,
    key::{Digester, EntropyError, KeyFormat, random_u64},
    memory::{MemoryCounters, MemoryKeys, MemoryUsage},
    plan::{LivePlans, Name, NameError},
    port::{CounterStore, KeyStore, UsageStore},
    wire::Wire,
};

/// A gate in the making: every port and setting, in memory and by default unless set.
#[derive(Debug)]
#[must_use]
pub struct GateBuilder {
    plans: LivePlans,
    keys: Option<Arc<dyn KeyStore>>,
    counters: Option<Arc<dyn CounterStore>>,
    usage: Option<Arc<dyn UsageStore>>,
    clock: Option<Arc<dyn Clock>>,
    format: KeyFormat,
    digester: Digester,
    wire: Wire,
    public_paths: Vec<String>,
    anonymous: Option<String>,
    tells_admitted: bool,
}

impl GateBuilder {
    pub(super) fn new(plans: LivePlans) -> Self {
        Self {
            plans,
            keys: None,
            counters: None,
            usage: None,
            clock: None,
            format: KeyFormat::default(),
            digester: Digester::default(),
            wire: Wire::default(),
            public_paths: Vec::new(),
            anonymous: None,
            tells_admitted: false,
        }
    }

    /// Where key records are kept.
    pub fn keys(self, keys: Arc<dyn KeyStore>) -> Self {
        Self { keys: Some(keys), ..self }
    }

    /// Where limits are counted.
    pub fn counters(self, counters: Arc<dyn CounterStore>) -> Self {
        Self { counters: Some(counters), ..self }
    }

    /// Where usage is kept.
    pub fn usage(self, usage: Arc<dyn UsageStore>) -> Self {
        Self { usage: Some(usage), ..self }
    }

    /// The clock, for the dates of keys, for usage, and for counters in memory; an
    /// [`AnchoredClock`] by default.
    pub fn clock(self, clock: Arc<dyn Clock>) -> Self {
        Self { clock: Some(clock), ..self }
    }

    /// The form of the keys it issues and takes; `kg_live_…` by default.
    pub fn key_format(self, format: KeyFormat) -> Self {
        Self { format, ..self }
    }

    /// How key texts are hashed; plain SHA-256 by default.
    pub fn digester(self, digester: Digester) -> Self {
        Self { digester, ..self }
    }

    /// How it speaks HTTP.
    pub fn wire(self, wire: Wire) -> Self {
        Self { wire, ..self }
    }

    /// A path that needs no key, compared to the letter: `/healthz` opens neither `/healthz/` nor
    /// anything below it.
    ///
    /// It is the path that the layer sees. Inside a router that is nested under `/admin`, most
    /// frameworks show `/healthz` for `/admin/healthz`: put the layer outside, or use
    /// [`Requirement::public`](crate::requirement::Requirement::public) on the route itself.
    pub fn public_path(mut self, path: impl Into<String>) -> Self {
        self.public_paths.push(path.into());
        self
    }

    /// Admits requests without a key under this plan, each client address as a consumer of its own. The
    /// scopes of the plan are what they may do.
    ///
    /// Without it, which is the default, a request without a key is refused; and one that shows a key
    /// that is no good is refused in any case.
    pub fn anonymous(self, plan: impl Into<String>) -> Self {
        Self { anonymous: Some(plan.into()), ..self }
    }

    /// Puts the [`Verdict`](crate::verdict::Verdict) on an admitted request into the extensions of its response,
    /// for logging and tracing layers around the gate's. The verdict on a refused one is always there.
    ///
    /// Without it, which is the default, who calls is known further in, by the `Caller` in the extensions of the
    /// request, and a response behind tower costs three allocations less.
    pub fn tell_admitted(self) -> Self {
        Self { tells_admitted: true, ..self }
    }

    /// Builds the gate.
    ///
    /// # Errors
    /// If the wire has no place for a credential, a public path is none that a request can have, or the
    /// random generator of the operating system fails.
    pub fn build(self) -> Result<Arc<Gate>, GateError> {
        if !self.wire.has_places() {
            return Err(GateError::NoPlace);
        }
        let is_path = |path: &str| path.starts_with('/') && !path.contains(['?', '#']);
        if let Some(path) = self.public_paths.iter().find(|path| !is_path(path)) {
            return Err(GateError::PublicPath { given: path.clone() });
        }
        let anonymous = self.anonymous.map(|plan| Name::parse(&plan)).transpose()?;
        let clock = self.clock.unwrap_or_else(|| Arc::new(AnchoredClock::new()));
        let usage = self.usage.unwrap_or_else(|| Arc::new(MemoryUsage::default()));
        Ok(Arc::new(Gate {
            number: NEXT_GATE.fetch_add(1, Ordering::Relaxed),
            process: random_u64()?,
            slots: AtomicU64::new(0),
            keys: self.keys.unwrap_or_else(|| Arc::new(MemoryKeys::default())),
            counters: self
                .counters
                .unwrap_or_else(|| Arc::new(MemoryCounters::new(Arc::clone(&clock)))),
            usage,
            local: MemoryCounters::new(Arc::clone(&clock)),
            degraded: Failures::default(),
            without_keys: Failures::default(),
            without_plan: Failures::default(),
            counted_before: Failures::default(),
            clock,
            plans: self.plans,
            format: self.format,
            digester: Arc::new(self.digester),
            wire: Arc::new(self.wire),
            public_paths: self.public_paths,
            anonymous,
            tells_admitted: self.tells_admitted,
        }))
    }
}

/// A gate that cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GateError {
    /// No key could ever be presented.
    #[error("wire: no place for a credential; add `bearer()`, `header(…)` or `query(…)`")]
    NoPlace,
    /// A public path that no request can have.
    #[error("public path `{}`: a path begins with `/` and ends before `?` and `#`", .given.escape_debug())]
    PublicPath {
        /// What was given.
        given: String,
    },
    /// A plan for callers without a key that has an impossible name.
    #[error("anonymous plan: {0}")]
    Anonymous(#[from] NameError),
    /// No name for this process among all others.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
}
