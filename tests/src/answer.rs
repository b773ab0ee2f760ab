use http::{HeaderMap, header::CONTENT_TYPE};
use serde_json::Value;

/// A response, read whole.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The header fields.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The one value of a field; none if the field is not there.
    #[must_use]
    #[track_caller]
    pub fn field(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        let value = values.next().map(|value| value.to_str().expect("visible ASCII"));
        assert!(values.next().is_none(), "`{name}` stands twice: {self:?}");
        value
    }

    /// The body as JSON.
    #[must_use]
    #[track_caller]
    pub fn json(&self) -> Value {
        assert!(self.field("content-type").is_some_and(|it| it.contains("json")), "{self:?}");
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Asserts that this is a refusal with this status and code, told as problem details
    /// (RFC 9457), and gives the body.
    #[track_caller]
    pub fn refused(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.headers[CONTENT_TYPE], "application/problem+json", "{self:?}");
        let problem = self.json();
        assert_eq!(problem["status"], status, "{problem}");
        assert_eq!(problem["code"], code, "{problem}");
        for member in ["type", "title", "detail"] {
            assert!(problem[member].as_str().is_some_and(|it| !it.is_empty()), "{problem}");
        }
        problem
    }

    /// Seconds until it makes sense to come again.
    #[must_use]
    #[track_caller]
    pub fn retry_after(&self) -> u64 {
        let seconds = self.field("retry-after").unwrap_or_else(|| panic!("{self:?}"));
        seconds.parse().expect("Retry-After is a number of seconds")
    }

    /// What this limit says remains; none if the response does not speak of it.
    #[must_use]
    #[track_caller]
    pub fn remaining(&self, limit: &str) -> Option<u64> {
        let start = format!("\"{limit}\";r=");
        let mut items = self.field("ratelimit")?.split(", ");
        let rest = items.find_map(|item| item.strip_prefix(&start))?;
        let number = rest.split(';').next().unwrap_or_default();
        Some(number.parse().unwrap_or_else(|error| panic!("`{number}`: {error}")))
    }

    /// Whether this text stands anywhere in the response.
    #[must_use]
    pub fn holds(&self, text: &str) -> bool {
        let found = |bytes: &[u8]| String::from_utf8_lossy(bytes).contains(text);
        found(&self.body) || self.headers.values().any(|value| found(value.as_bytes()))
    }
}
