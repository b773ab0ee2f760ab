#![doc = include_str!("../README.md")]
#![expect(dead_code, reason = "the stores that stand on it follow")]

mod address;
mod clock;
mod counters;
mod fault;
mod guard;
mod layout;
mod link;
mod script;
mod start_up;

pub use self::{
    address::{Address, AddressError},
    fault::FaultKind,
    guard::{Circuit, Health},
    start_up::ConnectError,
};
mod usage;
pub use self::usage::{RedisUsage, UsageOptions, UsageStats};
