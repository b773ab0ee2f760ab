//! What a route demands of a request.

use std::ops::RangeInclusive;

use crate::{
    plan::{Name, NameError},
    scope::{ScopeQuery, ScopeQueryError},
};

/// What a service that fails without a response amounts to.
const FAILED: u16 = 500;

/// What a route demands: scopes, an operation and a cost, or nothing at all.
///
/// The default demands any valid key, names no operation and costs one unit.
///
/// Operation, cost and refunds belong to the first layer of a gate that a request meets: it counts. A further
/// layer of the same gate only checks its scopes.
///
/// ```
/// use keygate::requirement::Requirement;
///
/// let orders = Requirement::default().require("orders:write")?.operation("orders")?.cost(5);
/// assert!(Requirement::default().require("orders:write &").is_err());
/// # Ok::<(), keygate::requirement::RequirementError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    scopes: Vec<ScopeQuery>,
    operation: Option<Name>,
    cost: u64,
    refunded: Vec<RangeInclusive<u16>>,
    public: bool,
}

impl Default for Requirement {
    fn default() -> Self {
        Self { scopes: Vec::new(), operation: None, cost: 1, refunded: Vec::new(), public: false }
    }
}

impl Requirement {
    /// A route that needs no key.
    #[must_use]
    pub fn public() -> Self {
        Self { public: true, ..Self::default() }
    }

    /// Demands scopes, such as `orders:write` or `orders:write & (eu | us)`. Given twice, both
    /// queries must be met.
    ///
    /// # Errors
    /// If the query does not parse.
    pub fn require(mut self, query: &str) -> Result<Self, RequirementError> {
        self.scopes.push(query.parse()?);
        Ok(self)
    }

    /// Names the operation, for the limits that count it and for usage.
    ///
    /// # Errors
    /// If the name is none.
    pub fn operation(self, name: &str) -> Result<Self, RequirementError> {
        Ok(Self { operation: Some(Name::parse(name)?), ..self })
    }

    /// What a request weighs, in units. A cost of 0 is checked and metered, but not charged.
    #[must_use]
    pub fn cost(self, cost: u64) -> Self {
        Self { cost, ..self }
    }

    /// Gives back what a request was charged if its response has one of these statuses, such as
    /// `500..=599`. A service that fails without a response counts as 500, and a response of gRPC by what
    /// its status amounts to. Given twice, both are refunded.
    ///
    /// ```
    /// use keygate::requirement::Requirement;
    ///
    /// let fair = Requirement::default().refund_on(500..=599).refund_on(404..=404);
    /// assert!(fair.refunds(Some(503)) && fair.refunds(None) && !fair.refunds(Some(400)));
    /// ```
    #[must_use]
    pub fn refund_on(mut self, statuses: RangeInclusive<u16>) -> Self {
        self.refunded.push(statuses);
        self
    }

    /// The scopes demanded: each query must be met.
    #[must_use]
    pub fn scopes(&self) -> &[ScopeQuery] {
        &self.scopes
    }

    /// The operation named.
    #[must_use]
    pub fn named_operation(&self) -> Option<&Name> {
        self.operation.as_ref()
    }

    /// The units a request weighs.
    #[must_use]
    pub fn units(&self) -> u64 {
        self.cost
    }

    /// Whether a response of this status costs nothing; `None` if there was none.
    #[must_use]
    pub fn refunds(&self, status: Option<u16>) -> bool {
        let status = status.unwrap_or(FAILED);
        self.refunded.iter().any(|statuses| statuses.contains(&status))
    }

    /// Whether no key is needed.
    #[must_use]
    pub fn is_public(&self) -> bool {
        self.public
    }
}

/// A requirement that cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequirementError {
    /// The scopes do not parse.
    #[error("requirement: {0}")]
    Scopes(#[from] ScopeQueryError),
    /// The operation's name is none.
    #[error("requirement, operation: {0}")]
    Operation(#[from] NameError),
}
