use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};

use super::{Name, PlanMistake};
use crate::{
    limit::{Concurrency, Kind, Quota, Rate, Rule, RuleError},
    period::Period,
};

/// One rule x one partition x the operations it counts.
#[derive(Clone, Debug)]
pub struct Limit {
    name: Name,
    rule: Rule,
    partition: Partition,
    operations: Box<[Name]>,
    on_failure: OnFailure,
}

impl Limit {
    /// A rate of `count` units per time, such as `Limit::rate("burst", RateSpec::per_second(10))`.
    pub fn rate(name: impl Into<String>, rate: RateSpec) -> LimitBuilder {
        LimitBuilder::new(name.into(), RuleSpec::Rate(rate))
    }

    /// An allowance of `amount` units in each window of `period`.
    pub fn quota(name: impl Into<String>, amount: u64, period: Period) -> LimitBuilder {
        LimitBuilder::new(name.into(), RuleSpec::Quota { amount, period })
    }

    /// At most `slots` requests at once. A request holds its slot until its response has been sent, and
    /// for as long as somebody holds its [`Admission`](crate::verdict::Admission).
    pub fn concurrency(name: impl Into<String>, slots: u64) -> LimitBuilder {
        LimitBuilder::new(name.into(), RuleSpec::Concurrency { slots })
    }

    /// The name: with the owner, it names the budget.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// What it counts by.
    #[must_use]
    pub fn rule(&self) -> &Rule {
        &self.rule
    }

    /// Whose counter it is.
    #[must_use]
    pub fn partition(&self) -> Partition {
        self.partition
    }

    /// The operations it counts; empty when it counts all.
    #[must_use]
    pub fn operations(&self) -> &[Name] {
        &self.operations
    }

    /// What happens when the counter store fails.
    #[must_use]
    pub fn on_failure(&self) -> OnFailure {
        self.on_failure
    }

    /// Whether it counts requests that are under way.
    #[must_use]
    pub fn is_concurrency(&self) -> bool {
        self.rule.kind() == Kind::Concurrency
    }

    /// Whether what the other counts is counted here, for the same owner.
    pub(crate) fn has_counter_of(&self, other: &Self) -> bool {
        self.name == other.name
            && self.rule.kind() == other.rule.kind()
            && self.partition == other.partition
    }

    /// What one of `replicas` processes may use of it while they cannot count together: the limit
    /// divided, at least one unit at a time.
    #[must_use]
    pub(crate) fn share(&self, replicas: NonZeroU64) -> Self {
        Self { rule: self.rule.share(replicas), ..self.clone() }
    }

    /// Whether requests of this operation count.
    #[must_use]
    pub fn counts(&self, operation: Option<&Name>) -> bool {
        self.operations.is_empty() || operation.is_some_and(|name| self.operations.contains(name))
    }
}

/// Whose counter a limit is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Partition {
    /// One for the consumer, across all its keys.
    #[default]
    Consumer,
    /// One for each key; a rotated key goes on with its predecessor's.
    Key,
}

/// What a limit says when its counter cannot be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum OnFailure {
    /// Admit uncounted, and mark the admission: the default of rates and concurrencies.
    Open,
    /// Refuse with 503: the default of quotas.
    Closed,
    /// Count in this process, against the limit divided by the number of replicas last seen, and mark
    /// the admission.
    LocalShare,
}

/// A count per time with a burst, not yet checked: the plan's build does that.
///
/// ```
/// use keygate::plan::RateSpec;
///
/// // `per_second(10)` is ten a second. The burst is the count unless it is given.
/// assert_eq!(RateSpec::per_second(10), RateSpec::per_second(10).burst(10));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateSpec {
    count: u64,
    per_micros: u64,
    burst: u64,
}

impl RateSpec {
    /// `count` units a second.
    #[must_use]
    pub const fn per_second(count: u64) -> Self {
        Self::per_micros(count, 1_000_000)
    }

    /// `count` units a minute.
    #[must_use]
    pub const fn per_minute(count: u64) -> Self {
        Self::per_micros(count, 60_000_000)
    }

