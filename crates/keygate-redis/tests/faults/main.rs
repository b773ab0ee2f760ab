//! What becomes of decisions while Redis is unwell.
//!
//! Two replicas of a service decide a steady thousand requests a second, through the gate, while a real
//! server is crashed, frozen, filled, failed over. Each test prints one row of the table in
//! `docs/reliability.md`. They take their time and measure time, so they are no part of `cargo test`:
//! `./check faults` runs them, one at a time.

#[cfg(test)]
mod cluster;
#[cfg(test)]
mod crowd;
#[cfg(test)]
mod load;
#[cfg(test)]
mod proxy;
#[cfg(test)]
mod report;
#[cfg(test)]
mod scene;
#[cfg(test)]
mod sentinel;
#[cfg(test)]
mod server;
#[cfg(test)]
mod slots;
