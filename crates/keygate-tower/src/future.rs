use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use keygate::port::BoxFuture;
use keygate::verdict::{Passage, Rejection, Verdict};
use keygate::wire::Fields;
use pin_project_lite::pin_project;
use tower_service::Service;

use crate::{ResponseBody, head::Answer};

pin_project! {
    /// The response of a [`Keygate`](crate::Keygate): the service's, or a refusal.
    pub struct ResponseFuture<S: Service<Request<B>>, B> {
        // What the gate decides, and the service that waits for it, ready to be called.
        pub(crate) waiting: Option<(Asking, S, Request<B>)>,
        #[pin]
        pub(crate) answer: Option<S::Future>,
        pub(crate) passage: Option<Passage>,
    }
}

pub(crate) type Asking = BoxFuture<'static, Result<Passage, Rejection>>;

impl<S, B, R> Future for ResponseFuture<S, B>
where
    S: Service<Request<B>, Response = Response<R>>,
{
    type Output = Result<Response<ResponseBody<R>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let Some((asking, ..)) = this.waiting {
            let verdict = ready!(asking.as_mut().poll(cx));
            if let Some((_, mut service, mut request)) = this.waiting.take() {
                let passage = match verdict {
                    Ok(passage) => passage,
                    Err(rejection) => return Poll::Ready(Ok(refuse(rejection))),
                };
                request.extensions_mut().insert(passage.caller().clone());
                request.extensions_mut().insert(passage.admission().clone());
                this.answer.set(Some(service.call(request)));
                *this.passage = Some(passage);
            }
        }
        // Nothing is left to poll once a refusal was returned.
        let answer = ready!(this.answer.as_pin_mut().map_or(Poll::Pending, |it| it.poll(cx)));
        let Some(passage) = this.passage.take() else {
            return Poll::Ready(
                answer.map(|it| it.map(|body| ResponseBody::of_service(body, None))),
            );
        };
        Poll::Ready(match answer {
            Ok(response) => Ok(settle(response, passage)),
            Err(error) => {
                passage.settle(None);
                Err(error)
            }
        })
    }
}

impl<S: Service<Request<B>>, B> fmt::Debug for ResponseFuture<S, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResponseFuture { .. }")
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
    *response.status_mut() = reply.status.try_into().unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
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
