//! The two verdicts, and why a request is refused.

mod admission;
mod caller;
mod counted;
mod passage;
mod reason;
mod rejection;

use std::sync::Arc;

pub(crate) use self::rejection::Refusal;
pub use self::{
    admission::{Admission, Admitted},
    caller::Caller,
    counted::Counted,
    passage::Passage,
    reason::Reason,
    rejection::Rejection,
};

/// What a gate concluded about a request. Adapters put it into the extensions of the response, for
/// logging and tracing layers around them: that of a refused request always, that of an admitted one where the gate
/// is [to tell it](crate::gate::GateBuilder::tell_admitted).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Verdict {
    /// The request went on to the service.
    Admitted(Arc<Admitted>),
    /// The request was answered by the gate.
    Rejected(Rejection),
}
