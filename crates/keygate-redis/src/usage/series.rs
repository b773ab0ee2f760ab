//! What is summed, and how it is written as a field of a Redis hash.

use keygate::{
    clock::Timestamp,
    key::KeyId,
    plan::Name,
    record::ConsumerId,
    usage::{Granularity, Outcome, UsageEvent},
};
use serde_json::Value;

use super::span::{floor, minute_of};

/// One series of one minute.
#[derive(Clone, Debug)]
pub(super) struct Series {
    pub(super) consumer: Option<ConsumerId>,
    pub(super) facts: Facts,
    pub(super) sums: Sums,
    /// The latest event in it.
    pub(super) latest: Timestamp,
}

/// What the events of a series have in common, the consumer aside.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Facts {
    pub(super) minute: u32,
    pub(super) key: Option<KeyId>,
    pub(super) operation: Option<Name>,
    pub(super) outcome: Outcome,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sums {
    pub(super) requests: u64,
    pub(super) cost: u64,
    pub(super) latency_micros: u64,
}

impl Series {
    pub(super) fn of(event: &UsageEvent<'_>) -> Self {
        Self {
            consumer: event.key.map(|(_, consumer)| consumer.clone()),
            facts: Facts {
                minute: minute_of(event.at),
                key: event.key.map(|(key, _)| key),
                operation: event.operation.cloned(),
                outcome: event.outcome,
            },
            sums: Sums::of(event),
            latest: event.at,
        }
    }

    /// Whether it would lose more than the minute if it were [folded](Self::folded).
    pub(super) fn has_detail(&self) -> bool {
        self.facts.key.is_some() || self.facts.operation.is_some()
    }

    /// What is left when there is no room for more: the hour and the outcome. There are so few of
    /// these that they need no bound.
    pub(super) fn folded(self) -> Self {
        let facts = Facts { key: None, operation: None, ..self.facts.by_hour() };
        Self { consumer: None, facts, ..self }
    }
}

impl Facts {
    /// The same, by the hour.
    pub(super) fn by_hour(self) -> Self {
        Self { minute: floor(self.minute, Granularity::Hour), ..self }
    }

    /// The field of its sums, in the hash of a bucket: `key|operation|outcome`.
    pub(super) fn field(&self) -> String {
        let key = self.key.map(|key| key.to_string()).unwrap_or_default();
        let operation = self.operation.as_ref().map(Name::as_str).unwrap_or_default();
        format!("{key}|{operation}|{}", outcome_word(self.outcome))
    }

    /// Reads a field of the bucket that begins with this minute.
    pub(super) fn parse(minute: u32, field: &str) -> Option<Self> {
        let (key, rest) = field.split_once('|')?;
        let (operation, outcome) = rest.split_once('|')?;
        Some(Self {
            minute,
            key: (!key.is_empty()).then(|| key.parse()).transpose().ok()?,
            operation: (!operation.is_empty()).then(|| operation.parse()).transpose().ok()?,
            outcome: parse_outcome(outcome)?,
        })
    }
}

impl Sums {
    pub(super) fn of(event: &UsageEvent<'_>) -> Self {
        Self { requests: 1, cost: event.cost, latency_micros: event.latency_micros }
    }

    pub(super) fn absorb(&mut self, other: Self) {
        self.requests = self.requests.saturating_add(other.requests);
        self.cost = self.cost.saturating_add(other.cost);
        self.latency_micros = self.latency_micros.saturating_add(other.latency_micros);
    }

    /// Reads the value of a field: three numbers. Redis adds without a bound; what is more than we
    /// can hold is as much as we can hold, as it is in memory.
    pub(super) fn parse(value: &str) -> Option<Self> {
        let mut numbers = value.split(' ').map(number);
        let sums = Self {
            requests: numbers.next()??,
            cost: numbers.next()??,
            latency_micros: numbers.next()??,
        };
        numbers.next().is_none().then_some(sums)
    }
}

fn number(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(u64::MAX))
}

/// `aborted`, `admitted:success`, `denied:rate_limited`: the words that serde has for it, so that a
/// new outcome has one too.
fn outcome_word(outcome: Outcome) -> String {
    match serde_json::to_value(outcome) {
        Ok(Value::String(word)) => word,
        Ok(Value::Object(words)) => {
            let word = |(kind, rest): (&String, &Value)| {
                format!("{kind}:{}", rest.as_str().unwrap_or_default())
            };
            words.iter().next().map(word).unwrap_or_default()
        }
        _ => String::new(),
    }
}

fn parse_outcome(word: &str) -> Option<Outcome> {
    let words = match word.split_once(':') {
        Some((kind, rest)) => Value::Object([(kind.to_owned(), rest.into())].into_iter().collect()),
        None => word.into(),
    };
    serde_json::from_value(words).ok()
}

#[cfg(test)]
mod tests {
    use keygate::{usage::StatusClass, verdict::Reason};

    use super::*;

    #[test]
    fn a_field_tells_what_its_sums_are_of() {
        let key: KeyId = "key_0123456789ABCDef".parse().unwrap();
        let facts = |key, operation: Option<&str>, outcome| Facts {
            minute: 7,
            key,
            operation: operation.map(|name| Name::parse(name).unwrap()),
            outcome,
        };
        let search = Some("search");
        for (facts, field) in [
            (
                facts(Some(key), search, Outcome::Admitted(StatusClass::Success)),
                "key_0123456789ABCDef|search|admitted:success",
            ),
            (
                facts(Some(key), None, Outcome::Denied(Reason::RateLimited)),
                "key_0123456789ABCDef||denied:rate_limited",
            ),
            (facts(None, None, Outcome::Aborted), "||aborted"),
        ] {
            assert_eq!(facts.field(), field);
            assert_eq!(Facts::parse(7, field), Some(facts));
        }
    }

    #[test]
    fn other_fields_and_values_are_not_read() {
        for field in ["", "|", "||", "||lost", "x||aborted", "|a b|aborted", "||denied:", "||a:b:c"]
        {
            assert_eq!(Facts::parse(0, field), None, "{field}");
        }
        for value in ["", "1 2", "1 2 3 4", "1 2 -3", "1  2", "a b c", "1 2 3 ", "+1 2 3"] {
            assert_eq!(Sums::parse(value), None, "{value}");
        }
        let sums = Sums { requests: 1, cost: 0, latency_micros: u64::MAX };
        assert_eq!(Sums::parse("1 0 99999999999999999999999"), Some(sums));
    }
}
