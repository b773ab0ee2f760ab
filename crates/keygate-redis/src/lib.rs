#![doc = include_str!("../README.md")]
#![expect(dead_code, reason = "the stores that stand on it follow")]

mod address;
mod clock;
mod counters;
#[cfg(test)]
mod fake;
mod fault;
mod guard;
mod keys;
mod layout;
mod link;
mod plans;
mod script;
mod start_up;
#[cfg(test)]
mod testing;
mod usage;
mod watch;

pub use self::{
    address::{Address, AddressError},
    fault::FaultKind,
    guard::{Circuit, Health},
    keys::RedisKeys,
    plans::{PlansError, RedisPlans, StoredPlans},
    start_up::ConnectError,
    usage::{RedisUsage, UsageOptions, UsageStats},
};
