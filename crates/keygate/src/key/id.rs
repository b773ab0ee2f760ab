//! The public handle of a key.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::{
    base62,
    entropy::{self, EntropyError},
    string_form,
};

const LABEL: &str = "key_";
const LEN: usize = 16;

/// Names a key in stores, logs and management calls: `key_` and 16 base62 characters.
///
/// It is not secret and opens nothing. It is random (95 bits), so ids made on any number of
/// machines do not collide, and an id tells nothing about its key or its age.
///
/// ```
/// use keygate::key::KeyId;
///
/// let id: KeyId = "key_0123456789ABCDef".parse()?;
/// assert_eq!(id.to_string(), "key_0123456789ABCDef");
/// # Ok::<(), keygate::key::ParseKeyIdError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; LEN]);

impl KeyId {
    /// A new id.
    ///
    /// # Errors
    ///
    /// When the system's random generator fails.
    pub fn random() -> Result<Self, EntropyError> {
        let mut id = [0; LEN];
        base62::fill(&mut id, entropy::system)?;
        Ok(Self(id))
    }

    /// The same id for the same text, and another one than any key has: it stands for a key where
    /// counters are kept by one.
    pub(crate) fn standing_for(text: &str) -> Self {
        let (mut id, mut round) = ([b'0'; LEN], 0_u8);
        let hashed = base62::fill(&mut id, |pool| {
            for chunk in pool.chunks_mut(32) {
                round = round.wrapping_add(1);
                let hash = Sha256::new().chain_update([round]).chain_update(text).finalize();
                chunk.iter_mut().zip(hash).for_each(|(byte, random)| *byte = random);
            }
            Ok(())
        });
        debug_assert_eq!(hashed, Ok(()), "a hash has usable bytes");
        Self(id)
    }
}

/// Text that is no key id. It is not repeated here, for it may be a whole key.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ParseKeyIdError {
    /// It does not begin with `key_`.
    #[error("key id: another beginning; right is `key_` and 16 characters of 0-9A-Za-z")]
    Label,
    /// Too few or too many characters follow `key_`.
    #[error("key id: given {given} bytes after `key_`; right is 16")]
    Length {
        /// Bytes after `key_`.
        given: usize,
    },
    /// Something else than 0-9A-Za-z follows `key_`.
    #[error("key id: given a character that is not one of 0-9A-Za-z after `key_`")]
    Alphabet,
}

impl FromStr for KeyId {
    type Err = ParseKeyIdError;

    fn from_str(text: &str) -> Result<Self, ParseKeyIdError> {
        let id = text.strip_prefix(LABEL).ok_or(ParseKeyIdError::Label)?;
        let id: [u8; LEN] =
            id.as_bytes().try_into().map_err(|_| ParseKeyIdError::Length { given: id.len() })?;
        if base62::is_base62(&id) { Ok(Self(id)) } else { Err(ParseKeyIdError::Alphabet) }
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; LABEL.len() + LEN];
        let bytes = LABEL.bytes().chain(self.0);
        text.iter_mut().zip(bytes).for_each(|(slot, byte)| *slot = byte);
        f.pad(str::from_utf8(&text).unwrap_or_default())
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for KeyId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for KeyId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        string_form::deserialize(deserializer)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ten_thousand_ids_differ_and_can_be_read_back() {
        let ids: HashSet<KeyId> = (0..10_000).map(|_| KeyId::random().unwrap()).collect();
        assert_eq!(ids.len(), 10_000);
        for id in ids {
            assert_eq!(id.to_string().parse(), Ok(id));
        }
    }

    #[test]
    fn ids_sort_like_their_text() {
        let ids =
            ["key_0000000000000009", "key_000000000000000A"].map(|id| id.parse::<KeyId>().unwrap());
        assert!(ids[0] < ids[1]);
    }

    #[test]
    fn each_mistake_is_named() {
        let parse = |text: &str| text.parse::<KeyId>().unwrap_err();
        assert_eq!(parse(""), ParseKeyIdError::Label);
        assert_eq!(parse("0123456789ABCDef"), ParseKeyIdError::Label);
        assert_eq!(parse("KEY_0123456789ABCDef"), ParseKeyIdError::Label);
        assert_eq!(parse("key_"), ParseKeyIdError::Length { given: 0 });
        assert_eq!(parse("key_0123456789ABCDefg"), ParseKeyIdError::Length { given: 17 });
        assert_eq!(parse("key_0123456789ABCD-f"), ParseKeyIdError::Alphabet);
        assert_eq!(parse("key_0123456789ABCDé"), ParseKeyIdError::Alphabet);
    }

    #[test]
    fn serde_writes_and_reads_the_plain_string() {
        let json = r#""key_0123456789ABCDef""#;
        let id: KeyId = serde_json::from_str(json).unwrap();
        assert_eq!(serde_json::to_string(&id).unwrap(), json);
        assert!(serde_json::from_str::<KeyId>("7").is_err());
    }

    #[test]
    fn debug_shows_the_text_and_display_pads_it() {
        let id: KeyId = "key_0123456789ABCDef".parse().unwrap();
        assert_eq!(format!("{id:?}"), "key_0123456789ABCDef");
        assert_eq!(format!("[{id:>22}]"), "[  key_0123456789ABCDef]");
    }
}
