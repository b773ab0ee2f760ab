//! Stores with one fault each.

pub(crate) mod counters;
pub(crate) mod keys;
pub(crate) mod usage;
