use std::mem;
use std::task::{Context, Poll};

use http::{Request, Response};
use tower_service::Service;

use crate::{
    KeygateLayer, ResponseBody, ResponseFuture, future::Asking, head::Head, layer::Shared,
};

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
        // The service that was polled ready is the one to call; its clone waits its turn.
        let clone = self.inner.clone();
        let mut ready = mem::replace(&mut self.inner, clone);

        let Shared { gate, requirement, cost, peer } = &*self.layer.0;
        let peer = peer(request.extensions());
        let mut head = Head(&mut request, peer);
        let presented = gate.present(&head, requirement);
        gate.conceal(&mut head, presented.as_ref());
        let Some(mut presented) = presented else {
            let answer = Some(ready.call(request));
            return ResponseFuture { waiting: None, answer, passage: None };
        };
        if let Some(cost) = cost {
            let (parts, body) = request.into_parts();
            presented = presented.costing(cost(&parts));
            request = Request::from_parts(parts, body);
        }
        let asking: Asking = Box::pin(gate.admit(presented));
        ResponseFuture { waiting: Some((asking, ready, request)), answer: None, passage: None }
    }
}
