//! Finding the one credential of a request, and hiding it from everything further in.

use smallvec::SmallVec;

use super::{FieldName, Manner, RequestHead, RequestHeadMut, Wire, grpc::GrpcDialect, websocket};
use crate::verdict::Reason;

pub(super) const AUTHORIZATION: &str = "authorization";
pub(super) const ORIGIN: &str = "origin";
const CONTENT_TYPE: &str = FieldName::ContentType.as_str();
pub(super) const PREFLIGHT_METHOD: &str = "access-control-request-method";

/// Headers that mean something else: no key stands in them as their whole value.
pub(super) const TAKEN: [&str; 5] =
    [AUTHORIZATION, ORIGIN, PREFLIGHT_METHOD, CONTENT_TYPE, websocket::PROTOCOL];

/// What people call the parameter, for a helpful word where queries are off.
const USUAL_PARAMETER: &str = "api_key";

/// The credential of a request, still as text.
pub(crate) struct Extraction<'r> {
    pub(crate) text: &'r [u8],
    pub(crate) places: SmallVec<[Place; 1]>,
}

/// Where a credential stood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Authorization,
    /// The header of this index in the wire's list.
    Header(usize),
    Query,
    /// Among the subprotocols of a WebSocket.
    Subprotocol,
}

/// A request without a usable credential.
pub(crate) struct NoCredential {
    pub(crate) reason: Reason,
    pub(crate) detail: Option<&'static str>,
}

/// What one look at the headers tells.
pub(crate) struct Survey<'r> {
    /// The one credential of the request. The same text in two places is one credential.
    pub(crate) credential: Result<Extraction<'r>, NoCredential>,
    pub(crate) manner: Manner,
}

/// The credentials found so far.
#[derive(Default)]
struct Found<'r> {
    extraction: Option<Extraction<'r>>,
    ambiguous: bool,
}

impl<'r> Found<'r> {
    fn take(&mut self, text: &'r [u8], place: Place) {
        match &mut self.extraction {
            None => {
                self.extraction = Some(Extraction { text, places: SmallVec::from_elem(place, 1) });
            }
            Some(before) if before.text == text && !before.places.contains(&place) => {
                before.places.push(place);
            }
            Some(_) => self.ambiguous = true,
        }
    }
}

impl Wire {
    /// Whether the request asks what a browser may send (Fetch standard, CORS-preflight request): it
    /// never carries credentials.
    pub(crate) fn is_preflight(request: &impl RequestHead) -> bool {
        let has = |wanted| request.headers().any(|(name, _)| name == wanted);
        request.method() == "OPTIONS" && has(ORIGIN) && has(PREFLIGHT_METHOD)
    }

