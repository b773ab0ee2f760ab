use std::sync::Arc;

use smallvec::SmallVec;

use super::Gate;
use crate::{
    key::KeyDigest,
    record::Caller,
    requirement::Requirement,
    verdict::{Reason, Refusal},
    wire::{Extraction, NoCredential, Place, RequestHead, RequestHeadMut, Wire},
};

/// What a request showed at the gate. The key's text is not in it, only its digests.
#[derive(Clone, Debug)]
pub struct Presented {
    pub(super) requirement: Arc<Requirement>,
    pub(super) cost: u64,
    pub(super) cross_origin: bool,
    pub(super) shown: Shown,
}

#[derive(Clone, Debug)]
pub(super) enum Shown {
    /// A well-formed key, by its digests, newest scheme first, and where it stood.
    Key { digests: SmallVec<[KeyDigest; 1]>, places: SmallVec<[Place; 1]> },
    /// A caller that an outer layer of the same gate admitted.
    Caller(Caller),
    /// Nothing that could be a key.
    Nothing { reason: Reason, detail: Option<&'static str> },
}

impl Gate {
    /// Looks at a request, without any store. `None` if it needs no key: its route or path is
    /// public, or it is a CORS preflight.
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
        let survey = self.wire.survey(request);
        let shown = match request.caller() {
            Some(caller) if caller.was_admitted_by(self.number) => Shown::Caller(caller.clone()),
            _ => self.shown(survey.credential),
        };
        Some(Presented {
            requirement: Arc::clone(requirement),
            cost: requirement.units(),
            cross_origin: survey.cross_origin,
            shown,
        })
    }

    /// Hides the key of a request from inner layers, as the wire is set: marked sensitive or removed.
    /// `presented` is what [`present`](Self::present) made of it; a public route hides a key that is
    /// shown needlessly, too.
    pub fn conceal(&self, request: &mut impl RequestHeadMut, presented: Option<&Presented>) {
        match presented.map(|presented| &presented.shown) {
            Some(Shown::Key { places, .. }) => self.wire.conceal(places, request),
            Some(_) => {}
            None => self.wire.conceal(&self.wire.places(request), request),
        }
    }

    fn shown(&self, credential: Result<Extraction<'_>, NoCredential>) -> Shown {
        let Extraction { text, places } = match credential {
            Ok(extraction) => extraction,
            Err(NoCredential { reason, detail }) => return Shown::Nothing { reason, detail },
        };
        match self.format.check(text) {
            Ok(()) => Shown::Key { digests: self.digester.candidates(text), places },
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
}

impl Shown {
    /// The caller that an outer layer of this gate admitted. That another gate presented it is no
    /// proof here.
    pub(super) fn caller_of(&self, gate: u64) -> Option<&Caller> {
        match self {
            Self::Caller(caller) if caller.was_admitted_by(gate) => Some(caller),
            _ => None,
        }
    }

    pub(super) fn digests(&self) -> Result<&[KeyDigest], Box<Refusal>> {
        match self {
            Self::Key { digests, .. } => Ok(digests),
            Self::Nothing { reason, detail } => Err(Refusal::new(*reason).detail(*detail)),
            Self::Caller(_) => Err(Reason::MissingKey.into()),
        }
    }
}
