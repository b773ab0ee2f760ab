#![doc = include_str!("../README.md")]

mod body;
mod extract;
mod head;
mod middleware;
mod service;

pub use self::extract::{Admission, Caller, NotAdmitted};
pub use self::{body::ResponseBody, middleware::Keygate, service::KeygateMiddleware};
