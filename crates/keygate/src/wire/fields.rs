//! The RateLimit fields (draft-ietf-httpapi-ratelimit-headers, as structured fields of RFC 9651).

use smallvec::SmallVec;

use super::Wire;
use crate::{limit::Reading, plan::Limit, verdict::Counted};

/// Header fields to append to a response: names in lower case, values of visible ASCII.
pub type Fields = SmallVec<[(&'static str, String); 2]>;

const RATELIMIT: &str = "ratelimit";
const RATELIMIT_POLICY: &str = "ratelimit-policy";
const LEGACY_LIMIT: &str = "x-ratelimit-limit";
const LEGACY_REMAINING: &str = "x-ratelimit-remaining";
const LEGACY_RESET: &str = "x-ratelimit-reset";
pub(super) const EXPOSE_HEADERS: &str = "access-control-expose-headers";

/// The largest integer of a structured field (RFC 9651, section 3.3.1). Beyond it a parser refuses
/// the whole field.
const MAX_INTEGER: u64 = 999_999_999_999_999;

/// Which fields tell clients of their limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum RateLimitFields {
    /// `RateLimit-Policy` and `RateLimit` in the syntax of the current draft, one item a limit.
    #[default]
    Draft,
    /// `X-RateLimit-Limit`, `-Remaining` and `-Reset` (seconds from now) of the limit that is
    /// nearest to its end.
    Legacy,
    /// Both.
    Both,
    /// None.
    None,
}

impl RateLimitFields {
    fn draft(self) -> bool {
        matches!(self, Self::Draft | Self::Both)
    }

    fn legacy(self) -> bool {
        matches!(self, Self::Legacy | Self::Both)
    }

    fn exposed(self) -> &'static str {
        match self {
            Self::Draft => "RateLimit-Policy, RateLimit, Retry-After",
            Self::Legacy => {
                "X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, Retry-After"
            }
            Self::Both => {
                "RateLimit-Policy, RateLimit, X-RateLimit-Limit, X-RateLimit-Remaining, \
                 X-RateLimit-Reset, Retry-After"
            }
            Self::None => "Retry-After",
        }
    }
}

impl Wire {
    /// The fields for a response to a counted request.
    pub(crate) fn fields(&self, counted: &Counted, cross_origin: bool) -> Fields {
        let mut fields = Fields::new();
        if counted.is_empty() {
            return fields;
        }
        if self.rate_limit_fields.draft() {
            fields.push((RATELIMIT_POLICY, list(counted, policy)));
            fields.push((RATELIMIT, list(counted, service_limit)));
        }
        if self.rate_limit_fields.legacy()
            && let Some((limit, reading)) = nearest_to_its_end(counted)
        {
            let reset = whole_seconds(reading.reset_micros);
            fields.push((LEGACY_LIMIT, limit.rule().capacity().to_string()));
            fields.push((LEGACY_REMAINING, reading.remaining.to_string()));
            fields.push((LEGACY_RESET, reset.to_string()));
        }
        if cross_origin {
            fields.push((EXPOSE_HEADERS, self.rate_limit_fields.exposed().to_owned()));
        }
        fields
    }
}

/// Seconds, rounded up: what is told is never too early.
pub(super) fn whole_seconds(micros: u64) -> u64 {
    micros.div_ceil(1_000_000)
}

fn nearest_to_its_end(counted: &Counted) -> Option<(&Limit, &Reading)> {
    counted.iter().min_by_key(|(_, reading)| (reading.remaining, u64::MAX - reading.reset_micros))
}

/// A structured-field list with one item a limit, named by a quoted string. Names of limits hold no
/// character that would need an escape.
fn list(counted: &Counted, parameters: impl Fn(&mut String, &Limit, &Reading)) -> String {
    const PER_ITEM: usize = 48;
    let mut text = String::with_capacity(counted.iter().count() * PER_ITEM);
    for (limit, reading) in counted.iter() {
        if !text.is_empty() {
            text.push_str(", ");
        }
        text.push('"');
        text.push_str(limit.name().as_str());
        text.push('"');
        parameters(&mut text, limit, reading);
    }
    text
}

fn policy(text: &mut String, limit: &Limit, reading: &Reading) {
    parameter(text, ";q=", limit.rule().capacity());
    parameter(text, ";w=", reading.window_seconds);
}

fn service_limit(text: &mut String, _: &Limit, reading: &Reading) {
    parameter(text, ";r=", reading.remaining);
    parameter(text, ";t=", whole_seconds(reading.reset_micros));
}

fn parameter(text: &mut String, key: &str, value: u64) {
    text.push_str(key);
    text.push_str(itoa::Buffer::new().format(value.min(MAX_INTEGER)));
}
