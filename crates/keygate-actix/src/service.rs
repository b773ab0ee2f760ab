use std::{pin::Pin, rc::Rc, sync::LazyLock};

use actix_web::dev::{Service, ServiceRequest, ServiceResponse, forward_ready};
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::{Error, HttpMessage as _, HttpResponse, body::EitherBody, http::StatusCode};
use keygate::verdict::{Passage, Rejection, Verdict};
use keygate::wire::{FieldName, Fields};

use crate::{Keygate, ResponseBody, head::Head};

/// A service behind a gate: what [`Keygate`] makes.
#[derive(Debug)]
pub struct KeygateMiddleware<S> {
    pub(crate) service: Rc<S>,
    pub(crate) keys: Keygate,
}

/// The service's response, or a refusal.
pub(crate) type Gated<B> = ServiceResponse<EitherBody<ResponseBody<B>>>;

impl<S, B> Service<ServiceRequest> for KeygateMiddleware<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    B: 'static,
{
    type Response = Gated<B>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Gated<B>, Error>>>>;

    forward_ready!(service);

    fn call(&self, mut request: ServiceRequest) -> Self::Future {
        let Keygate { gate, requirement, cost } = &self.keys;
        let caller = request.extensions().get().cloned();
        let mut head = Head(&mut request, caller);
        let presented = gate.present(&head, requirement);
        gate.conceal(&mut head, presented.as_ref());
        let service = Rc::clone(&self.service);
        let Some(mut presented) = presented else {
            return Box::pin(async move { Ok(pass(service.call(request).await?, None)) });
        };
        if let Some(cost) = cost {
            presented = presented.costing(cost(request.head()));
        }
        let asking = gate.admit(presented);
        Box::pin(async move {
            let passage = match asking.await {
                Ok(passage) => passage,
                Err(rejection) => return Ok(refuse(request, rejection)),
            };
            request.extensions_mut().insert(passage.caller());
            match service.call(request).await {
                Ok(response) => Ok(pass(response, Some(passage))),
                Err(error) => Err(fail(error, passage)),
            }
        })
    }
}

fn pass<B>(mut response: ServiceResponse<B>, passage: Option<Passage>) -> Gated<B> {
    let slot = passage.as_ref().and_then(Passage::for_body);
    if let Some(passage) = passage {
        let (fields, verdict) = settle(passage, response.response());
        tell(response.response_mut(), fields, verdict);
    }
    response.map_body(|_, body| EitherBody::left(ResponseBody { body, slot }))
}

/// An error stays one for the middleware around us; the response that is made of it tells the same.
fn fail(mut error: Error, passage: Passage) -> Error {
    let (fields, verdict) = settle(passage, &error.error_response());
    error.add_response_mapper(move |mut response| {
        tell(&mut response, fields.clone(), verdict.clone());
        response
    });
    error
}

fn refuse<B>(request: ServiceRequest, rejection: Rejection) -> Gated<B> {
    let reply = rejection.reply();
    let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = HttpResponse::build(status).body(reply.body);
    tell(&mut response, reply.headers, Some(Verdict::Rejected(rejection)));
    request.into_response(response).map_into_right_body()
}

fn settle<B>(passage: Passage, response: &HttpResponse<B>) -> (Fields, Option<Verdict>) {
    let header = |name: &str| response.headers().get(name).map(HeaderValue::as_bytes);
    let status = passage.status_of(response.status().as_u16(), header);
    let (fields, verdict) = (passage.fields(), passage.verdict(response.extensions().get()));
    passage.settle(Some(status));
    (fields, verdict)
}

/// Parsed once: a name that is none of the usual ones takes longer than its value.
static NAMES: LazyLock<[HeaderName; FieldName::ALL.len()]> =
    LazyLock::new(|| FieldName::ALL.map(|name| HeaderName::from_static(name.as_str())));

fn tell<B>(response: &mut HttpResponse<B>, fields: Fields, verdict: Option<Verdict>) {
    for (name, value) in fields {
        let value = value.into_made(|text| HeaderValue::try_from(text).ok());
        let field = NAMES.get(name.place()).cloned().zip(value);
        field.into_iter().for_each(|(name, value)| response.headers_mut().append(name, value));
    }
    verdict.map(|verdict| response.extensions_mut().insert(verdict));
}
