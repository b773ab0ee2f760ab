use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http_body::{Body, Frame, SizeHint};
use keygate::verdict::Passage;
use pin_project_lite::pin_project;

pin_project! {
    /// The body of a response: the service's own, untouched, or the text of a refusal.
    ///
    /// A request keeps its slot, if it has one, as long as this body: it is dropped once it was sent, or
    /// nobody wants it any more. A call of gRPC that is dropped before it has ended was aborted.
    #[derive(Debug)]
    pub struct ResponseBody<B> {
        #[pin]
        pub(crate) own: Option<B>,
        pub(crate) refusal: String,
        pub(crate) held: Option<Passage>,
    }
}

impl<B> ResponseBody<B> {
    /// The service's own body, unless this is the text of a refusal or holds something until it was sent: then
    /// what `wrap` makes of it. Spares frameworks the box that they make of a body that is not theirs; for axum,
    /// `into_own(axum::body::Body::new)`.
    pub fn into_own(mut self, wrap: impl FnOnce(Self) -> B) -> B {
        let own = self.own.take_if(|_| self.held.is_none());
        own.unwrap_or_else(|| wrap(self))
    }
}

impl<B: Body<Data: From<String>>> Body for ResponseBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.project();
        if let Some(own) = this.own.as_pin_mut() {
            let frame = ready!(own.poll_frame(cx));
            // What is no data is the end: trailers, a failure, or nothing more.
            let over = this.held.as_mut().filter(|_| !frame.iter().flatten().any(Frame::is_data));
            if let Some(passage) = over {
                let trailers = frame.iter().flatten().find_map(Frame::trailers_ref);
                passage.settle_by_trailers(|name| Some(trailers?.get(name)?.as_bytes()));
            }
            return Poll::Ready(frame);
        }
        let text = std::mem::take(this.refusal);
        Poll::Ready((!text.is_empty()).then(|| Ok(Frame::data(text.into()))))
    }

    fn is_end_stream(&self) -> bool {
        // What says that it has ended is polled no more, and this end is yet to be seen.
        self.held.as_ref().is_none_or(Passage::is_settled)
            && self.own.as_ref().map_or(self.refusal.is_empty(), Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.own.as_ref().map_or_else(|| self.refusal.size_hint(), Body::size_hint)
    }
}
