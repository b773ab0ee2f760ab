#![doc = include_str!("../README.md")]

mod future;
mod head;
mod layer;
mod service;

pub use self::{future::ResponseFuture, layer::KeygateLayer, service::Keygate};
