use std::sync::Arc;

use smallvec::SmallVec;

use super::Gate;
use crate::{
    key::KeyDigest,
    record::Caller,
    requirement::Requirement,
    verdict::{Reason, Refusal},
    wire::{Place, RequestHead, RequestHeadMut, Wire},
};

/// What a request showed at the gate. The key's text is not in it, only its digests.
#[derive(Clone, Debug)]
pub struct Presented {
    pub(super) requirement: Arc<Requirement>,
    pub(super) cost: u64,
    pub(super) cross_origin: bool,
    wire: Arc<Wire>,
    shown: Shown,
}

#[derive(Clone, Debug)]
enum Shown {
    /// A well-formed key, by its digests, newest scheme first, and where it stood.
    Key { digests: SmallVec<[KeyDigest; 1]>, places: SmallVec<[Place; 1]> },
    /// A caller that an outer layer of the same gate admitted.
    Caller(Caller),
    /// Nothing that could be a key.
    Nothing { reason: Reason, detail: Option<&'static str> },
}

impl Gate {
    /// Looks at a request, without any store. `None` if it needs no key: its route or path is
    /// public, or it is a CORS preflight. Then, too, [`conceal`](Self::conceal) hides a key that is
    /// shown needlessly.
    pub fn present(
        &self,
        request: &impl RequestHead,
        requirement: &Arc<Requirement>,
    ) -> Option<Presented> {
        let public = requirement.is_public()
            || self.public_paths.iter().any(|path| path == request.path())
            || Wire::is_preflight(request);
        if public {
            return None;
        }
        let shown = match request.caller() {
            Some(caller) if caller.was_admitted_by(self.number) => Shown::Caller(caller.clone()),
            _ => self.shown(request),
        };
        Some(Presented {
            requirement: Arc::clone(requirement),
            cost: requirement.units(),
            cross_origin: Wire::is_cross_origin(request),
            wire: Arc::clone(&self.wire),
            shown,
        })
    }

    /// Hides the key of a request from inner layers, as the wire is set: marked sensitive or removed.
    pub fn conceal(&self, request: &mut impl RequestHeadMut) {
        let places = self.wire.credential(request).map(|shown| shown.places).unwrap_or_default();
        self.wire.conceal(&places, request);
    }

    fn shown(&self, request: &impl RequestHead) -> Shown {
        let extraction = match self.wire.credential(request) {
            Ok(extraction) => extraction,
            Err(none) => {
                return Shown::Nothing { reason: none.reason, detail: none.detail };
            }
        };
        match self.format.check(extraction.text) {
            Ok(()) => Shown::Key {
                digests: self.digester.candidates(extraction.text),
                places: extraction.places,
            },
            Err(fault) => {
                Shown::Nothing { reason: Reason::MalformedKey, detail: Some(fault.detail()) }
            }
        }
    }
}

impl Presented {
    /// Weighs the request differently from what its route says, in units.
    #[must_use]
    pub fn costing(self, cost: u64) -> Self {
        Self { cost, ..self }
    }

    /// Hides the key from inner layers, as [`Gate::conceal`] does, without looking for it again.
    pub fn conceal(&self, request: &mut impl RequestHeadMut) {
        if let Shown::Key { places, .. } = &self.shown {
            self.wire.conceal(places, request);
        }
    }

    /// The caller that an outer layer of this gate admitted. That another gate presented it is no
    /// proof here.
    pub(super) fn admitted_by(&self, gate: u64) -> Option<&Caller> {
        match &self.shown {
            Shown::Caller(caller) if caller.was_admitted_by(gate) => Some(caller),
            _ => None,
        }
    }

    pub(super) fn digests(&self) -> Result<&[KeyDigest], Box<Refusal>> {
        match &self.shown {
            Shown::Key { digests, .. } => Ok(digests),
            Shown::Nothing { reason, detail } => Err(Refusal::new(*reason).detail(*detail)),
            Shown::Caller(_) => Err(Reason::MissingKey.into()),
        }
    }
}
