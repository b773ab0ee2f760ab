//! What ends a command without success, and the exit code it ends with.

use std::io;

use keygate::{keyring::KeyringError, port::StoreError};
use keygate_redis::{ConnectError, PlansError};

/// Why a command was not done. The text is one line that says what to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// It was refused, or what it is about is not there.
    #[error("{0}")]
    Refused(String),
    /// The command line or the environment is wrong.
    #[error("{0}")]
    Usage(String),
    /// The store cannot be reached, or cannot be used.
    #[error("{0}")]
    Unreachable(String),
    /// What was done could not be told.
    #[error("the output cannot be written: {0}")]
    Output(#[from] io::Error),
}

impl Failure {
    /// The exit code.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Refused(_) => 1,
            Self::Usage(_) => 2,
            Self::Unreachable(_) => 3,
            Self::Output(error) => u8::from(error.kind() != io::ErrorKind::BrokenPipe),
        }
    }

    fn unreachable(error: &impl std::fmt::Display) -> Self {
        let fix = "see that it runs, and that --store or KEYGATE_STORE names it";
        Self::Unreachable(format!("{error}; {fix}"))
    }

    /// Whether nobody is there to be told: whoever read the output had enough of it.
    pub(crate) fn is_quiet(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::unreachable(&error)
    }
}

impl From<KeyringError> for Failure {
    fn from(error: KeyringError) -> Self {
        use KeyringError::{Consumer, NeverValid, Scope, Store, TooLong, UnknownKey, UnknownPlan};
        match error {
            Store(error) => error.into(),
            Consumer(error) => Self::Usage(format!("--consumer: {error}")),
            Scope(error) => Self::Usage(format!("--scope: {error}")),
            NeverValid { .. } => Self::Usage(format!("--expires: {error}")),
            TooLong { field: "name", .. } => Self::Usage(format!("--name: {error}")),
            TooLong { .. } => Self::Usage(format!("--attribute: {error}")),
            UnknownKey { .. } => Self::Refused(format!("{error}; `keygate keys list` shows all")),
            UnknownPlan { given, known } if known.is_empty() => Self::Refused(format!(
                "plan `{}` is unknown, for there are no plans yet; `keygate plans apply FILE` \
                 puts some in force",
                given.escape_debug()
            )),
            other => Self::Refused(other.to_string()),
        }
    }
}

impl From<PlansError> for Failure {
    fn from(error: PlansError) -> Self {
        match error {
            PlansError::Store(error) => error.into(),
            other => Self::Refused(other.to_string()),
        }
    }
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        if error.is_address() {
            return Self::Usage(format!("--store, KEYGATE_STORE or --prefix: {error}"));
        }
        if error.is_unreachable() {
            return Self::unreachable(&error);
        }
        Self::Unreachable(error.to_string())
    }
}
