//! What goes wrong between here and Redis.

use keygate::port::StoreError;
use redis::RedisError;

/// Why Redis gave no answer that can be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// No answer in time; whether the command was carried out is unknown.
    #[error("no answer in time")]
    Timeout,
    /// No connection could be had.
    #[error("no connection: {0}")]
    Connection(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Redis refused the command, or the connection broke.
    #[error("{0}")]
    Redis(#[from] RedisError),
    /// A key of ours holds what we did not write, or an answer is not what our script says.
    #[error("{0}")]
    Foreign(String),
}

impl From<Fault> for StoreError {
    fn from(fault: Fault) -> Self {
        Self::new(fault)
    }
}
