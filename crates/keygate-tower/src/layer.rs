use std::net::{IpAddr, SocketAddr};
use std::{fmt, ops::RangeInclusive, sync::Arc};

use http::{Extensions, request::Parts};
use keygate::Gate;
use keygate::requirement::{Requirement, RequirementError};
use tower_layer::Layer;

use crate::Keygate;

/// Puts a gate before a service, with a [`Requirement`]: any valid key and a cost of one unit,
/// until more is said. Cheap to clone; layers of one gate share everything.
#[derive(Clone)]
#[must_use = "it does nothing until it is layered on a service"]
// In one piece, for axum clones a layer several times a request.
pub struct KeygateLayer(pub(crate) Arc<Shared>);

#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) gate: Arc<Gate>,
    pub(crate) requirement: Arc<Requirement>,
    pub(crate) cost: Option<Arc<CostOf>>,
    pub(crate) peer: Peer,
}

pub(crate) type Peer = fn(&Extensions) -> Option<IpAddr>;

type CostOf = dyn Fn(&Parts) -> u64 + Send + Sync;

impl KeygateLayer {
    /// A layer of this gate.
    pub fn new(gate: Arc<Gate>) -> Self {
        let peer = |extensions: &Extensions| extensions.get().map(SocketAddr::ip);
        Self(Arc::new(Shared { gate, requirement: Arc::default(), cost: None, peer }))
    }

    /// See [`Requirement::require`].
    ///
    /// # Errors
    /// If the query does not parse.
    pub fn require(self, query: &str) -> Result<Self, RequirementError> {
        Requirement::clone(&self.0.requirement).require(query).map(|it| self.demanding(it))
    }

    /// See [`Requirement::operation`].
    ///
    /// # Errors
    /// If the name is none.
    pub fn operation(self, name: &str) -> Result<Self, RequirementError> {
        Requirement::clone(&self.0.requirement).operation(name).map(|it| self.demanding(it))
    }

    /// See [`Requirement::cost`].
    pub fn cost(self, units: u64) -> Self {
        let requirement = Requirement::clone(&self.0.requirement).cost(units);
        self.with(requirement)
    }

    /// Weighs each request by its head, in units.
    pub fn cost_from(mut self, cost: impl Fn(&Parts) -> u64 + Send + Sync + 'static) -> Self {
        Arc::make_mut(&mut self.0).cost = Some(Arc::new(cost));
        self
    }

    /// See [`Requirement::refund_on`].
    pub fn refund_on(self, statuses: RangeInclusive<u16>) -> Self {
        let requirement = Requirement::clone(&self.0.requirement).refund_on(statuses);
        self.demanding(requirement)
    }

    /// Where the server puts the address of the peer; a `SocketAddr` among the extensions unless said
    /// otherwise. For axum: `|it| it.get::<ConnectInfo<SocketAddr>>().map(|it| it.0.ip())`.
    pub fn peer_from(mut self, peer: fn(&Extensions) -> Option<IpAddr>) -> Self {
        Arc::make_mut(&mut self.0).peer = peer;
        self
    }

    /// Requires this, in place of all that was said before.
    pub fn with(mut self, requirement: Requirement) -> Self {
        Arc::make_mut(&mut self.0).cost = None;
        self.demanding(requirement)
    }

    fn demanding(mut self, requirement: Requirement) -> Self {
        Arc::make_mut(&mut self.0).requirement = Arc::new(requirement);
        self
    }
}

impl<S> Layer<S> for KeygateLayer {
    type Service = Keygate<S>;

    fn layer(&self, inner: S) -> Keygate<S> {
        Keygate { inner, layer: self.clone() }
    }
}

impl fmt::Debug for KeygateLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KeygateLayer").field(&self.0.requirement).finish_non_exhaustive()
    }
}
