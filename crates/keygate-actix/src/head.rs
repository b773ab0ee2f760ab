use std::{mem, net::IpAddr};

use actix_web::dev::ServiceRequest;
use actix_web::http::{Uri, header};
use keygate::Caller;
use keygate::wire::{RequestHead, RequestHeadMut};

/// The head of a request, shown to the gate, and a copy of the caller in its extensions: they are
/// in a cell, and lend nothing for as long as the gate looks.
pub(crate) struct Head<'r>(pub(crate) &'r mut ServiceRequest, pub(crate) Option<Caller>);

impl RequestHead for Head<'_> {
    fn method(&self) -> &str {
        self.0.method().as_str()
    }

    fn path(&self) -> &str {
        self.0.path()
    }

    fn query(&self) -> Option<&str> {
        self.0.uri().query()
    }

    fn headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes()))
    }

    fn caller(&self) -> Option<&Caller> {
        self.1.as_ref()
    }

    fn peer(&self) -> Option<IpAddr> {
        self.0.peer_addr().map(|peer| peer.ip())
    }
}

impl RequestHeadMut for Head<'_> {
    fn mark_sensitive(&mut self, header: &str) {
        // The only way to all values of a header that changes them where they are.
        self.0.headers_mut().retain(|name, value| {
            value.set_sensitive(value.is_sensitive() || name.as_str() == header);
            true
        });
    }

    fn remove(&mut self, header: &str) {
        self.0.headers_mut().remove(header);
    }

    fn replace(&mut self, header: &'static str, value: &str) {
        let value = value.parse().unwrap_or(header::HeaderValue::from_static(""));
        self.0.headers_mut().insert(header::HeaderName::from_static(header), value);
    }

    fn set_path_and_query(&mut self, text: &str) {
        let uri = &mut self.0.head_mut().uri;
        let mut parts = mem::take(uri).into_parts();
        parts.path_and_query = text.parse().ok();
        *uri = Uri::from_parts(parts).unwrap_or_default();
        // The router keeps a copy.
        let uri = uri.clone();
        self.0.match_info_mut().get_mut().update(&uri);
    }
}
