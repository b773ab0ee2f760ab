//! A key store before a key store: how old answers are, how often the store is asked, what becomes
//! of both when it fails.

#[cfg(test)]
#[path = "cached/bench.rs"]
mod bench;
#[cfg(test)]
#[path = "cached/bounds.rs"]
mod bounds;
#[cfg(test)]
#[path = "cached/commits.rs"]
mod commits;
#[cfg(test)]
#[path = "cached/faults.rs"]
mod faults;
#[cfg(test)]
#[path = "cached/flights.rs"]
mod flights;
#[cfg(test)]
#[path = "cached/freshness.rs"]
mod freshness;
#[cfg(test)]
#[path = "cached/model.rs"]
mod model;
#[cfg(test)]
mod rigged;
