#![doc = include_str!("../README.md")]
#![expect(dead_code, reason = "the stores that stand on it follow")]

mod counters;
mod address;
mod clock;
mod fault;
mod layout;
mod link;
mod script;

pub use self::{
    address::{Address, AddressError},
    fault::FaultKind,
};
