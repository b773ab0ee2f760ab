//! An operator at work: a Redis, the program, and the services that both are for.

mod desk;
mod ran;
mod service;

pub(crate) use self::{desk::Desk, ran::Ran, service::Service};
