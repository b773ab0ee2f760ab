#![doc = include_str!("../README.md")]

mod body;
mod future;
mod head;
mod layer;
mod service;

pub use self::{body::ResponseBody, future::ResponseFuture, layer::KeygateLayer, service::Keygate};
