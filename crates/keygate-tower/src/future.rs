use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use keygate::port::BoxFuture;
use keygate::verdict::{Admission, Rejection, Verdict};
use keygate::wire::Fields;
use pin_project_lite::pin_project;
use tower_service::Service;

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
        Answering { #[pin] answer: S::Future, admission: Option<Admission> },
    }
}

pub(crate) type Asking = BoxFuture<'static, Result<Admission, Rejection>>;

impl<S, B, R> Future for ResponseFuture<S, B>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: From<String>,
{
    type Output = Result<Response<R>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        if let Projected::Asking { waiting } = state.as_mut().project()
            && let Some((asking, ..)) = waiting
        {
            let verdict = ready!(asking.as_mut().poll(cx));
            if let Some((_, mut service, mut request)) = waiting.take() {
                let admission = match verdict {
                    Ok(admission) => admission,
                    Err(rejection) => return Poll::Ready(Ok(refuse(rejection))),
                };
                request.extensions_mut().insert(admission.caller().clone());
                let answer = service.call(request);
                state.set(State::Answering { answer, admission: Some(admission) });
            }
        }
        // Nothing is left to poll once a refusal was returned.
        let Projected::Answering { answer, admission } = state.project() else {
            return Poll::Pending;
        };
        let answer = ready!(answer.poll(cx));
        let Some(admission) = admission.take() else { return Poll::Ready(answer) };
        let fields = admission.fields();
        let verdict = admission.settle(answer.as_ref().ok().map(|it| it.status().as_u16()));
        Poll::Ready(answer.map(|mut response| {
            append(response.headers_mut(), fields);
            let extensions = response.extensions_mut();
            // A refusal by a layer further in is the last word on the request.
            if !matches!(extensions.get(), Some(Verdict::Rejected(_))) {
                extensions.insert(verdict);
            }
            response
        }))
    }
}

impl<S: Service<Request<B>>, B> fmt::Debug for ResponseFuture<S, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}

fn refuse<R: From<String>>(rejection: Rejection) -> Response<R> {
    let reply = rejection.reply();
    let mut response = Response::new(R::from(reply.body));
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
