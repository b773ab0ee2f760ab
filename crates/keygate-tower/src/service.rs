use std::task::{Context, Poll};

use http::{Request, Response};
use tower_service::Service;

use crate::future::{Asking, ResponseFuture, Stage};
use crate::{KeygateLayer, ResponseBody, head::Head, layer::Shared};

/// A service behind a gate: what [`KeygateLayer`] makes.
#[derive(Clone, Debug)]
pub struct Keygate<S> {
    pub(crate) inner: S,
    pub(crate) layer: KeygateLayer,
}

impl<S, B, R> Service<Request<B>> for Keygate<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
{
    type Response = Response<ResponseBody<R>>;
    type Error = S::Error;
    type Future = ResponseFuture<S, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> ResponseFuture<S, B> {
        let Shared { gate, requirement, cost, peer } = &*self.layer.0;
        let mut head = Head(&mut request, *peer);
        let presented = gate.present(&head, requirement);
        gate.conceal(&mut head, presented.as_ref());
        let Some(mut presented) = presented else {
            let answer = self.inner.call(request);
            return ResponseFuture { stage: Stage::Answering { answer, passage: None } };
        };
        if let Some(cost) = cost {
            let (parts, body) = request.into_parts();
            presented = presented.costing(cost(&parts));
            request = Request::from_parts(parts, body);
        }
        let asking = match gate.admit(presented).at_once() {
            Ok(Ok(passage)) => {
                let stage = Stage::admitted(passage, &mut self.inner, request);
                return ResponseFuture { stage };
            }
            // What the service has reserved for this request, it gives back with the refusal.
            Ok(Err(rejection)) => Asking::ready(Err(rejection)),
            Err(asking) => asking,
        };
        // The service that was polled ready is the one to call; its clone waits its turn.
        let clone = self.inner.clone();
        let ready = std::mem::replace(&mut self.inner, clone);
        ResponseFuture { stage: Stage::Asking { waiting: Some((asking, ready, request)) } }
    }
}
