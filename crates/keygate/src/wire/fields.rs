//! The RateLimit fields (draft-ietf-httpapi-ratelimit-headers, as structured fields of RFC 9651).

use std::marker::PhantomData;

use smallvec::SmallVec;

use super::{FieldName, FieldValue, Manner, Wire};
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
            fields.push((
                FieldName::RateLimitPolicy,
                charged.policies.of(counted, || list::<Policy>(counted)),
            ));
            fields.push((FieldName::RateLimit, list::<ServiceLimit>(counted).into()));
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

/// A structured-field list with one item a limit: its name as a quoted string, and what `T` tells of it.
/// Names of limits hold no character that would need an escape.
fn list<T: Telling>(counted: &Counted) -> String {
    let items = || counted.iter().map(|(limit, reading)| (limit, Item::<T>::new(limit, reading)));
    // Measured first: a string with room to spare is copied, or carries its spare room along.
    let length = items().map(|(limit, item)| GAP.len() + item.len(limit)).sum::<usize>();
    let mut text = String::with_capacity(length.saturating_sub(GAP.len()));
    for (limit, item) in items() {
        if !text.is_empty() {
            text.push_str(GAP);
        }
        item.write(limit, &mut text);
    }
    text
}

const GAP: &str = ", ";
const QUOTE: &str = "\"";

/// What is told of a limit: two integers, the second where it has a length of time.
trait Telling {
    const FIRST: &str;
    const SECOND: &str;
    /// Of a concurrency, instead of the second.
    const REST: &str;

    fn first(limit: &Limit, reading: &Reading) -> u64;

    fn second(reading: &Reading) -> u64;
}

/// Slots are told in a unit of their own, and for no length of time.
struct Policy;

impl Telling for Policy {
    const FIRST: &str = ";q=";
    const SECOND: &str = ";w=";
    const REST: &str = ";qu=\"concurrent-requests\"";

    fn first(limit: &Limit, _: &Reading) -> u64 {
        limit.rule().capacity()
    }

    fn second(reading: &Reading) -> u64 {
        reading.window_seconds
    }
}

struct ServiceLimit;

impl Telling for ServiceLimit {
    const FIRST: &str = ";r=";
    const SECOND: &str = ";t=";
    const REST: &str = "";

    fn first(_: &Limit, reading: &Reading) -> u64 {
        reading.remaining
    }

    fn second(reading: &Reading) -> u64 {
        whole_seconds(reading.reset_micros)
    }
}

struct Item<T> {
    first: u64,
    second: Option<u64>,
    told: PhantomData<T>,
}

impl<T: Telling> Item<T> {
    fn new(limit: &Limit, reading: &Reading) -> Self {
        let second = (!limit.is_concurrency()).then(|| T::second(reading).min(MAX_INTEGER));
        Self { first: T::first(limit, reading).min(MAX_INTEGER), second, told: PhantomData }
    }

    fn len(&self, limit: &Limit) -> usize {
        let second = |value| T::SECOND.len() + digits(value);
        let name = QUOTE.len() + limit.name().as_str().len() + QUOTE.len();
        name + T::FIRST.len() + digits(self.first) + self.second.map_or(T::REST.len(), second)
    }

    fn write(&self, limit: &Limit, text: &mut String) {
        let mut digits = itoa::Buffer::new();
        text.push_str(QUOTE);
        text.push_str(limit.name().as_str());
        text.push_str(QUOTE);
        text.push_str(T::FIRST);
        text.push_str(digits.format(self.first));
        if let Some(second) = self.second {
            text.push_str(T::SECOND);
            text.push_str(digits.format(second));
        } else {
            text.push_str(T::REST);
        }
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
