//! What clients see: where a credential may stand, every header name, status and problem body.
//!
//! HTTP comes in through [`RequestHead`] and goes out as plain strings ([`Fields`], [`Reply`]), so
//! that one wire serves every framework, whichever `http` crate it is built on.

mod credential;
mod details;
mod field_parts;
mod fields;
mod forwarded;
mod grpc;
mod manner;
mod name;
mod reply;
mod value;
mod websocket;

use std::net::IpAddr;

use crate::{address::TrustedProxies, verdict::Caller};

pub(crate) use self::{
    credential::{Extraction, NoCredential, Place},
    field_parts::FieldParts,
    manner::Manner,
};
pub use self::{
    fields::{Fields, RateLimitFields},
    forwarded::ProxyHeader,
    grpc::GrpcStatus,
    name::FieldName,
    reply::Reply,
    value::FieldValue,
    websocket::Close,
};

/// The head of a request, as an adapter shows it.
pub trait RequestHead {
    /// The method, such as `GET`.
    fn method(&self) -> &str;

    /// The path of the URI, as it was sent.
    fn path(&self) -> &str;

    /// The query of the URI, without its `?`.
    fn query(&self) -> Option<&str>;

    /// Every header line, in order, its name in lower case.
    fn headers(&self) -> impl Iterator<Item = (&str, &[u8])>;

    /// Who calls, if an outer layer put that into the request's extensions.
    fn caller(&self) -> Option<&Caller>;

    /// The address at the other end of the connection, if the server tells.
    fn peer(&self) -> Option<IpAddr>;
}

/// What an adapter does to a request so that inner layers and logs do not see the key.
///
/// Header names are given in lower case.
pub trait RequestHeadMut: RequestHead {
    /// Marks every value of a header as sensitive, where the framework knows such a mark.
    fn mark_sensitive(&mut self, header: &str);

    /// Removes a header.
    fn remove(&mut self, header: &str);

    /// Replaces every value of a header by this one, which is visible ASCII.
    fn replace(&mut self, header: &'static str, value: &str);

    /// Replaces path and query of the URI.
    fn set_path_and_query(&mut self, text: &str);
}

/// How a gate speaks HTTP. The default: `Authorization: Bearer` and `X-API-Key`, RateLimit fields
/// in the syntax of the current draft, realm `api`.
///
/// ```
/// use keygate::wire::{RateLimitFields, Wire};
///
/// let wire = Wire::default()
///     .realm("Orders API")?
///     .header("X-Orders-Key")?
///     .rate_limit_fields(RateLimitFields::Both);
/// # Ok::<(), keygate::wire::WireError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Wire {
    realm: String,
    schemes: Vec<&'static str>,
    headers: Vec<String>,
    query: Option<String>,
    /// What a key follows among the subprotocols of a WebSocket.
    subprotocol: Option<String>,
    strip: bool,
    rate_limit_fields: RateLimitFields,
    trusted_proxies: TrustedProxies,
    proxy_header: ProxyHeader,
}

impl Default for Wire {
    fn default() -> Self {
        Self {
            realm: "api".to_owned(),
            schemes: vec![BEARER],
            headers: vec!["x-api-key".to_owned()],
            query: None,
            subprotocol: None,
            strip: false,
            rate_limit_fields: RateLimitFields::Draft,
            trusted_proxies: TrustedProxies::default(),
            proxy_header: ProxyHeader::default(),
        }
    }
}

const BEARER: &str = "Bearer";
const API_KEY: &str = "ApiKey";

impl Wire {
    /// No place for a credential yet: for those who choose every place themselves.
    #[must_use]
    pub fn without_places() -> Self {
        Self { schemes: Vec::new(), headers: Vec::new(), ..Self::default() }
    }

    /// The realm named in challenges.
    ///
    /// # Errors
    /// If it holds anything but visible ASCII and spaces, or a quote or backslash.
    pub fn realm(self, realm: impl Into<String>) -> Result<Self, WireError> {
        let realm = realm.into();
        let allowed = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\';
        if !realm.bytes().all(allowed) {
            return Err(WireError::Realm { given: realm });
        }
        Ok(Self { realm, ..self })
    }

    /// Takes keys from `Authorization: Bearer <key>` (RFC 6750).
    #[must_use]
    pub fn bearer(mut self) -> Self {
        self.add_scheme(BEARER);
        self
    }

    /// Takes keys from `Authorization: ApiKey <key>`.
    #[must_use]
    pub fn api_key_scheme(mut self) -> Self {
        self.add_scheme(API_KEY);
        self
    }

