//! Plans: a named list of limits and a ceiling of scopes.
//!
//! A plan is built in code or read from TOML, and checked as a whole before it exists: an error
//! names the plan, the limit, the field and what would be right.
//!
//! Two limits of one name under one owner are one budget, whatever the plan: a key that moves from
//! `free` to `pro` takes what it used of `daily` along.
//!
//! ```
//! use keygate::{period::Period, plan::{Limit, Plan, Plans, RateSpec}};
//!
//! let built = Plan::builder("free")
//!     .scopes(["search:*", "orders:read"])
//!     .limit(Limit::rate("burst", RateSpec::per_second(10).burst(20)))
//!     .limit(Limit::quota("daily", 1000, Period::day()))
//!     .build()?;
//!
//! let read = Plans::from_toml(r#"
//!     [plans.free]
//!     scopes = ["search:*", "orders:read"]
//!     limits = [
//!       { name = "burst", rate = "10/s", burst = 20 },
//!       { name = "daily", quota = 1000, per = "day" },
//!     ]
//! "#)?;
//! assert_eq!(read.find("free").map(|plan| plan.limits().len()), Some(built.limits().len()));
//! # Ok::<(), keygate::plan::PlanError>(())
//! ```

mod error;
mod file;
mod limit;
mod live;
mod name;

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Deref,
    sync::Arc,
};

pub use self::{
    error::{PlanError, PlanMistake},
    limit::{Limit, LimitBuilder, OnFailure, Partition, RateSpec},
    live::LivePlans,
    name::{MAX_NAME_LEN, Name, NameError},
};
use crate::{
    scope::{Scope, ScopeSet},
    wire::FieldParts,
};

/// The most limits a plan may have.
pub const MAX_LIMITS: usize = 16;

/// A named list of limits and a ceiling of scopes.
#[derive(Clone, Debug)]
pub struct Plan {
    name: Name,
    scopes: ScopeSet,
    limits: Arc<[Limit]>,
    /// The limits that count each operation some limit names: worked out here so that a request only
    /// looks them up.
    by_operation: Box<[(Name, Arc<Charged>)]>,
    /// Those that count all other operations.
    otherwise: Arc<Charged>,
}

/// Limits that are charged together.
#[derive(Debug)]
pub(crate) struct Charged {
    limits: Arc<[Limit]>,
    /// Those that count what a request weighs, if some count that it is there.
    weighing: Option<Arc<Charged>>,
    pub(crate) field_parts: FieldParts,
}

impl Plan {
    /// Begins a plan.
    pub fn builder(name: impl Into<String>) -> PlanBuilder {
        PlanBuilder { name: name.into(), scopes: Vec::new(), limits: Vec::new() }
    }

    /// The name, as key records refer to it.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// The ceiling: what no key of this plan may exceed.
    #[must_use]
    pub fn scopes(&self) -> &ScopeSet {
        &self.scopes
    }

    /// Every limit, in the order given.
    #[must_use]
    pub fn limits(&self) -> &Arc<[Limit]> {
        &self.limits
    }

    /// The limits that count a request of this operation, in the order given.
    #[must_use]
    pub fn charges(&self, operation: Option<&Name>) -> &Arc<[Limit]> {
        &self.charged(operation).limits
    }

    pub(crate) fn charged(&self, operation: Option<&Name>) -> &Arc<Charged> {
        let named = self.by_operation.iter().find(|(named, _)| Some(named) == operation);
        named.map_or(&self.otherwise, |(_, charged)| charged)
    }
}

impl Charged {
    pub(crate) fn new(limits: Arc<[Limit]>) -> Arc<Self> {
        let weighing = limits.iter().any(Limit::is_concurrency).then(|| {
            let weighing = limits.iter().filter(|limit| !limit.is_concurrency());
            Self::new(weighing.cloned().collect())
        });
        let field_parts = FieldParts::of(&limits);
        Arc::new(Self { limits, weighing, field_parts })
    }

    pub(crate) fn list(&self) -> &Arc<[Limit]> {
        &self.limits
    }

    /// Whether a request takes a slot.
    pub(crate) fn takes_slot(&self) -> bool {
        self.weighing.is_some()
    }

    /// What more of a request that has its slot is charged by.
    pub(crate) fn weighing(self: &Arc<Self>) -> &Arc<Self> {
        self.weighing.as_ref().unwrap_or(self)
    }

