use std::net::IpAddr;

use http::{HeaderValue, Request, Uri};
use keygate::Caller;
use keygate::wire::{RequestHead, RequestHeadMut};

use crate::layer::Peer;

/// The head of a request, shown to the gate, and where to look for who sent it.
pub(crate) struct Head<'r, B>(pub(crate) &'r mut Request<B>, pub(crate) Peer);

impl<B> RequestHead for Head<'_, B> {
    fn method(&self) -> &str {
        self.0.method().as_str()
    }

    fn path(&self) -> &str {
        self.0.uri().path()
    }

    fn query(&self) -> Option<&str> {
        self.0.uri().query()
    }

    fn headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes()))
    }

    fn caller(&self) -> Option<&Caller> {
        self.0.extensions().get()
    }

    fn peer(&self) -> Option<IpAddr> {
        (self.1)(self.0.extensions())
    }
}

impl<B> RequestHeadMut for Head<'_, B> {
    fn mark_sensitive(&mut self, header: &str) {
        let values = self.0.headers_mut().iter_mut().filter(|(name, _)| name.as_str() == header);
        values.for_each(|(_, value)| value.set_sensitive(true));
    }

    fn remove(&mut self, header: &str) {
        self.0.headers_mut().remove(header);
    }

    fn replace(&mut self, header: &'static str, value: &str) {
        let value = value.parse().unwrap_or(HeaderValue::from_static(""));
        self.0.headers_mut().insert(header, value);
    }

    fn set_path_and_query(&mut self, text: &str) {
        let mut parts = std::mem::take(self.0.uri_mut()).into_parts();
        parts.path_and_query = text.parse().ok();
        *self.0.uri_mut() = Uri::from_parts(parts).unwrap_or_default();
    }
}
