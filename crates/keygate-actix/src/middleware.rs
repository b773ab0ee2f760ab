use std::{fmt, future, ops::RangeInclusive, rc::Rc, sync::Arc};

use actix_web::Error;
use actix_web::dev::{RequestHead, Service, ServiceRequest, ServiceResponse, Transform};
use keygate::Gate;
use keygate::requirement::{Requirement, RequirementError};

use crate::{KeygateMiddleware, service::Gated};

/// Puts a gate before an app, a scope or a resource, with a [`Requirement`]: any valid key and a cost
/// of one unit, until more is said. Cheap to clone; clones share the gate.
///
/// Build the gate once, outside of the closure that makes the app: every worker runs that closure, and
/// a gate of its own for each worker would count for itself.
#[derive(Clone)]
#[must_use = "it does nothing until something is wrapped in it"]
pub struct Keygate {
    pub(crate) gate: Arc<Gate>,
    pub(crate) requirement: Arc<Requirement>,
    pub(crate) cost: Option<Arc<CostOf>>,
}

type CostOf = dyn Fn(&RequestHead) -> u64 + Send + Sync;

impl Keygate {
    /// Middleware of this gate.
    pub fn new(gate: Arc<Gate>) -> Self {
        Self { gate, requirement: Arc::default(), cost: None }
    }

    /// See [`Requirement::require`].
    ///
    /// # Errors
    /// If the query does not parse.
    pub fn require(self, query: &str) -> Result<Self, RequirementError> {
        self.demand().require(query).map(|it| self.demanding(it))
    }

    /// See [`Requirement::operation`].
    ///
    /// # Errors
    /// If the name is none.
    pub fn operation(self, name: &str) -> Result<Self, RequirementError> {
        self.demand().operation(name).map(|it| self.demanding(it))
    }

    /// See [`Requirement::cost`].
    pub fn cost(self, units: u64) -> Self {
        let requirement = self.demand().cost(units);
        self.with(requirement)
    }

    /// Weighs each request by its head, in units.
    pub fn cost_from(self, cost: impl Fn(&RequestHead) -> u64 + Send + Sync + 'static) -> Self {
        Self { cost: Some(Arc::new(cost)), ..self }
    }

    /// See [`Requirement::refund_on`].
    pub fn refund_on(self, statuses: RangeInclusive<u16>) -> Self {
        let requirement = self.demand().refund_on(statuses);
        self.demanding(requirement)
    }

    /// Requires this, in place of all that was said before.
    pub fn with(self, requirement: Requirement) -> Self {
        Self { cost: None, ..self.demanding(requirement) }
    }

    fn demand(&self) -> Requirement {
        Requirement::clone(&self.requirement)
    }

    fn demanding(self, requirement: Requirement) -> Self {
        Self { requirement: Arc::new(requirement), ..self }
    }
}

impl<S, B> Transform<S, ServiceRequest> for Keygate
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    B: 'static,
{
    type Response = Gated<B>;
    type Error = Error;
    type Transform = KeygateMiddleware<S>;
    type InitError = ();
    type Future = future::Ready<Result<KeygateMiddleware<S>, ()>>;

    fn new_transform(&self, service: S) -> Self::Future {
        future::ready(Ok(KeygateMiddleware { service: Rc::new(service), keys: self.clone() }))
    }
}

impl fmt::Debug for Keygate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keygate").field("requirement", &self.requirement).finish_non_exhaustive()
    }
}