    /// `count` units an hour.
    #[must_use]
    pub const fn per_hour(count: u64) -> Self {
        Self::per_micros(count, 3_600_000_000)
    }

    /// `count` units in 24 hours, flowing back evenly. For an allowance a calendar day, see
    /// [`Limit::quota`].
    #[must_use]
    pub const fn per_day(count: u64) -> Self {
        Self::per_micros(count, 86_400_000_000)
    }

    /// `count` units every `per_micros` microseconds.
    #[must_use]
    pub const fn per_micros(count: u64, per_micros: u64) -> Self {
        Self { count, per_micros, burst: count }
    }

    /// At most `burst` units at once; without it, as many as the count.
    #[must_use]
    pub const fn burst(self, burst: u64) -> Self {
        Self { burst, ..self }
    }

    fn build(self) -> Result<Rate, PlanMistake> {
        let field = if self.count == 0 || self.per_micros == 0 { "rate" } else { "burst" };
        Rate::new(self.count, self.per_micros, self.burst).map_err(|error| match error {
            RuleError::TooLarge { .. } if Rate::new(self.count, self.per_micros, 1).is_err() => {
                PlanMistake::Number { field: "rate", error }
            }
            error => PlanMistake::Number { field, error },
        })
    }
}

#[derive(Clone, Debug)]
enum RuleSpec {
    Rate(RateSpec),
    Quota { amount: u64, period: Period },
    Concurrency { slots: u64 },
}

/// A limit in the making; [`PlanBuilder::limit`](super::PlanBuilder::limit) takes it and checks it.
#[derive(Clone, Debug)]
#[must_use]
pub struct LimitBuilder {
    name: String,
    rule: RuleSpec,
    partition: Partition,
    operations: Vec<String>,
    on_failure: Option<OnFailure>,
}

impl LimitBuilder {
    fn new(name: String, rule: RuleSpec) -> Self {
        Self {
            name,
            rule,
            partition: Partition::default(),
            operations: Vec::new(),
            on_failure: None,
        }
    }

    /// Counts each key by itself instead of the consumer.
    pub fn per_key(self) -> Self {
        self.partition(Partition::Key)
    }

    /// Whose counter it is: the consumer's unless said otherwise.
    pub fn partition(self, partition: Partition) -> Self {
        Self { partition, ..self }
    }

    /// Counts only requests of these operations.
    pub fn operations<N: Into<String>>(mut self, operations: impl IntoIterator<Item = N>) -> Self {
        self.operations.extend(operations.into_iter().map(Into::into));
        self
    }

    /// What happens when the counter store fails: closed for quotas and open for all others
    /// unless said otherwise.
    pub fn on_failure(self, on_failure: OnFailure) -> Self {
        Self { on_failure: Some(on_failure), ..self }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn build(self) -> Result<Limit, PlanMistake> {
        let named = |field, text: &str| {
            Name::parse(text).map_err(|error| PlanMistake::Name { field, error })
        };
        let (rule, default_policy) = match self.rule {
            RuleSpec::Rate(rate) => (Rule::Rate(rate.build()?), OnFailure::Open),
            RuleSpec::Quota { amount, period } => {
                let quota = Quota::new(amount, period)
                    .map_err(|error| PlanMistake::Number { field: "quota", error })?;
                (Rule::Quota(quota), OnFailure::Closed)
            }
            RuleSpec::Concurrency { slots } => {
                let concurrency = Concurrency::new(slots)
                    .map_err(|error| PlanMistake::Number { field: "concurrency", error })?;
                (Rule::Concurrency(concurrency), OnFailure::Open)
            }
        };
        Ok(Limit {
            name: named("name", &self.name)?,
            rule,
            partition: self.partition,
            operations: self
                .operations
                .iter()
                .map(|operation| named("operations", operation))
                .collect::<Result<_, _>>()?,
            on_failure: self.on_failure.unwrap_or(default_policy),
        })
    }
}
