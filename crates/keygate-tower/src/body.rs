use std::pin::Pin;
use std::task::{Context, Poll};

use http_body::{Body, Frame, SizeHint};
use keygate::verdict::Admission;
use pin_project_lite::pin_project;

pin_project! {
    /// The body of a response: the service's own, untouched, or the text of a refusal.
    ///
    /// A request keeps its slot, if it has one, as long as this body: it is dropped once it was sent, or
    /// nobody wants it any more.
    #[derive(Debug)]
    pub struct ResponseBody<B> {
        #[pin]
        pub(crate) own: Option<B>,
        pub(crate) refusal: String,
        pub(crate) slot: Option<Admission>,
    }
}

impl<B: Body> Body for ResponseBody<B>
where
    B::Data: From<String>,
{
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.project();
        if let Some(own) = this.own.as_pin_mut() {
            return own.poll_frame(cx);
        }
        let text = std::mem::take(this.refusal);
        Poll::Ready((!text.is_empty()).then(|| Ok(Frame::data(text.into()))))
    }

    fn is_end_stream(&self) -> bool {
        self.own.as_ref().map_or(self.refusal.is_empty(), Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let refusal = || SizeHint::with_exact(self.refusal.len().try_into().unwrap_or(u64::MAX));
        self.own.as_ref().map_or_else(refusal, Body::size_hint)
    }
}
