//! Refusals as responses: problem details (RFC 9457), challenges (RFC 6750), Retry-After (RFC 9110).

use std::time::Duration;

use serde::Serialize;

use super::{API_KEY, FieldName, Fields, Wire, fields::whole_seconds, grpc::GrpcCode};
use crate::{
    plan::Name,
    scope::ScopeQuery,
    verdict::{Reason, Rejection},
};

const PROBLEM_JSON: &str = "application/problem+json";

/// Problem types of draft-ietf-httpapi-ratelimit-headers.
const QUOTA_EXCEEDED: &str = "https://iana.org/assignments/http-problem-types#quota-exceeded";
const REDUCED_CAPACITY: &str =
    "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity";

/// A response as plain values.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// The header fields, to be appended.
    pub headers: Fields,
    /// The body.
    pub body: String,
}

/// What a reason looks like to a client. One row a reason: the table of the wire.
pub(super) struct Row {
    pub(super) status: u16,
    pub(super) grpc: GrpcCode,
    kind: &'static str,
    title: &'static str,
    pub(super) detail: &'static str,
    /// The `error` of the challenge; `None` for no challenge, empty for one without an error.
    challenge: Option<&'static str>,
}

impl Row {
    const fn unauthorized(error: &'static str, detail: &'static str) -> Self {
        let (kind, title) = ("about:blank", "Unauthorized");
        let grpc = GrpcCode::UNAUTHENTICATED;
        Self { status: 401, grpc, kind, title, detail, challenge: Some(error) }
    }

    const fn limited(detail: &'static str) -> Self {
        let (kind, title) = (QUOTA_EXCEEDED, "Quota exceeded");
        let grpc = GrpcCode::RESOURCE_EXHAUSTED;
        Self { status: 429, grpc, kind, title, detail, challenge: None }
    }

    const fn unavailable(detail: &'static str) -> Self {
        let (kind, title) = (REDUCED_CAPACITY, "Temporarily reduced capacity");
        let grpc = GrpcCode::UNAVAILABLE;
        Self { status: 503, grpc, kind, title, detail, challenge: None }
    }

    /// What a script of another origin may read besides the fields of counted responses: which scopes
    /// are missing, and when to come again.
    const fn exposed(&self) -> Option<&'static str> {
        match self.challenge {
            Some(_) => Some("WWW-Authenticate"),
            None if self.status == 503 => Some("Retry-After"),
            None => None,
        }
    }

    pub(super) const fn of(reason: Reason) -> Self {
        const TOKEN: &str = "invalid_token";
        match reason {
            // RFC 6750, section 3.1: a request without authentication gets no error code.
            Reason::MissingKey => {
                Self::unauthorized("", "This API needs a key, and none was sent.")
            }
            Reason::MalformedKey => {
                Self::unauthorized(TOKEN, "What was sent has not the form of a key of this API.")
            }
            Reason::UnknownKey => Self::unauthorized(TOKEN, "There is no such key."),
            Reason::DisabledKey => Self::unauthorized(TOKEN, "This key is switched off."),
            Reason::RevokedKey => Self::unauthorized(TOKEN, "This key is revoked."),
            Reason::ExpiredKey => Self::unauthorized(TOKEN, "This key has expired."),
            Reason::KeyNotYetValid => Self::unauthorized(TOKEN, "This key is not valid yet."),
            Reason::AmbiguousCredential => Self {
                status: 400,
                grpc: GrpcCode::INVALID_ARGUMENT,
                kind: "about:blank",
                title: "Bad Request",
                detail: "More than one credential was sent. Send one key, once.",
                challenge: Some("invalid_request"),
            },
            Reason::InsufficientScope => Self {
                status: 403,
                grpc: GrpcCode::PERMISSION_DENIED,
                kind: "about:blank",
                title: "Forbidden",
                detail: "This key, or its plan, lacks a scope that is needed here.",
                challenge: Some("insufficient_scope"),
            },
            Reason::RateLimited => Self::limited("Too many requests at once. Slow down."),
            Reason::QuotaExhausted => Self::limited("The allowance of this period is used up."),
            Reason::TooManyConcurrent => {
                Self::limited("As many requests as may be are under way. Wait for one to end.")
            }
            Reason::CostExceedsLimit => {
                Self::limited("This request weighs more than the plan can ever allow at once.")
            }
            Reason::LimiterUnavailable => Self::unavailable("Requests cannot be counted just now."),
            Reason::KeysUnavailable => Self::unavailable("Keys cannot be checked just now."),
            Reason::PlanUnavailable => Self::unavailable("The plan of this key is not available."),
        }
    }
}

/// The problem details of a refusal.
#[derive(Serialize)]
struct Problem<'a> {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    detail: &'a str,
    code: &'static str,
    #[serde(rename = "violated-policies", skip_serializing_if = "<[_]>::is_empty")]
    violated_policies: &'a [Name],
}

impl Wire {
    pub(crate) fn reply(&self, rejection: &Rejection) -> Reply {
        match rejection.manner().grpc {
            Some(dialect) => self.grpc_reply(dialect, rejection),
            None => self.problem_reply(rejection),
        }
    }

    fn problem_reply(&self, rejection: &Rejection) -> Reply {
        let row = Row::of(rejection.reason());
        let problem = Problem {
            r#type: row.kind,
            title: row.title,
            status: row.status,
            detail: rejection.detail().unwrap_or(row.detail),
            code: rejection.reason().code(),
            violated_policies: rejection.violated(),
        };
        let mut headers = self.fields(rejection.counted(), rejection.manner());
        if let Some(exposed) = row.exposed().filter(|_| rejection.manner().cross_origin) {
            headers.push((FieldName::ExposeHeaders, exposed.to_owned().into()));
        }
        headers.push((FieldName::ContentType, PROBLEM_JSON.to_owned().into()));
        if let Some(error) = row.challenge {
            let parameters = self.challenge_parameters(error, rejection);
            let challenges =
                self.challenged().iter().map(|scheme| format!("{scheme} {parameters}"));
            headers
                .extend(challenges.map(|challenge| (FieldName::WwwAuthenticate, challenge.into())));
        }
        if let Some(wait) = rejection.retry_after() {
            let seconds = whole_seconds(micros(wait)).max(1);
            headers.push((FieldName::RetryAfter, seconds.to_string().into()));
        }
        // A struct of text and numbers always serializes.
        let body = serde_json::to_string(&problem).unwrap_or_default();
        Reply { status: row.status, headers, body }
    }

    /// One challenge a scheme. RFC 9110 wants one even where only a header of our own is taken.
    fn challenged(&self) -> &[&'static str] {
        if self.schemes.is_empty() { &[API_KEY] } else { &self.schemes }
    }

    fn challenge_parameters(&self, error: &str, rejection: &Rejection) -> String {
        let mut challenge = format!("realm=\"{}\"", self.realm);
        if !error.is_empty() {
            challenge.push_str(", error=\"");
            challenge.push_str(error);
            challenge.push('"');
        }
        if rejection.reason() == Reason::InsufficientScope {
            challenge.push_str(", scope=\"");
            let mut told: Vec<&str> = Vec::new();
            for scope in rejection.requirement().scopes().iter().flat_map(ScopeQuery::scopes) {
                if !told.contains(&scope.as_str()) {
                    told.push(scope.as_str());
                }
            }
            challenge.push_str(&told.join(" "));
            challenge.push('"');
        }
        challenge
    }
}

pub(super) fn micros(wait: Duration) -> u64 {
    u64::try_from(wait.as_micros()).unwrap_or(u64::MAX)
}
