//! Requests to an app in this process.

use std::{
    pin::Pin,
    task::{Context, Poll, Waker},
};

use actix_http::Request;
use actix_web::{
    Error,
    body::{MessageBody, to_bytes},
    dev::{Service, ServiceResponse},
    http::header::HeaderMap,
    test::TestRequest,
};
use keygate::{
    Verdict,
    verdict::{Admitted, Reason},
};

/// A response, and nothing of the request.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
    pub(crate) verdict: Option<Verdict>,
    /// The error it was made of.
    pub(crate) error: Option<String>,
    /// Whether the app gave it as an `Err`.
    pub(crate) was_err: bool,
}

impl Answer {
    /// Every value of a header.
    pub(crate) fn values(&self, name: &str) -> Vec<&str> {
        self.headers.get_all(name).map(|value| value.to_str().unwrap()).collect()
    }

    #[track_caller]
    pub(crate) fn refused(&self) -> Reason {
        match &self.verdict {
            Some(Verdict::Rejected(rejection)) => rejection.reason(),
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    pub(crate) fn admitted(&self) -> &Admitted {
        match &self.verdict {
            Some(Verdict::Admitted(admitted)) => admitted,
            other => panic!("{other:?}"),
        }
    }
}

pub(crate) async fn send<S, B>(app: &S, request: TestRequest) -> Answer
where
    S: Service<Request, Response = ServiceResponse<B>, Error = Error>,
    B: MessageBody,
{
    match app.call(request.to_request()).await {
        Ok(response) => {
            let (request, response) = response.into_parts();
            drop(request);
            answer(response, false).await
        }
        Err(error) => {
            let told = error.to_string();
            let answer = answer(error.error_response(), true).await;
            Answer { error: Some(told), ..answer }
        }
    }
}

async fn answer<B: MessageBody>(response: actix_web::HttpResponse<B>, was_err: bool) -> Answer {
    let verdict = response.extensions().get::<Verdict>().cloned();
    let error = response.error().map(ToString::to_string);
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let Ok(body) = to_bytes(response.into_body()).await else { panic!("a body that fails") };
    let text = String::from_utf8(body.to_vec()).unwrap();
    Answer { status, headers, text, verdict, error, was_err }
}

pub(crate) async fn status<S, B>(app: &S, request: TestRequest) -> u16
where
    S: Service<Request, Response = ServiceResponse<B>, Error = Error>,
    B: MessageBody,
{
    send(app, request).await.status
}

pub(crate) fn poll_once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}
