//! The two verdicts, and why a request is refused.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{
    gate::Pending,
    limit::{Reading, Readings, Rule},
    plan::{Charged, Limit, Name},
    record::Caller,
    requirement::Requirement,
    wire::{Fields, Reply, Wire},
};

/// Why a request is refused. The word for it, [`code`](Self::code), is the same in the response
/// body, the log and the usage records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reason {
    /// No credential where one may stand.
    MissingKey,
    /// The credential has not the form of a key.
    MalformedKey,
    /// No such key.
    UnknownKey,
    /// The key is switched off.
    DisabledKey,
    /// The key is ended for good.
    RevokedKey,
    /// The key's time is over.
    ExpiredKey,
    /// The key's time has not come.
    KeyNotYetValid,
    /// Two different credentials, or one header twice.
    AmbiguousCredential,
    /// The key or its plan lacks a scope.
    InsufficientScope,
    /// A rate is exceeded.
    RateLimited,
    /// A quota is used up.
    QuotaExhausted,
    /// The request weighs more than a limit can ever hold.
    CostExceedsLimit,
    /// The counters of a limit that is closed on failure cannot be reached.
    LimiterUnavailable,
    /// The key store cannot be reached.
    KeysUnavailable,
    /// The key names a plan that the gate does not have.
    PlanUnavailable,
}

impl Reason {
    /// The stable word for it.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::MissingKey => "missing_key",
            Self::MalformedKey => "malformed_key",
            Self::UnknownKey => "unknown_key",
            Self::DisabledKey => "disabled_key",
            Self::RevokedKey => "revoked_key",
            Self::ExpiredKey => "expired_key",
            Self::KeyNotYetValid => "key_not_yet_valid",
            Self::AmbiguousCredential => "ambiguous_credential",
            Self::InsufficientScope => "insufficient_scope",
            Self::RateLimited => "rate_limited",
            Self::QuotaExhausted => "quota_exhausted",
            Self::CostExceedsLimit => "cost_exceeds_limit",
            Self::LimiterUnavailable => "limiter_unavailable",
            Self::KeysUnavailable => "keys_unavailable",
            Self::PlanUnavailable => "plan_unavailable",
        }
    }
}

/// What a gate concluded about a request. Adapters put it into the extensions of the response, for
/// logging and tracing layers around them.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Verdict {
    /// The request went on to the service.
    Admitted(Admitted),
    /// The request was answered by the gate.
    Rejected(Rejection),
}

/// Limits and what each said.
#[derive(Clone, Debug, Default)]
pub struct Counted {
    charged: Option<Arc<Charged>>,
    readings: Readings,
}

impl Counted {
    pub(crate) fn new(charged: Arc<Charged>, readings: Readings) -> Self {
        Self { charged: Some(charged), readings }
    }

    /// Each limit with its reading, in the order of the plan. Empty when nothing was counted.
    pub fn iter(&self) -> impl Iterator<Item = (&Limit, &Reading)> {
        self.limits().iter().zip(&self.readings)
    }

    fn limits(&self) -> &[Limit] {
        self.charged.as_deref().map_or(&[], |charged| charged)
    }

    /// What was charged, if anything was, and the readings.
    pub(crate) fn charged(&self) -> Option<&Charged> {
        self.charged.as_deref()
    }

    pub(crate) fn readings(&self) -> &[Reading] {
        &self.readings
    }

    /// Whether there is nothing to tell.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.readings.is_empty()
    }

    pub(crate) fn fits(&self) -> bool {
        self.readings.iter().all(|reading| reading.within)
    }

    pub(crate) fn failed(&self) -> impl Iterator<Item = (&Limit, &Reading)> {
        self.iter().filter(|(_, reading)| !reading.within)
    }

    /// Why a charge that did not fit is refused: a quota says more than a rate.
    pub(crate) fn reason(&self) -> Reason {
        let is_quota = |(limit, _): (&Limit, &Reading)| matches!(limit.rule(), Rule::Quota(_));
        if self.failed().any(is_quota) { Reason::QuotaExhausted } else { Reason::RateLimited }
    }
}

/// What is known of an admitted request.
#[derive(Clone, Debug)]
pub struct Admitted {
    caller: Caller,
    cost: u64,
    counted: Counted,
    degraded: bool,
}

impl Admitted {
    pub(crate) fn new(caller: Caller, cost: u64, counted: Counted, degraded: bool) -> Self {
        Self { caller, cost, counted, degraded }
    }

    /// Who called.
    #[must_use]
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// What it weighed, in units.
    #[must_use]
    pub fn cost(&self) -> u64 {
        self.cost
    }

    /// What each limit said.
    #[must_use]
    pub fn counted(&self) -> &Counted {
        &self.counted
    }

