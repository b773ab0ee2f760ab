use std::task::{Context, Poll, ready};
use std::{fmt, pin::Pin, sync::LazyLock};

use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use keygate::verdict::{Passage, Rejection, Verdict};
use keygate::wire::{FieldName, Fields};
use pin_project_lite::pin_project;
use tower_service::Service;

use crate::ResponseBody;

pin_project! {
    /// The response of a [`Keygate`](crate::Keygate): the service's, or a refusal.
    pub struct ResponseFuture<S: Service<Request<B>>, B> { #[pin] pub(crate) stage: Stage<S, B> }
}

pin_project! {
    #[project = At]
    pub(crate) enum Stage<S: Service<Request<B>>, B> {
        // What the gate decides, and the service that waits for it, ready to be called.
        Asking { waiting: Option<(Asking, S, Request<B>)> },
        Answering { #[pin] answer: S::Future, passage: Option<Passage> },
    }
}

pub(crate) type Asking = keygate::port::Answer<'static, Result<Passage, Rejection>>;

impl<S: Service<Request<B>>, B> Stage<S, B> {
    // Requests are large, and copied by each function that is handed one.
    #[inline(always)]
    pub(crate) fn admitted(passage: Passage, service: &mut S, mut request: Request<B>) -> Self {
        request.extensions_mut().insert(passage.caller());
        Self::Answering { answer: service.call(request), passage: Some(passage) }
    }
}

impl<S, B, R> Future for ResponseFuture<S, B>
where
    S: Service<Request<B>, Response = Response<R>>,
{
    type Output = Result<Response<ResponseBody<R>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut stage = self.project().stage;
        if let At::Asking { waiting } = stage.as_mut().project()
            && let Some((asking, ..)) = waiting
        {
            let verdict = ready!(Pin::new(asking).poll(cx));
            let Some((_, mut service, request)) = waiting.take() else { return Poll::Pending };
            match verdict {
                Ok(passage) => stage.set(Stage::admitted(passage, &mut service, request)),
                Err(rejection) => return Poll::Ready(Ok(refuse(rejection))),
            }
        }
        // Nothing is left to poll once a refusal was returned.
        let At::Answering { answer, passage } = stage.project() else { return Poll::Pending };
        // Held here while it polls: a panic lets go of it at once, whoever catches it and keeps the rest.
        let held = passage.take();
        let polled = answer.poll(cx);
        *passage = held;
        let mut answer = ready!(polled);
        let held = passage.take().and_then(|passage| tell(&mut answer, passage));
        let body = |own| ResponseBody { own: Some(own), refusal: String::new(), held };
        Poll::Ready(answer.map(|response| response.map(body)))
    }
}

impl<S: Service<Request<B>>, B> fmt::Debug for ResponseFuture<S, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResponseFuture { .. }")
    }
}

/// Tells what became of the request, and what the body is to hold.
fn tell<R, E>(answer: &mut Result<Response<R>, E>, passage: Passage) -> Option<Passage> {
    let Ok(response) = answer else {
        passage.settle(None);
        return None;
    };
    append(response.headers_mut(), passage.fields());
    if let Some(verdict) = passage.verdict(response.extensions().get()) {
        response.extensions_mut().insert(verdict);
    }
    let header = |name: &str| response.headers().get(name).map(HeaderValue::as_bytes);
    passage.settle_by_head(response.status().as_u16(), header)
}

fn refuse<R>(rejection: Rejection) -> Response<ResponseBody<R>> {
    let reply = rejection.reply();
    let mut response = Response::new(ResponseBody { own: None, refusal: reply.body, held: None });
    *response.status_mut() = reply.status.try_into().unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    append(response.headers_mut(), reply.headers);
    response.extensions_mut().insert(Verdict::Rejected(rejection));
    response
}

/// Parsed once: a name that is none of the usual ones takes longer than its value.
static NAMES: LazyLock<[HeaderName; FieldName::ALL.len()]> =
    LazyLock::new(|| FieldName::ALL.map(|name| HeaderName::from_static(name.as_str())));

fn append(headers: &mut HeaderMap, fields: Fields) {
    for (name, value) in fields {
        let value = value.into_made(|text| HeaderValue::try_from(text).ok());
        NAMES.get(name.place()).zip(value).map(|(name, value)| headers.append(name, value));
    }
}
