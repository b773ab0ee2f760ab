#![doc = include_str!("../README.md")]

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
mod store;
#[cfg(test)]
mod testing;
mod usage;
mod watch;

pub use self::{
    address::{Address, AddressError},
    fault::FaultKind,
    guard::{Circuit, Health},
    plans::{PlansError, RedisPlans, StoredPlans},
    start_up::ConnectError,
    store::{RedisStore, RedisStoreBuilder},
    usage::{UsageOptions, UsageStats},
};
