//! Stores with one fault each.

pub(crate) mod counters;
pub(crate) mod keys;
mod settling;
pub(crate) mod usage;
