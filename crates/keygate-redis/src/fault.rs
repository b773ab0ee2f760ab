//! What goes wrong between here and Redis.

use std::{
    error::Error,
    fmt::{self, Display},
    sync::Arc,
};

use keygate::port::StoreError;
use redis::{ErrorKind, RedisError};

/// The code of the errors that our own scripts raise, about what they find under a key.
pub(crate) const SCRIPT_CODE: &str = "KEYGATE";

/// The code of a connection to a node of a Cluster that broke under a command.
pub(crate) const BROKEN_NODE_CODE: &str = "KEYGATEBROKEN";

/// Why Redis gave no answer that can be used.
#[derive(Clone, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum Fault {
    /// No answer in time; whether the command was carried out is unknown.
    #[error("no answer in time")]
    Timeout,
    /// No connection could be had.
    #[error("no connection: {0}")]
    Connection(#[source] Arc<dyn Error + Send + Sync>),
    /// Redis refused the command, or the connection broke. It is nobody's source: it may repeat what was
    /// sent, and is told discreetly.
    #[error("{}", Discreet(.0))]
    Redis(RedisError),
    /// A record has no JSON.
    #[error("a key record cannot be written: {0}")]
    Record(#[source] Arc<serde_json::Error>),
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
            Self::Record(_) => FaultKind::Other,
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
    /// Every kind.
    pub const ALL: &'static [Self] = &[
        Self::Timeout,
        Self::Connection,
        Self::NotMaster,
        Self::Busy,
        Self::OutOfMemory,
        Self::Foreign,
        Self::Credentials,
        Self::Permission,
        Self::Overloaded,
        Self::Paused,
        Self::Other,
    ];

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

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}({self})", self.kind())
    }
}

impl From<RedisError> for Fault {
    fn from(error: RedisError) -> Self {
        Self::Redis(error)
    }
}

impl Fault {
    /// This Redis key holds what we did not write. `what` says how it shows, and repeats no value.
    pub(crate) fn foreign(key: &str, what: impl Display) -> Self {
        Self::alien(format_args!("Redis key `{key}`: {what}"))
    }

    /// Says which key is at fault and what to do, where Redis or a script of ours found something
    /// that is not ours under `key`.
    pub(crate) fn at(self, key: &str) -> Self {
        let Self::Redis(error) = &self else { return self };
        match error.code() {
            Some(SCRIPT_CODE) => Self::alien(error.detail().unwrap_or(key)),
            Some("WRONGTYPE") => Self::foreign(key, "another type than keygate keeps here"),
            _ => self,
        }
    }

    fn alien(what: impl Display) -> Self {
        Self::Foreign(format!(
            "{what}; it is left as it is: restore it from a backup, or move away what is not keygate's"
        ))
    }
}

impl From<Fault> for StoreError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Overloaded | Fault::Paused => Self::unasked(fault),
            _ => Self::new(fault),
        }
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

impl Display for Discreet<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let error = self.0;
        let Some(code) = error.code() else {
            return match error.kind() {
                ErrorKind::Parse | ErrorKind::UnexpectedReturnType => f.write_str("not understood"),
                _ => error.fmt(f),
            };
        };
        let detail = error.detail().unwrap_or_default();
        let detail = detail.split(", with args").next().unwrap_or_default();
        write!(f, "{code} {detail}")
    }
}

#[cfg(test)]
mod tests {
    use redis::{Value, make_extension_error};

    use super::*;

    fn refused(code: &str, detail: &str) -> Fault {
        make_extension_error(code.to_owned(), Some(detail.to_owned())).into()
    }

    #[test]
    fn each_code_is_of_a_kind_and_tells_whether_redis_is_unwell() {
        for (code, kind, unwell) in [
            ("READONLY", FaultKind::NotMaster, true),
            ("MASTERDOWN", FaultKind::NotMaster, true),
            ("LOADING", FaultKind::NotMaster, true),
            ("BUSY", FaultKind::Busy, true),
            ("OOM", FaultKind::OutOfMemory, true),
            ("NOAUTH", FaultKind::Credentials, true),
            ("WRONGPASS", FaultKind::Credentials, true),
            ("NOPERM", FaultKind::Permission, false),
            ("WRONGTYPE", FaultKind::Foreign, false),
            ("KEYGATE", FaultKind::Foreign, false),
            ("ERR", FaultKind::Other, false),
        ] {
            let fault = refused(code, "");
            assert_eq!((fault.kind(), fault.is_failure()), (kind, unwell), "{code}");
        }
    }

    #[test]
    fn what_was_not_sent_leaves_nothing_to_give_back() {
        for (fault, unasked) in
            [(Fault::Overloaded, true), (Fault::Paused, true), (Fault::Timeout, false)]
        {
            assert_eq!(StoreError::from(fault.clone()).is_unasked(), unasked, "{fault}");
        }
    }

    #[test]
    fn every_kind_is_listed_once() {
        let mut kinds: Vec<_> = FaultKind::ALL.iter().map(|kind| format!("{kind:?}")).collect();
        kinds.sort();
        kinds.dedup();
        assert_eq!(kinds.len(), FaultKind::ALL.len());
    }

    #[test]
    fn what_was_sent_or_answered_is_not_repeated() {
        let said = "unknown command 'X', with args beginning with: 'hush' ";
        let error = Value::ServerError(
            redis::ServerError::try_from(make_extension_error(
                "ERR".to_owned(),
                Some(said.to_owned()),
            ))
            .unwrap(),
        );
        let unknown = Fault::from(error.extract_error().unwrap_err());
        let other = redis::from_redis_value::<u64>(Value::BulkString(b"hush".to_vec()));
        for fault in [unknown, Fault::from(RedisError::from(other.unwrap_err()))] {
            let printed = format!("{fault} {fault:?} {:?}", StoreError::from(fault.clone()));
            assert!(!printed.contains("hush"), "{printed}");
            assert!(fault.source().is_none());
        }
    }
}
