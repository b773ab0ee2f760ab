//! Against real servers, one a test.

mod bounds;
mod conformance;
mod cuts;
mod expiry;
mod foreign;
mod outages;
mod proxy;
mod queries;
pub(in crate::usage) mod scene;
