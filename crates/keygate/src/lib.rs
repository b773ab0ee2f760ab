//! API keys, scopes, plans, exact quotas and metering for HTTP APIs.
pub mod clock;
