use std::{
    mem,
    sync::Arc,
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
        if let Some(mut presented) = self.layer.gate.present(&head, &self.layer.requirement) {
            presented.conceal(&mut head);
            if let Some(cost) = &self.layer.cost {
                presented = presented.costing(cost(&parts));
            }
            let gate = Arc::clone(&self.layer.gate);
            let asking: Asking = Box::pin(async move { gate.admit(presented).await });
            future.asking = Some((asking, ready, Request::from_parts(parts, body)));
        } else {
            self.layer.gate.conceal(&mut head);
            future.answering = Some(ready.call(Request::from_parts(parts, body)));
        }
        future
    }
}
