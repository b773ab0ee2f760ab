//! The RateLimit fields (draft-ietf-httpapi-ratelimit-headers, as structured fields of RFC 9651).

use smallvec::SmallVec;

use super::{FieldValue, Manner, Wire};
use crate::{limit::Reading, plan::Limit, verdict::Counted};

/// Header fields to append to a response: names in lower case, values of visible ASCII.
pub type Fields = SmallVec<[(&'static str, FieldValue); 2]>;

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
    pub(crate) fn fields(&self, counted: &Counted, manner: Manner) -> Fields {
        let mut fields = Fields::new();
        let Some(charged) = counted.charged() else {
            return fields;
        };
        if self.rate_limit_fields.draft() {
            fields.push((
                RATELIMIT_POLICY,
                charged.last_policy.of(counted, || list(counted, policy)),
            ));
            fields.push((RATELIMIT, list(counted, service_limit).into()));
        }
        if self.rate_limit_fields.legacy()
            && let Some((limit, reading)) = nearest_to_its_end(counted)
        {
            let reset = whole_seconds(reading.reset_micros);
            fields.push((LEGACY_LIMIT, limit.rule().capacity().to_string().into()));
            fields.push((LEGACY_REMAINING, reading.remaining.to_string().into()));
            fields.push((LEGACY_RESET, reset.to_string().into()));
        }
        if manner.cross_origin {
            fields.push((EXPOSE_HEADERS, self.rate_limit_fields.exposed().to_owned().into()));
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

/// A structured-field list with one item a limit. Names of limits hold no character that would need an
/// escape.
fn list<'c>(counted: &'c Counted, item: impl Fn(&'c Limit, &'c Reading) -> Item<'c>) -> String {
    let items = || counted.iter().map(|(limit, reading)| item(limit, reading));
    // Measured first: a string with room to spare is copied, or carries its spare room along.
    let length = items().map(|item| GAP.len() + item.len()).sum::<usize>();
    let mut text = String::with_capacity(length.saturating_sub(GAP.len()));
    for item in items() {
        if !text.is_empty() {
            text.push_str(GAP);
        }
        item.write(&mut text);
    }
    text
}

const GAP: &str = ", ";
const QUOTE: &str = "\"";

/// Slots are told in a unit of their own, and for no length of time.
fn policy<'c>(limit: &'c Limit, reading: &Reading) -> Item<'c> {
    let capacity = Parameter::new(";q=", limit.rule().capacity());
    if limit.is_concurrency() {
        return Item::new(limit, capacity, None, ";qu=\"concurrent-requests\"");
    }
    Item::new(limit, capacity, Some(Parameter::new(";w=", reading.window_seconds)), "")
}

fn service_limit<'c>(limit: &'c Limit, reading: &Reading) -> Item<'c> {
    let remaining = Parameter::new(";r=", reading.remaining);
    let reset = || Parameter::new(";t=", whole_seconds(reading.reset_micros));
    Item::new(limit, remaining, (!limit.is_concurrency()).then(reset), "")
}

/// What is told of one limit: its name as a quoted string, and parameters.
struct Item<'c> {
    name: &'c str,
    first: Parameter,
    second: Option<Parameter>,
    rest: &'static str,
}

impl<'c> Item<'c> {
    fn new(
        limit: &'c Limit,
        first: Parameter,
        second: Option<Parameter>,
        rest: &'static str,
    ) -> Self {
        Self { name: limit.name().as_str(), first, second, rest }
    }

    fn len(&self) -> usize {
        let second = self.second.as_ref().map_or(0, Parameter::len);
        QUOTE.len() + self.name.len() + QUOTE.len() + self.first.len() + second + self.rest.len()
    }

    fn write(&self, text: &mut String) {
        text.push_str(QUOTE);
        text.push_str(self.name);
        text.push_str(QUOTE);
        self.first.write(text);
        if let Some(second) = &self.second {
            second.write(text);
        }
        text.push_str(self.rest);
    }
}

struct Parameter {
    key: &'static str,
    value: u64,
}

impl Parameter {
    fn new(key: &'static str, value: u64) -> Self {
        Self { key, value: value.min(MAX_INTEGER) }
    }

    fn len(&self) -> usize {
        self.key.len() + digits(self.value)
    }

    fn write(&self, text: &mut String) {
        text.push_str(self.key);
        text.push_str(itoa::Buffer::new().format(self.value));
    }
}

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
