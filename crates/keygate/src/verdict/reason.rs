use serde::{Deserialize, Serialize};

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
    /// As many requests as may be are under way.
    TooManyConcurrent,
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
            Self::TooManyConcurrent => "too_many_concurrent",
            Self::CostExceedsLimit => "cost_exceeds_limit",
            Self::LimiterUnavailable => "limiter_unavailable",
            Self::KeysUnavailable => "keys_unavailable",
            Self::PlanUnavailable => "plan_unavailable",
        }
    }
}
