use std::fmt;

use super::NameError;
use crate::{limit::RuleError, scope::ScopeError};

/// A plan that cannot be built: which plan, which limit, which field, and what would be right.
///
/// ```
/// use keygate::plan::Plans;
///
/// let error = Plans::from_toml(r#"
///     [plans.free]
///     limits = [{ name = "daily", quota = 0, per = "day" }]
/// "#).unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "plan `free`, limit `daily` (line 3): field `quota` is 0; give at least 1",
/// );
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanError {
    pub(super) plan: Option<String>,
    pub(super) limit: Option<String>,
    pub(super) line: Option<usize>,
    pub(super) mistake: Box<PlanMistake>,
}

impl PlanError {
    /// The plan at fault, as it was named; `None` when the text is no TOML at all.
    #[must_use]
    pub fn plan(&self) -> Option<&str> {
        self.plan.as_deref()
    }

    /// The limit at fault: its name, or its place as in `#2` when it has none.
    #[must_use]
    pub fn limit(&self) -> Option<&str> {
        self.limit.as_deref()
    }

    /// The line of the file, from 1; `None` for a plan built in code.
    #[must_use]
    pub fn line(&self) -> Option<usize> {
        self.line
    }

    /// What is wrong.
    #[must_use]
    pub fn mistake(&self) -> &PlanMistake {
        &self.mistake
    }
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(plan) = &self.plan {
            write!(f, "plan `{}`", plan.escape_debug())?;
            if let Some(limit) = &self.limit {
                write!(f, ", limit `{}`", limit.escape_debug())?;
            }
            if let Some(line) = self.line {
                write!(f, " (line {line})")?;
            }
            f.write_str(": ")?;
        }
        fmt::Display::fmt(&self.mistake, f)
    }
}

impl std::error::Error for PlanError {}

/// What is wrong with a plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanMistake {
    /// The text is not TOML, or not of the form of a plan file.
    #[error("{0}")]
    Syntax(String),
    /// A field is missing, unknown, or of another type.
    #[error("{0}")]
    Field(String),
    /// A plan, limit or operation has an impossible name.
    #[error("field `{field}`: {error}")]
    Name {
        /// The field at fault.
        field: &'static str,
        /// Why.
        error: NameError,
    },
    /// A scope does not parse.
    #[error("field `scopes`: {0}")]
    Scope(ScopeError),
    /// A number is zero or cannot be counted exactly.
    #[error("field `{field}` {error}")]
    Number {
        /// The field at fault.
        field: &'static str,
        /// Why.
        error: RuleError,
    },
    /// Text that stands for something else was not understood.
    #[error("field `{field}` is `{}`; write {expected}", .given.escape_debug())]
    Value {
        /// The field at fault.
        field: &'static str,
        /// What was given.
        given: String,
        /// What would be right.
        expected: &'static str,
    },
    /// A limit has no rule, or more than one.
    #[error(
        "a limit has one of `rate` (with `burst`), `quota` (with `per`) and `concurrency`; this one has {given}"
    )]
    Rule {
        /// How many of them it has.
        given: &'static str,
    },
    /// A field that has no meaning beside the others.
    #[error("field `{field}` has no meaning here: {because}")]
    Misplaced {
        /// The field at fault.
        field: &'static str,
        /// Why.
        because: &'static str,
    },
    /// Two limits of one plan have the same name.
    #[error(
        "field `name`: a limit of this name stands before; limits of one plan need names of their own"
    )]
    DuplicateLimit,
    /// Two plans have the same name.
    #[error("a plan of this name stands before; give one of them another name")]
    DuplicatePlan,
    /// More limits than a plan may have.
    #[error("field `limits` holds {given} limits; at most {most} are possible")]
    TooManyLimits {
        /// How many there are.
        given: usize,
        /// How many there may be.
        most: usize,
    },
}
