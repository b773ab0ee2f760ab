//! What people may see of a key.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

use super::string_form;

/// The longest hint in bytes; one less than the shortest key, so no whole key passes for a hint.
const MAX_LEN: usize = 41;

/// A key as people see it in lists and logs: `kg_live_…orfl`.
///
/// It tells the keys of one owner apart and matches none. The last four characters belong to the
/// checksum: they narrow the secret down by less than 24 of its 190 bits.
///
/// As text, and in serde, it is any string of 1 to 41 bytes without control characters: keys that
/// come from elsewhere have hints of their own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyHint(Box<str>);

impl KeyHint {
    /// The hint of a whole key: everything up to the secret, and the last four of the checksum.
    pub(super) fn of(key: &str) -> Self {
        let (head, body) = key.rsplit_once('_').unwrap_or_default();
        let tail = body.len().checked_sub(4).and_then(|at| body.get(at..));
        Self(format!("{head}_…{}", tail.unwrap_or_default()).into())
    }

    /// The hint as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Text that is no hint. It is not repeated here, for it may be a whole key.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ParseHintError {
    /// Empty, or too long.
    #[error("key hint: given {given} bytes; right is 1 to {MAX_LEN}, never a whole key")]
    Length {
        /// Bytes given.
        given: usize,
    },
    /// A control character, such as a line break.
    #[error("key hint: given a control character; right is printable text")]
    Control,
}

impl FromStr for KeyHint {
    type Err = ParseHintError;

    fn from_str(text: &str) -> Result<Self, ParseHintError> {
        if text.is_empty() || text.len() > MAX_LEN {
            return Err(ParseHintError::Length { given: text.len() });
        }
        if text.chars().any(char::is_control) {
            return Err(ParseHintError::Control);
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for KeyHint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl Serialize for KeyHint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for KeyHint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        string_form::deserialize(deserializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORTEST_KEY: &str = "k_1_0123456789ABCDEFGHIJKLMNOPQRSTUV000000";

    #[test]
    fn the_longest_hint_of_a_key_can_be_read_back() {
        let head = "abcdefghijklmnop_abcdefghijklmnop";
        let hint = KeyHint::of(&format!("{head}_0123456789ABCDEFGHIJKLMNOPQRSTUV000000"));
        assert_eq!(hint.as_str(), format!("{head}_…0000"));
        assert_eq!(hint.as_str().parse(), Ok(hint));
    }

    #[test]
    fn a_whole_key_is_no_hint() {
        let given = SHORTEST_KEY.len();
        assert_eq!(given, MAX_LEN + 1);
        assert_eq!(SHORTEST_KEY.parse::<KeyHint>(), Err(ParseHintError::Length { given }));
        let error = serde_json::from_str::<KeyHint>(&format!("{SHORTEST_KEY:?}")).unwrap_err();
        assert!(!error.to_string().contains("0123"), "{error}");
    }

    #[test]
    fn empty_text_and_line_breaks_are_no_hints() {
        assert_eq!("".parse::<KeyHint>(), Err(ParseHintError::Length { given: 0 }));
        assert_eq!("a\nb".parse::<KeyHint>(), Err(ParseHintError::Control));
    }

    #[test]
    fn serde_writes_and_reads_the_plain_string() {
        let hint = KeyHint::of(SHORTEST_KEY);
        let json = serde_json::to_string(&hint).unwrap();
        assert_eq!(json, r#""k_1_…0000""#);
        assert_eq!(serde_json::from_str::<KeyHint>(&json).unwrap(), hint);
    }

    #[test]
    fn hints_line_up_in_a_table() {
        let hint = KeyHint::of(SHORTEST_KEY);
        assert_eq!(format!("[{hint:<12}]"), "[k_1_…0000   ]");
    }
}
