//! Requests to a router in this process.

use axum::{Router, body::Body, response::Response};
use http::request;
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;

pub(crate) async fn send(app: &Router, request: request::Builder) -> Response {
    app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
}

pub(crate) async fn status(app: &Router, request: request::Builder) -> u16 {
    send(app, request).await.status().as_u16()
}

pub(crate) async fn text(app: &Router, request: request::Builder) -> String {
    let body = send(app, request).await.into_body().collect().await.unwrap();
    String::from_utf8(body.to_bytes().to_vec()).unwrap()
}

/// Every value of a response header.
pub(crate) fn values<'r>(response: &'r Response, name: &str) -> Vec<&'r str> {
    let values = response.headers().get_all(name).iter();
    values.map(|value| value.to_str().unwrap()).collect()
}
