//! The RateLimit fields (draft-ietf-httpapi-ratelimit-headers, as structured fields of RFC 9651).

use smallvec::SmallVec;

use super::{FieldName, FieldParts, FieldValue, Manner, Wire};
use crate::{limit::Reading, plan::Limit, verdict::Counted};

/// Header fields to append to a response: values of visible ASCII.
pub type Fields = SmallVec<[(FieldName, FieldValue); 2]>;

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
    pub(crate) fn fields(&self, counted: &Counted, manner: Manner) -> Fields {
        let mut fields = Fields::new();
        let Some(charged) = counted.charged() else {
            return fields;
        };
        if self.rate_limit_fields.draft() {
            let parts = &charged.field_parts;
            let policy = parts.policies.of(counted, || policy(counted));
            fields.push((FieldName::RateLimitPolicy, policy));
            fields.push((FieldName::RateLimit, remaining(counted, parts).into()));
        }
        if self.rate_limit_fields.legacy()
            && let Some((limit, reading)) = nearest_to_its_end(counted)
        {
            let reset = whole_seconds(reading.reset_micros);
            fields.push((FieldName::LegacyLimit, limit.rule().capacity().to_string().into()));
            fields.push((FieldName::LegacyRemaining, reading.remaining.to_string().into()));
            fields.push((FieldName::LegacyReset, reset.to_string().into()));
        }
        if manner.cross_origin {
            fields.push((
                FieldName::ExposeHeaders,
                self.rate_limit_fields.exposed().to_owned().into(),
            ));
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

/// What the limits are, as a structured-field list with one item a limit. Slots are told in a unit of their
/// own, and for no length of time.
fn policy(counted: &Counted) -> String {
    let item = |(limit, reading): (&Limit, &Reading)| {
        let (name, capacity) = (limit.name(), limit.rule().capacity().min(MAX_INTEGER));
        if limit.is_concurrency() {
            return format!("\"{name}\";q={capacity};qu=\"concurrent-requests\"");
        }
        format!("\"{name}\";q={capacity};w={}", reading.window_seconds.min(MAX_INTEGER))
    };
    counted.iter().map(item).collect::<Vec<_>>().join(GAP)
}

/// What remains, in the same form; of slots without a length of time.
fn remaining(counted: &Counted, parts: &FieldParts) -> String {
    let numbers = || counted.iter().map(|(limit, reading)| left_and_reset(limit, reading));
    let items = || parts.heads.iter().map(|head| &**head).zip(numbers());
    // Measured first: a string with room to spare is copied, or carries its spare room along.
    let length = |(head, (left, reset)): (&str, (u64, Option<u64>))| {
        head.len() + digits(left) + reset.map_or(0, |reset| RESET.len() + digits(reset))
    };
    let mut text = String::with_capacity(items().map(length).sum());
    let mut digits = itoa::Buffer::new();
    for (head, (left, reset)) in items() {
        text.push_str(head);
        text.push_str(digits.format(left));
        if let Some(reset) = reset {
            text.push_str(RESET);
            text.push_str(digits.format(reset));
        }
    }
    text
}

fn left_and_reset(limit: &Limit, reading: &Reading) -> (u64, Option<u64>) {
    let reset = || whole_seconds(reading.reset_micros).min(MAX_INTEGER);
    (reading.remaining.min(MAX_INTEGER), (!limit.is_concurrency()).then(reset))
}

/// Between two items of a list.
pub(super) const GAP: &str = ", ";

/// Before the seconds after which more becomes available.
const RESET: &str = ";t=";

/// The powers of ten of as many digits as an integer of a field may have.
const POWERS_OF_TEN: [u64; 16] = [
    1,
    10,
    100,
    1_000,
    10_000,
    100_000,
    1_000_000,
    10_000_000,
    100_000_000,
    1_000_000_000,
    10_000_000_000,
    100_000_000_000,
    1_000_000_000_000,
    10_000_000_000_000,
    100_000_000_000_000,
    1_000_000_000_000_000,
];

/// How many digits a number has that is no larger than [`MAX_INTEGER`]. Quicker than `ilog10`: one look
/// at the number's bits tells all but the last digit (1233 / 2^12 is log10 of 2).
fn digits(value: u64) -> usize {
    let bits = u64::BITS.saturating_sub((value | 1).leading_zeros());
    let fewest = usize::try_from((bits * 1233) >> 12).unwrap_or(0);
    let one_more = POWERS_OF_TEN.get(fewest).is_some_and(|power| (value | 1) >= *power);
    fewest + usize::from(one_more)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_counted_as_they_are_written() {
        let powers = POWERS_OF_TEN.iter().flat_map(|power| [power - 1, *power, power + 1]);
        for value in powers.filter(|value| *value <= MAX_INTEGER) {
            assert_eq!(digits(value), value.to_string().len(), "{value}");
        }
    }
}
