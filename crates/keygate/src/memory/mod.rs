//! The reference backend: everything in this process.
//!
//! Exact on one replica, and the model that every other backend is held to. Everything in it is
//! bounded: counters are forgotten once they say nothing any more, usage by its retention, and key
//! records are as many as were issued.

mod counters;
mod keys;
mod usage;

pub use self::{
    counters::MemoryCounters,
    keys::MemoryKeys,
    usage::{MemoryUsage, Retention},
};
