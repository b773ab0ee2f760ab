use std::sync::Arc;

use smallvec::SmallVec;

use super::Gate;
use crate::{
    key::KeyDigest,
    record::ConsumerId,
    requirement::Requirement,
    verdict::{Caller, Reason},
    wire::{Extraction, Manner, NoCredential, Place, RequestHead, RequestHeadMut, Wire},
};

/// What a request showed at the gate. The key's text is not in it, only its digests.
#[derive(Clone, Debug)]
pub struct Presented {
    pub(super) requirement: Arc<Requirement>,
    pub(super) cost: u64,
    pub(super) manner: Manner,
    pub(super) shown: Shown,
    /// Whom the request bore as its caller: an outer layer of this gate or another one put it there.
    pub(super) borne: Option<Caller>,
}

#[derive(Clone, Debug)]
pub(super) enum Shown {
    /// A well-formed key, by its digests, newest scheme first, and where it stood.
    Key { digests: SmallVec<[KeyDigest; 1]>, places: SmallVec<[Place; 1]> },
    /// That an outer layer of the same gate admitted it: whom it bears as its caller leads there.
    Admitted,
    /// No key, and where the request came from, by the name of that as a consumer.
    Address(ConsumerId),
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
        let borne = request.caller();
        let shown = match borne.and_then(|caller| caller.by(self.number)) {
            Some(_) => Shown::Admitted,
            None => match self.shown(survey.credential) {
                Shown::Nothing { reason: Reason::MissingKey, detail } => {
                    let nothing = || Shown::Nothing { reason: Reason::MissingKey, detail };
                    self.visitor(request).map_or_else(nothing, Shown::Address)
                }
                shown => shown,
            },
        };
        Some(Presented {
            requirement: Arc::clone(requirement),
            cost: requirement.units(),
            manner: survey.manner,
            shown,
            borne: borne.cloned(),
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

    /// Where a request without a key comes from, if such requests are admitted and that is known.
    fn visitor(&self, request: &impl RequestHead) -> Option<ConsumerId> {
        self.anonymous.as_ref()?;
        let address = self.wire.client_address(request)?;
        Some(ConsumerId::visitor(address.partition()))
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
