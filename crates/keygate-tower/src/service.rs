use std::{
    mem,
    task::{Context, Poll},
};

use http::{Request, Response};
use tower_service::Service;

use crate::{KeygateLayer, ResponseFuture, future::Asking, head::Head};

/// A service behind a gate: what [`KeygateLayer`] makes.
#[derive(Clone, Debug)]
pub struct Keygate<S> {
    pub(crate) inner: S,
    pub(crate) layer: KeygateLayer,
}

impl<S, B, R> Service<Request<B>> for Keygate<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    R: From<String>,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = ResponseFuture<S, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> ResponseFuture<S, B> {
        // The service that was polled ready is the one to call; its clone waits its turn.
        let clone = self.inner.clone();
        let mut ready = mem::replace(&mut self.inner, clone);

        let (mut parts, body) = request.into_parts();
        let mut head = Head(&mut parts);
        let mut future = ResponseFuture { asking: None, answering: None, admission: None };
        let presented = self.layer.gate.present(&head, &self.layer.requirement);
        self.layer.gate.conceal(&mut head, presented.as_ref());
        if let Some(mut presented) = presented {
            if let Some(cost) = &self.layer.cost {
                presented = presented.costing(cost(&parts));
            }
            let asking: Asking = Box::pin(self.layer.gate.admit(presented));
            future.asking = Some((asking, ready, Request::from_parts(parts, body)));
        } else {
            future.answering = Some(ready.call(Request::from_parts(parts, body)));
        }
        future
    }
}
