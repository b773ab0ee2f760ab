//! The flow: scopes, limits, failing stores, metering, layers of one gate, secrets.

#[cfg(test)]
#[path = "gate/anonymous.rs"]
mod anonymous;
#[cfg(test)]
#[path = "gate/concurrency.rs"]
mod concurrency;
#[cfg(test)]
#[path = "gate/failure.rs"]
mod failure;
#[cfg(test)]
#[path = "gate/late_costs.rs"]
mod late_costs;
#[cfg(test)]
#[path = "gate/limits.rs"]
mod limits;
#[cfg(test)]
#[path = "gate/messages.rs"]
mod messages;
#[cfg(test)]
#[path = "gate/metering.rs"]
mod metering;
#[cfg(test)]
#[path = "gate/nested.rs"]
mod nested;
#[cfg(test)]
mod rigged;
#[cfg(test)]
#[path = "gate/scopes.rs"]
mod scopes;
#[cfg(test)]
#[path = "gate/secrets.rs"]
mod secrets;
#[cfg(test)]
#[path = "gate/stores.rs"]
mod stores;
#[cfg(test)]
mod support;
#[cfg(test)]
#[path = "gate/trailers.rs"]
mod trailers;
#[cfg(test)]
#[path = "gate/turns.rs"]
mod turns;