    /// Looks through the headers once.
    pub(crate) fn survey<'r>(&self, request: &'r impl RequestHead) -> Survey<'r> {
        let mut found = Found::default();
        let (mut manner, mut authorizations) = (Manner::default(), 0_usize);
        for (name, value) in request.headers() {
            if name == AUTHORIZATION {
                authorizations = authorizations.saturating_add(1);
                if let Some(text) = self.after_scheme(value) {
                    found.take(text, Place::Authorization);
                }
            } else if name == ORIGIN {
                manner.cross_origin = true;
            } else if name == CONTENT_TYPE {
                manner.grpc = manner.grpc.or_else(|| GrpcDialect::of(value));
            } else if let Some(index) = self.headers.iter().position(|header| header == name) {
                found.take(value, Place::Header(index));
            }
        }
        if let (Some(parameter), Some(query)) = (&self.query, request.query()) {
            for value in values_of(query, parameter) {
                found.take(value.as_bytes(), Place::Query);
            }
        }
        if self.subprotocol.is_some() {
            for text in self.keys_among_subprotocols(request) {
                found.take(text, Place::Subprotocol);
            }
        }
        // Of two lines, whatever stands before us may have looked at the other one.
        found.ambiguous |= authorizations > 1
            && found
                .extraction
                .as_ref()
                .is_some_and(|it| it.places.contains(&Place::Authorization));
        Survey { credential: self.sole(found, request), manner }
    }

    fn sole<'r>(
        &self,
        found: Found<'r>,
        request: &impl RequestHead,
    ) -> Result<Extraction<'r>, NoCredential> {
        match found.extraction {
            Some(_) if found.ambiguous => {
                Err(NoCredential { reason: Reason::AmbiguousCredential, detail: None })
            }
            Some(extraction) => Ok(extraction),
            None => Err(NoCredential {
                reason: Reason::MissingKey,
                detail: self.query_is_off_but_used(request),
            }),
        }
    }

    /// Every place where this request may show a key, well or badly.
    pub(crate) fn places(&self, request: &impl RequestHead) -> SmallVec<[Place; 1]> {
        let is_ours = |(name, value): (&str, &[u8])| {
            name == AUTHORIZATION && self.after_scheme(value).is_some()
        };
        let authorization = request.headers().any(is_ours).then_some(Place::Authorization);
        let query = self.query.is_some().then_some(Place::Query);
        let subprotocol = self.subprotocol.is_some().then_some(Place::Subprotocol);
        let headers = (0..self.headers.len()).map(Place::Header);
        authorization.into_iter().chain(headers).chain(query).chain(subprotocol).collect()
    }

    /// Hides a credential that stood in these places.
    pub(crate) fn conceal(&self, places: &[Place], request: &mut impl RequestHeadMut) {
        for place in places {
            match *place {
                Place::Authorization => self.hide(AUTHORIZATION, request),
                Place::Header(index) => {
                    if let Some(name) = self.headers.get(index) {
                        self.hide(name, request);
                    }
                }
                Place::Query => {
                    if let Some(rest) = self.without_parameter(request) {
                        request.set_path_and_query(&rest);
                    }
                }
                Place::Subprotocol => match self.other_subprotocols(request) {
                    Some(others) if others.is_empty() => request.remove(websocket::PROTOCOL),
                    Some(others) => request.replace(websocket::PROTOCOL, &others),
                    None => {}
                },
            }
        }
    }

    fn hide(&self, header: &str, request: &mut impl RequestHeadMut) {
        if self.strip {
            request.remove(header);
        } else {
            request.mark_sensitive(header);
        }
    }

    /// What follows the scheme, if it is one of ours. Schemes are case-insensitive (RFC 9110,
    /// section 11.1); other schemes are none of our business.
    fn after_scheme<'r>(&self, value: &'r [u8]) -> Option<&'r [u8]> {
        self.schemes.iter().find_map(|scheme| {
            let (start, rest) = value.split_at_checked(scheme.len())?;
            // Nearly everybody writes it as it is registered, and comparing that is quick.
            let ours = start == scheme.as_bytes() || start.eq_ignore_ascii_case(scheme.as_bytes());
            match rest.split_first() {
                None if ours => Some(rest),
                Some((b' ', text)) if ours => Some(text.trim_ascii_start()),
                _ => None,
            }
        })
    }

    fn query_is_off_but_used(&self, request: &impl RequestHead) -> Option<&'static str> {
        let off = self.query.is_none();
        let used = request.query().is_some_and(|query| {
            let named = |name: &str| values_of(query, name).next().is_some();
            named(USUAL_PARAMETER) || self.headers.iter().any(|name| named(name))
        });
        (off && used).then_some(
            "A key in the query is not accepted here: URIs end up in logs. Send it in a header.",
        )
    }

    fn without_parameter(&self, request: &impl RequestHead) -> Option<String> {
        let (parameter, query) = (self.query.as_deref()?, request.query()?);
        let kept: Vec<&str> = query
            .split('&')
            .filter(|pair| pair.split_once('=').is_none_or(|(name, _)| name != parameter))
            .collect();
        let path = request.path();
        Some(if kept.is_empty() { path.to_owned() } else { format!("{path}?{}", kept.join("&")) })
    }
}

fn values_of<'q>(query: &'q str, parameter: &str) -> impl Iterator<Item = &'q str> {
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .filter(move |(name, _)| *name == parameter)
        .map(|(_, value)| value)
}
