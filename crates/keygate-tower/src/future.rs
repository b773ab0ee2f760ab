use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use keygate::port::BoxFuture;
use keygate::verdict::{Passage, Rejection, Verdict};
use keygate::wire::Fields;
use pin_project_lite::pin_project;
use tower_service::Service;

use crate::ResponseBody;
use crate::head::Answer;

pin_project! {
    /// The response of a [`Keygate`](crate::Keygate): the service's, or a refusal.
    pub struct ResponseFuture<S: Service<Request<B>>, B> {
        #[pin]
        pub(crate) state: State<S, B>,
    }
}

pin_project! {
    #[project = Projected]
    pub(crate) enum State<S: Service<Request<B>>, B> {
        // What the gate decides, and the service that waits for it, ready to be called.
        Asking { waiting: Option<(Asking, S, Request<B>)> },
        Answering { #[pin] answer: S::Future, passage: Option<Passage> },
    }
}

pub(crate) type Asking = BoxFuture<'static, Result<Passage, Rejection>>;

impl<S, B, R> Future for ResponseFuture<S, B>
where
    S: Service<Request<B>, Response = Response<R>>,
{
    type Output = Result<Response<ResponseBody<R>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        if let Projected::Asking { waiting } = state.as_mut().project()
            && let Some((asking, ..)) = waiting
        {
            let verdict = ready!(asking.as_mut().poll(cx));
            if let Some((_, mut service, mut request)) = waiting.take() {
                let passage = match verdict {
                    Ok(passage) => passage,
                    Err(rejection) => return Poll::Ready(Ok(refuse(rejection))),
                };
                request.extensions_mut().insert(passage.caller().clone());
                request.extensions_mut().insert(passage.admission().clone());
                let answer = service.call(request);
                state.set(State::Answering { answer, passage: Some(passage) });
            }
        }
        // Nothing is left to poll once a refusal was returned.
        let Projected::Answering { answer, passage } = state.project() else {
            return Poll::Pending;
        };
        let answer = ready!(answer.poll(cx));
        let passage = passage.take();
        Poll::Ready(match (answer, passage) {
            (Ok(response), Some(passage)) => Ok(settle(response, passage)),
            (Ok(response), None) => Ok(response.map(|body| ResponseBody::of_service(body, None))),
            (Err(error), passage) => {
                passage.map(|passage| passage.settle(None));
                Err(error)
            }
        })
    }
}

impl<S: Service<Request<B>>, B> fmt::Debug for ResponseFuture<S, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}

fn settle<R>(mut response: Response<R>, passage: Passage) -> Response<ResponseBody<R>> {
    append(response.headers_mut(), passage.fields());
    let status = passage.status_of(&Answer(&response));
    let admission = passage.for_body();
    let verdict = passage.settle(Some(status));
    let extensions = response.extensions_mut();
    // A refusal by a layer further in is the last word on the request.
    if !matches!(extensions.get(), Some(Verdict::Rejected(_))) {
        extensions.insert(verdict);
    }
    response.map(|body| ResponseBody::of_service(body, admission))
}

fn refuse<R>(rejection: Rejection) -> Response<ResponseBody<R>> {
    let reply = rejection.reply();
    let mut response = Response::new(ResponseBody::of_refusal(reply.body));
    *response.status_mut() =
        StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    append(response.headers_mut(), reply.headers);
    response.extensions_mut().insert(Verdict::Rejected(rejection));
    response
}

fn append(headers: &mut HeaderMap, fields: Fields) {
    for (name, value) in fields {
        if let Some(value) = value.into_made(|text| HeaderValue::try_from(text).ok()) {
            headers.append(HeaderName::from_static(name), value);
        }
    }
}
