use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http_body::{Body, Frame, SizeHint};
use keygate::verdict::Admission;
use pin_project_lite::pin_project;

pin_project! {
    /// The body of a response: the service's own, untouched, or the text of a refusal.
    ///
    /// A request keeps its slot, if it has one, until the body of the service has been sent.
    #[derive(Debug)]
    pub struct ResponseBody<B> {
        #[pin]
        content: Content<B>,
    }
}

pin_project! {
    #[derive(Debug)]
    #[project = Projected]
    enum Content<B> {
        Service { #[pin] body: B, admission: Option<Admission> },
        Refusal { text: String },
    }
}

impl<B> ResponseBody<B> {
    pub(crate) fn of_service(body: B, admission: Option<Admission>) -> Self {
        Self { content: Content::Service { body, admission } }
    }

    pub(crate) fn of_refusal(text: String) -> Self {
        Self { content: Content::Refusal { text } }
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
        match self.project().content.project() {
            Projected::Service { body, admission } => {
                let frame = ready!(body.poll_frame(cx));
                if frame.is_none() {
                    *admission = None;
                }
                Poll::Ready(frame)
            }
            Projected::Refusal { text } if text.is_empty() => Poll::Ready(None),
            Projected::Refusal { text } => {
                Poll::Ready(Some(Ok(Frame::data(std::mem::take(text).into()))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Service { body, .. } => body.is_end_stream(),
            Content::Refusal { text } => text.is_empty(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Service { body, .. } => body.size_hint(),
            Content::Refusal { text } => {
                SizeHint::with_exact(text.len().try_into().unwrap_or(u64::MAX))
            }
        }
    }
}
