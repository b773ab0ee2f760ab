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
pub struct KeygateLayer {
    // In one piece, for axum clones a layer several times a request.
    pub(crate) shared: Arc<Shared>,
}

#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) gate: Arc<Gate>,
    pub(crate) requirement: Arc<Requirement>,
    pub(crate) cost: Option<Arc<CostOf>>,
    pub(crate) peer: PeerOf,
}

type CostOf = dyn Fn(&Parts) -> u64 + Send + Sync;
type PeerOf = fn(&Extensions) -> Option<IpAddr>;

impl KeygateLayer {
    /// A layer of this gate.
    #[must_use]
    pub fn new(gate: Arc<Gate>) -> Self {
        let peer: PeerOf = |extensions| extensions.get().map(SocketAddr::ip);
        let shared = Shared { gate, requirement: Arc::default(), cost: None, peer };
        Self { shared: Arc::new(shared) }
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
    #[must_use]
    pub fn cost(self, units: u64) -> Self {
        let requirement = self.demand().cost(units);
        self.with(requirement)
    }

    /// Weighs each request by its head, in units.
    #[must_use]
    pub fn cost_from(mut self, cost: impl Fn(&Parts) -> u64 + Send + Sync + 'static) -> Self {
        Arc::make_mut(&mut self.shared).cost = Some(Arc::new(cost));
        self
    }

    /// See [`Requirement::refund_on`].
    #[must_use]
    pub fn refund_on(self, statuses: RangeInclusive<u16>) -> Self {
        let requirement = self.demand().refund_on(statuses);
        self.demanding(requirement)
    }

    /// Where the server puts the address of the peer; a `SocketAddr` among the extensions unless said
    /// otherwise. For axum: `|it| it.get::<ConnectInfo<SocketAddr>>().map(|it| it.0.ip())`.
    #[must_use]
    pub fn peer_from(mut self, peer: fn(&Extensions) -> Option<IpAddr>) -> Self {
        Arc::make_mut(&mut self.shared).peer = peer;
        self
    }

    /// Requires this, in place of all that was said before.
    #[must_use]
    pub fn with(mut self, requirement: Requirement) -> Self {
        Arc::make_mut(&mut self.shared).cost = None;
        self.demanding(requirement)
    }

    fn demand(&self) -> Requirement {
        Requirement::clone(&self.shared.requirement)
    }

    fn demanding(mut self, requirement: Requirement) -> Self {
        Arc::make_mut(&mut self.shared).requirement = Arc::new(requirement);
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
        f.debug_struct("KeygateLayer")
            .field("requirement", &self.shared.requirement)
            .finish_non_exhaustive()
    }
}
