use std::sync::Arc;

use super::{Admission, Admitted, Caller, Verdict};
use crate::wire::Fields;

/// An admitted request on its way through the service: what an adapter holds.
///
/// [`settle`](Self::settle) it once the status of the response is known, or, where bodies have trailers,
/// [`settle_by_head`](Self::settle_by_head). Dropped unsettled the request is metered as aborted: the
/// client went away, or a timeout gave up. Dropped by a panic it is metered, and refunded where its route
/// says so, as a failure of the service.
#[derive(Debug)]
#[must_use = "a passage that is dropped is metered as aborted; settle it"]
pub struct Passage {
    admission: Admission,
    /// Whom the request bears as its caller already, behind another layer of the gate.
    borne: Option<Caller>,
    /// Whether this layer of the gate counted the request, and has not said yet how it ended.
    counts: bool,
}

impl Passage {
    /// Through the layer that counted the request.
    pub(crate) fn first(admission: Admission) -> Self {
        Self { admission, borne: None, counts: true }
    }

    /// Through another layer of the same gate.
    pub(crate) fn further(admission: Admission, borne: Caller) -> Self {
        Self { admission, borne: Some(borne), counts: false }
    }

    /// The request, for whoever serves it.
    pub fn admission(&self) -> &Admission {
        &self.admission
    }

    /// Who calls, for the extensions of the request. Through a further layer of the same gate that is whom they
    /// hold already, be it by a gate between the two.
    #[must_use]
    pub fn caller(&self) -> Caller {
        self.borne.clone().unwrap_or_else(|| Caller::of(&self.admission.0))
    }

    /// What is known of the request.
    #[must_use]
    pub fn admitted(&self) -> &Admitted {
        self.admission.admitted()
    }

    /// The header fields to append to the response. Empty for a further layer of the same gate.
    #[must_use]
    pub fn fields(&self) -> Fields {
        if !self.counts {
            return Fields::new();
        }
        let it = self.admitted();
        it.pending.fields(&it.taken.counted)
    }

    /// The verdict for the extensions of the response, if the gate is
    /// [to tell it](crate::gate::GateBuilder::tell_admitted). `inner` is what the extensions hold already: a refusal by
    /// a layer further in is the last word on the request, and stays.
    #[must_use]
    pub fn verdict(&self, inner: Option<&Verdict>) -> Option<Verdict> {
        let refused = matches!(inner, Some(Verdict::Rejected(_)));
        let tells = self.admitted().pending.tells_admitted() && !refused;
        tells.then(|| Verdict::Admitted(Arc::clone(&self.admission.0)))
    }

    /// The status to [`settle`](Self::settle) with: that of the response, or what amounts to it where
    /// the protocol says it elsewhere, in a header that it has by this name in lower case. For bodies
    /// without trailers: the others are told by [`settle_by_head`](Self::settle_by_head).
    #[must_use]
    pub fn status_of<'h>(
        &self,
        status: u16,
        header: impl FnOnce(&'static str) -> Option<&'h [u8]>,
    ) -> u16 {
        self.admitted().pending.manner().status_of(status, header)
    }

    /// What the body of the response is to hold until it has been sent; nothing unless the plan limits
    /// how many requests are under way at once.
    #[must_use]
    pub fn for_body(&self) -> Option<Admission> {
        (self.counts && self.has_slot()).then(|| self.admission.clone())
    }

    /// The service has answered with this status; `None` if it failed without one.
    pub fn settle(mut self, status: Option<u16>) {
        self.settle_once(status);
    }

    /// The service has answered with a head of this status; `header` looks for a header by its name in
    /// lower case. The passage comes back if the body of the response is to hold it until it has been
    /// sent: for the slot of the request, or because only the body will tell how the response ends.
    ///
    /// In the second case it [is not settled](Self::is_settled) yet: a response of gRPC has begun well,
    /// and is to say with its [trailers](Self::settle_by_trailers) how it went. Of gRPC-Web, which has its
    /// trailers within its body, and of any other protocol the head is the last word.
    pub fn settle_by_head<'h>(
        mut self,
        status: u16,
        header: impl Fn(&'static str) -> Option<&'h [u8]>,
    ) -> Option<Self> {
        let holds_slot = self.counts && self.has_slot();
        if let Some(status) = self.admitted().pending.manner().status_by_head(status, header) {
            self.settle_once(Some(status));
        }
        (holds_slot || self.counts).then_some(self)
    }

    /// The body has ended; `trailer` looks for a trailer by its name in lower case, and finds none if the
    /// body has failed or ended without any. A request that is settled already stays as it is.
    pub fn settle_by_trailers<'t>(
        &mut self,
        trailer: impl FnOnce(&'static str) -> Option<&'t [u8]>,
    ) {
        if self.counts {
            let status = self.admitted().pending.manner().status_by_trailers(trailer);
            self.settle_once(Some(status));
        }
    }

    /// Whether nothing that is still to come says how the request ends.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        !self.counts
    }

    fn settle_once(&mut self, status: Option<u16>) {
        if std::mem::take(&mut self.counts) {
            self.answered(status);
        }
    }

    fn has_slot(&self) -> bool {
        self.admitted().taken.slot.is_some()
    }

    fn answered(&self, status: Option<u16>) {
        let it = self.admitted();
        if it.pending.refunds(status) {
            self.admission.settle_cost(0);
        }
        it.ended.answered(status, it.pending.now());
    }
}

impl Drop for Passage {
    fn drop(&mut self) {
        if !self.counts {
            return;
        }
        // A service that panics has failed; otherwise nobody waits for its answer any more.
        if std::thread::panicking() {
            self.answered(None);
        } else {
            let it = self.admitted();
            it.ended.aborted(it.pending.now());
        }
    }
}
