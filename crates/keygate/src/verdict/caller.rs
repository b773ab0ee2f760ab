use std::{fmt, ops::Deref, sync::Arc};

use super::{Admission, Admitted};
use crate::record::Identity;

/// Who calls: an [`Identity`], which it reads as. Handlers find it in the request's extensions. Cheap to
/// clone.
#[derive(Clone)]
pub struct Caller(Arc<Admitted>);

impl Caller {
    pub(super) fn of(admitted: &Arc<Admitted>) -> Self {
        Self(Arc::clone(admitted))
    }

    /// The request, for costs that are not known at the gate, and for as long as it is under way.
    ///
    /// To be asked for before the request is answered: one that is over is metered already, and has
    /// given back its slot.
    pub fn admission(&self) -> Admission {
        Admission::of(&self.0)
    }

    /// Whether this gate admitted the request.
    pub(crate) fn is_of(&self, gate: u64) -> bool {
        self.0.is_of(gate)
    }

    /// Who calls as this gate has found: this one, or one that the request bore before a gate between them.
    pub(crate) fn by(&self, gate: u64) -> Option<&Self> {
        let mut callers = std::iter::successors(Some(self), |caller| caller.0.pending.borne());
        callers.find(|caller| caller.is_of(gate))
    }
}

impl Deref for Caller {
    type Target = Identity;

    fn deref(&self) -> &Identity {
        self.0.caller()
    }
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Caller").field(&**self).finish()
    }
}