    fn of(limits: &[Limit], operation: Option<&Name>) -> Arc<Self> {
        Self::new(limits.iter().filter(|limit| limit.counts(operation)).cloned().collect())
    }
}

impl Deref for Charged {
    type Target = [Limit];

    fn deref(&self) -> &[Limit] {
        &self.limits
    }
}

/// A plan in the making.
#[derive(Clone, Debug)]
#[must_use]
pub struct PlanBuilder {
    name: String,
    scopes: Vec<String>,
    limits: Vec<LimitBuilder>,
}

impl PlanBuilder {
    /// Adds to the ceiling of scopes. A plan without scopes grants none.
    pub fn scopes<S: Into<String>>(mut self, scopes: impl IntoIterator<Item = S>) -> Self {
        self.scopes.extend(scopes.into_iter().map(Into::into));
        self
    }

    /// Adds a limit.
    pub fn limit(mut self, limit: LimitBuilder) -> Self {
        self.limits.push(limit);
        self
    }

    /// Checks everything and builds the plan.
    ///
    /// # Errors
    /// The first mistake, with the plan, the limit and the field it is in.
    pub fn build(self) -> Result<Plan, PlanError> {
        let in_plan = |limit: Option<&str>, mistake| PlanError {
            plan: Some(self.name.clone()),
            limit: limit.map(str::to_owned),
            line: None,
            mistake: Box::new(mistake),
        };
        let name = Name::parse(&self.name)
            .map_err(|error| in_plan(None, PlanMistake::Name { field: "plan", error }))?;
        let scopes = self
            .scopes
            .iter()
            .map(|scope| scope.parse::<Scope>())
            .collect::<Result<ScopeSet, _>>()
            .map_err(|error| in_plan(None, PlanMistake::Scope(error)))?;
        if self.limits.len() > MAX_LIMITS {
            let mistake = PlanMistake::TooManyLimits { given: self.limits.len(), most: MAX_LIMITS };
            return Err(in_plan(None, mistake));
        }
        let mut limits: Vec<Limit> = Vec::with_capacity(self.limits.len());
        for builder in &self.limits {
            let limit =
                builder.clone().build().map_err(|error| in_plan(Some(builder.name()), error))?;
            if limits.iter().any(|before| before.name() == limit.name()) {
                return Err(in_plan(Some(builder.name()), PlanMistake::DuplicateLimit));
            }
            limits.push(limit);
        }
        let named: BTreeSet<&Name> = limits.iter().flat_map(Limit::operations).collect();
        let charged = |name: &Name| (name.clone(), Charged::of(&limits, Some(name)));
        let by_operation = named.into_iter().map(charged).collect();
        let otherwise = Charged::of(&limits, None);
        Ok(Plan { name, scopes, limits: limits.into(), by_operation, otherwise })
    }
}

/// The plans of an API, by name.
#[derive(Clone, Debug, Default)]
pub struct Plans(BTreeMap<Name, Arc<Plan>>);

impl Plans {
    /// Collects plans.
    ///
    /// # Errors
    /// If two have the same name.
    pub fn new(plans: impl IntoIterator<Item = Plan>) -> Result<Self, PlanError> {
        let mut by_name = BTreeMap::new();
        for plan in plans {
            let name = plan.name.clone();
            if by_name.insert(name.clone(), Arc::new(plan)).is_some() {
                return Err(PlanError {
                    plan: Some(name.to_string()),
                    limit: None,
                    line: None,
                    mistake: Box::new(PlanMistake::DuplicatePlan),
                });
            }
        }
        Ok(Self(by_name))
    }

    /// Reads plans from TOML; `docs/plans.md` of the repository describes the form.
    ///
    /// # Errors
    /// The first mistake, with the line, the plan, the limit and the field it is in.
    pub fn from_toml(text: &str) -> Result<Self, PlanError> {
        file::read(text)
    }

    /// The plan of this name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Arc<Plan>> {
        self.0.get(name)
    }

    /// Every plan, ordered by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Plan>> {
        self.0.values()
    }

    /// The names of all plans, for an error message.
    #[must_use]
    pub fn names(&self) -> String {
        let names: Vec<&str> = self.0.keys().map(Name::as_str).collect();
        names.join(", ")
    }
}
