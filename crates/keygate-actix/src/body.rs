use std::pin::Pin;
use std::task::{Context, Poll, ready};

use actix_web::body::{BodySize, MessageBody};
use actix_web::web::Bytes;
use keygate::verdict::Admission;
use pin_project_lite::pin_project;

pin_project! {
    /// The body of the service's response, untouched.
    ///
    /// A request keeps its slot, if it has one, until its body has been sent.
    #[derive(Debug)]
    pub struct ResponseBody<B> {
        #[pin]
        pub(crate) body: B,
        pub(crate) slot: Option<Admission>,
    }
}

impl<B: MessageBody> MessageBody for ResponseBody<B> {
    type Error = B::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, B::Error>>> {
        let this = self.project();
        let chunk = ready!(this.body.poll_next(cx));
        if chunk.is_none() {
            *this.slot = None;
        }
        Poll::Ready(chunk)
    }

    fn try_into_bytes(self) -> Result<Bytes, Self> {
        match self.slot {
            // Bytes hold no slot, and are yet to be sent.
            Some(_) => Err(self),
            None => self.body.try_into_bytes().map_err(|body| Self { body, slot: None }),
        }
    }
}
