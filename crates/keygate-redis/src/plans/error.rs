use keygate::{plan::PlanError, port::StoreError};

use crate::fault::Fault;

/// Plans that could not be loaded or applied.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlansError {
    /// The text is no plan file. Nothing was sent.
    #[error(transparent)]
    Invalid(PlanError),
    /// The plans were edited by somebody else in between. Nothing was changed.
    #[error(
        "the plans were edited in between: Redis has {}, this edit was made of {}; load them and edit \
         again",
        told(*.stored),
        told(*.expected)
    )]
    Conflict {
        /// The revision the edit was made of.
        expected: Option<u64>,
        /// The revision in Redis.
        stored: Option<u64>,
    },
    /// What is stored was right for the version that wrote it, and is not for this one.
    #[error(
        "the plans of revision {revision} cannot be read by this version of keygate, perhaps because \
         a newer one wrote them: {error}"
    )]
    Unreadable {
        /// Their revision.
        revision: u64,
        /// Why they cannot be read.
        error: PlanError,
    },
    /// Redis failed, or holds something else where the plans belong.
    #[error(transparent)]
    Store(StoreError),
}

impl From<Fault> for PlansError {
    fn from(fault: Fault) -> Self {
        Self::Store(fault.into())
    }
}

fn told(revision: Option<u64>) -> String {
    revision.map_or_else(|| "none".to_owned(), |revision| format!("revision {revision}"))
}
