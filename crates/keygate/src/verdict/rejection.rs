use std::{sync::Arc, time::Duration};

use super::{Counted, Reason};
use crate::{
    plan::Name,
    record::{Identity, KeyRecord},
    requirement::Requirement,
    wire::{Close, GrpcStatus, Manner, Reply, Wire},
};

/// How long to wait while a store is out of reach.
const RETRY_UNAVAILABLE: Duration = Duration::from_secs(1);

/// Why a request goes no further, and what was found out until then. Boxed, for it is large and
/// rare.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    reason: Reason,
    detail: Option<&'static str>,
    caller: Option<Identity>,
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

    /// The record of whoever called, if that much was established.
    pub(crate) fn record(&self) -> Option<&KeyRecord> {
        self.caller.as_ref()?.record().map(|record| &**record)
    }

    pub(crate) fn detail(mut self: Box<Self>, detail: Option<&'static str>) -> Box<Self> {
        self.detail = detail;
        self
    }

    pub(crate) fn caller(mut self: Box<Self>, caller: Identity) -> Box<Self> {
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
    manner: Manner,
}

impl Rejection {
    pub(crate) fn new(
        refusal: Box<Refusal>,
        requirement: Arc<Requirement>,
        wire: Arc<Wire>,
        manner: Manner,
    ) -> Self {
        Self { refusal, requirement, wire, manner }
    }

    /// Why.
    #[must_use]
    pub fn reason(&self) -> Reason {
        self.refusal.reason
    }

    /// Who called, if that much was established.
    #[must_use]
    pub fn caller(&self) -> Option<&Identity> {
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

    /// How long to wait before the same may be tried again. `None` if it will never be admitted as it
    /// is: another key, other scopes or a smaller cost is needed.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self.reason() {
            Reason::LimiterUnavailable | Reason::KeysUnavailable | Reason::PlanUnavailable => {
                Some(RETRY_UNAVAILABLE)
            }
            _ => {
                let waits = self.counted().failed().map(|(_, reading)| reading.retry_micros);
                let longest = waits.reduce(|one, other| Some(one?.max(other?)));
                longest.flatten().map(Duration::from_micros)
            }
        }
    }

    /// The response to send.
    #[must_use]
    pub fn reply(&self) -> Reply {
        self.wire.reply(self)
    }

    /// The same for a stream of gRPC that is under way, whose head was sent.
    #[must_use]
    pub fn grpc_status(&self) -> GrpcStatus {
        GrpcStatus::of(self)
    }

    /// The same for a WebSocket that is open: how to close it.
    #[must_use]
    pub fn close(&self) -> Close {
        Close::of(self)
    }

    pub(crate) fn detail(&self) -> Option<&'static str> {
        self.refusal.detail
    }

    pub(crate) fn manner(&self) -> Manner {
        self.manner
    }
}