    /// Takes keys from a header of this name, as its whole value.
    ///
    /// # Errors
    /// If the name is no token (RFC 9110, section 5.6.2), or one that has another meaning:
    /// `Authorization`, whose values begin with a scheme, `Content-Type`, `Sec-WebSocket-Protocol` and
    /// the headers of CORS.
    pub fn header(mut self, name: &str) -> Result<Self, WireError> {
        let name = name.to_ascii_lowercase();
        if !is_token(&name) || credential::TAKEN.contains(&name.as_str()) {
            return Err(WireError::Header { given: name });
        }
        if !self.headers.contains(&name) {
            self.headers.push(name);
        }
        Ok(self)
    }

    /// Takes keys from a query parameter of this name. Off by default: URIs end up in logs and
    /// histories. The parameter is removed from the URI before inner layers see it.
    ///
    /// # Errors
    /// If the name holds anything but letters, digits, `.`, `_` and `-`.
    pub fn query(self, parameter: &str) -> Result<Self, WireError> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if parameter.is_empty() || !parameter.bytes().all(allowed) {
            return Err(WireError::Query { given: parameter.to_owned() });
        }
        Ok(Self { query: Some(parameter.to_owned()), ..self })
    }

    /// Takes keys of WebSockets from `Sec-WebSocket-Protocol`, as the subprotocol `<prefix><key>`: a
    /// browser can choose no other header. Off by default. The server has to select one of the subprotocols
    /// that were offered, so clients offer one of the API beside the key:
    ///
    /// ```js
    /// new WebSocket(url, ["orders.v1", "keygate.key." + key])
    /// ```
    ///
    /// Only requests to upgrade to a WebSocket may show a key there. It is always removed before inner
    /// layers see the header.
    ///
    /// # Errors
    /// If the prefix is no token (RFC 9110, section 5.6.2).
    pub fn subprotocol(self, prefix: &str) -> Result<Self, WireError> {
        if !is_token(prefix) {
            return Err(WireError::Subprotocol { given: prefix.to_owned() });
        }
        Ok(Self { subprotocol: Some(prefix.to_owned()), ..self })
    }

    /// Removes the credential's header before the inner service. Otherwise it is marked sensitive.
    #[must_use]
    pub fn strip_credential(self) -> Self {
        Self { strip: true, ..self }
    }

    /// Which fields tell clients of their limits.
    #[must_use]
    pub fn rate_limit_fields(self, rate_limit_fields: RateLimitFields) -> Self {
        Self { rate_limit_fields, ..self }
    }

    /// The proxies whose word is taken for the address of the client. Nobody by default: the client
    /// is who connects.
    #[must_use]
    pub fn trusted_proxies(self, trusted_proxies: TrustedProxies) -> Self {
        Self { trusted_proxies, ..self }
    }

    /// Which header they write; by default `X-Forwarded-For`. The other one is never looked at.
    #[must_use]
    pub fn proxy_header(self, proxy_header: ProxyHeader) -> Self {
        Self { proxy_header, ..self }
    }

    /// Whether a key can be presented at all.
    pub(crate) fn has_places(&self) -> bool {
        let headers = !self.schemes.is_empty() || !self.headers.is_empty();
        headers || self.query.is_some() || self.subprotocol.is_some()
    }

    fn add_scheme(&mut self, scheme: &'static str) {
        if !self.schemes.contains(&scheme) {
            self.schemes.push(scheme);
        }
    }
}

/// A setting of the wire that HTTP does not allow.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// A realm that cannot stand in a challenge.
    #[error("realm `{}`: use visible ASCII and spaces, without quotes and backslashes", .given.escape_debug())]
    Realm {
        /// What was given.
        given: String,
    },
    /// A name that no header for keys can have.
    #[error("header `{}`: use a header name such as `x-api-key`; for `Authorization`, choose a scheme instead", .given.escape_debug())]
    Header {
        /// What was given.
        given: String,
    },
    /// A prefix that no subprotocol can have.
    #[error("subprotocol `{}`: use a prefix such as `keygate.key.`, without spaces and commas", .given.escape_debug())]
    Subprotocol {
        /// What was given.
        given: String,
    },
    /// A name that no query parameter for keys can have.
    #[error("query parameter `{}`: use letters, digits, `.`, `_` and `-`", .given.escape_debug())]
    Query {
        /// What was given.
        given: String,
    },
}

fn is_token(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(allowed)
}
