//! What goes wrong between here and Redis.

use std::{error::Error, fmt, sync::Arc};

use keygate::port::StoreError;
use redis::{ErrorKind, RedisError, ServerErrorKind};

/// The code of the errors that our own scripts raise, about what they find under a key.
pub(crate) const SCRIPT_CODE: &str = "KEYGATE";

/// The code of a connection to a node of a Cluster that broke under a command.
pub(crate) const BROKEN_NODE_CODE: &str = "KEYGATEBROKEN";

/// Why Redis gave no answer that can be used.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum Fault {
    /// No answer in time; whether the command was carried out is unknown.
    #[error("no answer in time")]
    Timeout,
    /// No connection could be had.
    #[error("no connection: {0}")]
    Connection(#[source] Arc<dyn Error + Send + Sync>),
    /// Redis refused the command, or the connection broke.
    #[error("{}", Discreet(.0))]
    Redis(#[from] RedisError),
    /// A key of ours holds what we did not write, or an answer is not what our script says.
    #[error("{0}")]
    Foreign(String),
    /// Too many calls are under way; this one was not sent.
    #[error("too many calls are under way")]
    Overloaded,
    /// Redis fails too often; this call was not sent, to let it recover.
    #[error("calls are paused, for too many failed")]
    Paused,
}

/// The kinds of faults: what to do about each of them differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FaultKind {
    /// No answer in time.
    Timeout,
    /// No connection, or it broke.
    Connection,
    /// The server is no master, or not yet: READONLY, MASTERDOWN, LOADING, CLUSTERDOWN.
    NotMaster,
    /// The server runs a script that does not end: BUSY.
    Busy,
    /// The server has no memory left: OOM.
    OutOfMemory,
    /// What lies under a key of ours is not ours: WRONGTYPE, and what our scripts say.
    Foreign,
    /// User or password are wrong: NOAUTH, WRONGPASS.
    Credentials,
    /// The user may not run a command, or not on a key: NOPERM.
    Permission,
    /// Too many calls are under way.
    Overloaded,
    /// The circuit is open.
    Paused,
    /// Anything else.
    Other,
}

impl Fault {
    /// Which kind it is.
    pub(crate) fn kind(&self) -> FaultKind {
        match self {
            Self::Timeout => FaultKind::Timeout,
            Self::Connection(source) => source
                .downcast_ref()
                .filter(|error| is_refusal(error))
                .map_or(FaultKind::Connection, |_| FaultKind::Credentials),
            Self::Redis(error) => kind_of(error),
            Self::Foreign(_) => FaultKind::Foreign,
            Self::Overloaded => FaultKind::Overloaded,
            Self::Paused => FaultKind::Paused,
        }
    }

    /// Whether it tells that Redis is unwell: a circuit breaker counts it. A foreign value and a
    /// missing permission are about one key, and a call that was not sent says nothing.
    pub(crate) fn is_failure(&self) -> bool {
        self.kind().is_failure()
    }
}

impl FaultKind {
    pub(crate) const fn is_failure(self) -> bool {
        match self {
            Self::Timeout
            | Self::Connection
            | Self::NotMaster
            | Self::Busy
            | Self::OutOfMemory
            | Self::Credentials => true,
            Self::Foreign | Self::Permission | Self::Overloaded | Self::Paused | Self::Other => {
                false
            }
        }
    }
}

impl From<Fault> for StoreError {
    fn from(fault: Fault) -> Self {
        Self::new(fault)
    }
}

fn kind_of(error: &RedisError) -> FaultKind {
    match error.code() {
        Some("READONLY" | "MASTERDOWN" | "LOADING" | "CLUSTERDOWN") => FaultKind::NotMaster,
        Some("BUSY") => FaultKind::Busy,
        Some("OOM") => FaultKind::OutOfMemory,
        Some("WRONGTYPE" | SCRIPT_CODE) => FaultKind::Foreign,
        Some("NOAUTH" | "WRONGPASS") => FaultKind::Credentials,
        Some("NOPERM") => FaultKind::Permission,
        Some(BROKEN_NODE_CODE) => FaultKind::Connection,
        _ if is_refusal(error) => FaultKind::Credentials,
        _ if error.is_timeout() => FaultKind::Timeout,
        _ if error.is_unrecoverable_error() || error.is_io_error() => FaultKind::Connection,
        _ if error.kind() == ErrorKind::UnexpectedReturnType => FaultKind::Foreign,
        _ => FaultKind::Other,
    }
}

/// Whether a log-in was refused. A Cluster tells it only in the text of its last attempt.
fn is_refusal(error: &RedisError) -> bool {
    let told = |detail: &str| {
        ["AuthenticationFailed", "NOAUTH", "WRONGPASS"].iter().any(|word| detail.contains(word))
    };
    matches!(error.code(), Some("NOAUTH" | "WRONGPASS"))
        || error.kind() == ErrorKind::AuthenticationFailed
        || (error.is_io_error() && error.detail().is_some_and(told))
}

/// An error of Redis, without what it repeats of a command.
struct Discreet<'a>(&'a RedisError);

impl fmt::Display for Discreet<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let error = self.0;
        let Some(code) = error.code() else { return error.fmt(f) };
        let detail = error.detail().unwrap_or_default();
        let quoted = error.kind() == ErrorKind::Server(ServerErrorKind::ResponseError);
        let detail = if quoted { detail.split(", with args").next() } else { Some(detail) };
        write!(f, "{code} {}", detail.unwrap_or_default())
    }
}