    /// Whether the shared counters could not be reached, so that the failure policy of the limits
    /// decided: admitted uncounted, or counted in this process against its share.
    #[must_use]
    pub fn is_degraded(&self) -> bool {
        self.degraded
    }
}

/// A request that may go on, and is not yet metered.
///
/// [`settle`](Self::settle) it once the status of the response is known. Dropped unsettled it is
/// metered as aborted: the client went away, or a timeout gave up. Dropped by a panic it is metered
/// as a failure of the service.
#[derive(Debug)]
#[must_use = "an admission that is dropped is metered as aborted; settle it"]
pub struct Admission {
    admitted: Admitted,
    pending: Pending,
    cross_origin: bool,
}

impl Admission {
    pub(crate) fn new(admitted: Admitted, pending: Pending, cross_origin: bool) -> Self {
        Self { admitted, pending, cross_origin }
    }

    /// Who calls.
    #[must_use]
    pub fn caller(&self) -> &Caller {
        self.admitted.caller()
    }

    /// What is known of the request.
    #[must_use]
    pub fn admitted(&self) -> &Admitted {
        &self.admitted
    }

    /// The header fields to append to the response. Empty for a second layer of the same gate.
    #[must_use]
    pub fn fields(&self) -> Fields {
        let counted = self.admitted.counted();
        self.pending.wire().map(|wire| wire.fields(counted, self.cross_origin)).unwrap_or_default()
    }

    /// Meters the request under the status of its response; `None` if the service failed without
    /// one.
    pub fn settle(self, status: Option<u16>) -> Verdict {
        self.pending.answered(status);
        Verdict::Admitted(self.admitted)
    }
}

/// Why a request goes no further, and what was found out until then. Boxed, for it is large and
/// rare.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    reason: Reason,
    detail: Option<&'static str>,
    caller: Option<Caller>,
    counted: Counted,
    violated: Vec<Name>,
}

impl From<Reason> for Box<Refusal> {
    fn from(reason: Reason) -> Self {
        let (counted, violated) = (Counted::default(), Vec::new());
        Self::new(Refusal { reason, detail: None, caller: None, counted, violated })
    }
}

impl Refusal {
    pub(crate) fn new(reason: Reason) -> Box<Self> {
        reason.into()
    }

    /// A charge that did not fit.
    pub(crate) fn of_charge(counted: Counted) -> Box<Self> {
        let violated = counted.failed().map(|(limit, _)| limit.name().clone()).collect();
        let mut refusal = Self::new(counted.reason()).violating(violated);
        refusal.counted = counted;
        refusal
    }

    pub(crate) fn reason(&self) -> Reason {
        self.reason
    }

    pub(crate) fn detail(mut self: Box<Self>, detail: Option<&'static str>) -> Box<Self> {
        self.detail = detail;
        self
    }

    pub(crate) fn caller(mut self: Box<Self>, caller: Caller) -> Box<Self> {
        self.caller = Some(caller);
        self
    }

    pub(crate) fn violating(mut self: Box<Self>, violated: Vec<Name>) -> Box<Self> {
        self.violated = violated;
        self
    }
}

/// A request that goes no further.
#[derive(Clone, Debug)]
pub struct Rejection {
    refusal: Box<Refusal>,
    requirement: Arc<Requirement>,
    wire: Arc<Wire>,
    cross_origin: bool,
}

impl Rejection {
    pub(crate) fn new(
        refusal: Box<Refusal>,
        requirement: Arc<Requirement>,
        wire: Arc<Wire>,
        cross_origin: bool,
    ) -> Self {
        Self { refusal, requirement, wire, cross_origin }
    }

    /// Why.
    #[must_use]
    pub fn reason(&self) -> Reason {
        self.refusal.reason
    }

    /// Who called, if that much was established.
    #[must_use]
    pub fn caller(&self) -> Option<&Caller> {
        self.refusal.caller.as_ref()
    }

    /// What each limit said, if it came to counting.
    #[must_use]
    pub fn counted(&self) -> &Counted {
        &self.refusal.counted
    }

    /// The names of the limits that refused.
    #[must_use]
    pub fn violated(&self) -> &[Name] {
        &self.refusal.violated
    }

    /// What the route demanded.
    #[must_use]
    pub fn requirement(&self) -> &Requirement {
        &self.requirement
    }

    /// The response to send.
    #[must_use]
    pub fn reply(&self) -> Reply {
        self.wire.reply(self)
    }

    pub(crate) fn detail(&self) -> Option<&'static str> {
        self.refusal.detail
    }

    pub(crate) fn is_cross_origin(&self) -> bool {
        self.cross_origin
    }
}
