//! The form of the keys of one service: minting, and the check that needs no store.

use thiserror::Error;
use zeroize::Zeroizing;

use super::{
    base62::{self, CHECKSUM_LEN},
    entropy::{self, EntropyError},
    text::ApiKey,
};

/// Longest credential looked at, in bytes. No key is longer.
pub const MAX_CREDENTIAL_LEN: usize = 256;

/// 62³² > 2¹⁹⁰.
const SECRET_LEN: usize = 32;
const BODY_LEN: usize = SECRET_LEN + CHECKSUM_LEN;
const MAX_WORD_LEN: usize = 16;

/// The keys of one service in one environment: `<prefix>_<environment>_…`.
///
/// Give each environment its own word (`live`, `test`): a key then says where it belongs, and one
/// that strays is refused without asking a store. The default is `kg` and `live`.
///
/// ```
/// use keygate::key::{KeyFormat, MalformedKey};
///
/// let format = KeyFormat::new("kg", "test")?;
/// let key = format.check(b"kg_test_0123456789ABCDEFGHIJKLMNOPQRSTUV3Gorfl");
/// assert_eq!(key, Ok(()));
/// let typo = format.check(b"kg_test_0123456789ABCDEFGHIJKLMNOPQRSTUW3Gorfl");
/// assert_eq!(typo, Err(MalformedKey::Checksum));
/// # Ok::<(), keygate::key::KeyFormatError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeyFormat {
    /// `<prefix>_<environment>_`, in one piece so that the check is one comparison.
    head: Box<str>,
}

impl KeyFormat {
    /// A format of its own.
    ///
    /// Both words are 1 to 16 characters of `a-z0-9`; the prefix begins with a letter.
    ///
    /// # Errors
    ///
    /// When a word is anything else.
    pub fn new(prefix: &str, environment: &str) -> Result<Self, KeyFormatError> {
        if !is_word(prefix) || !prefix.starts_with(|first: char| first.is_ascii_lowercase()) {
            let given = prefix.to_owned();
            return Err(KeyFormatError::Prefix { given });
        }
        if !is_word(environment) {
            let given = environment.to_owned();
            return Err(KeyFormatError::Environment { given });
        }
        Ok(Self { head: format!("{prefix}_{environment}_").into() })
    }

    /// The first word of every key.
    #[must_use]
    pub fn prefix(&self) -> &str {
        self.words().0
    }

    /// The second word of every key.
    #[must_use]
    pub fn environment(&self) -> &str {
        self.words().1
    }

    /// Makes a new key.
    ///
    /// # Errors
    ///
    /// When the system's random generator fails. There is no fallback.
    pub fn mint(&self) -> Result<ApiKey, EntropyError> {
        self.mint_from(entropy::system)
    }

    /// Whether `text` has the form of a key and its checksum is right.
    ///
    /// This says nothing of whether the key was ever issued. It does no I/O, allocates nothing, and
    /// takes any bytes. The text must stand alone: surrounding white space is not trimmed.
    ///
    /// # Errors
    ///
    /// What is wrong first. A key changed in one place is always refused: CRC-32 detects every
    /// error within 32 neighbouring bits, and the checksum has one spelling only.
    pub fn check(&self, text: &[u8]) -> Result<(), MalformedKey> {
        let Some((payload, checksum)) = self.split(text) else {
            return Err(self.fault(text));
        };
        if base62::checksum(payload) == *checksum { Ok(()) } else { Err(MalformedKey::Checksum) }
    }

    /// The two parts of `text` if everything but the checksum is in order.
    fn split<'t>(&self, text: &'t [u8]) -> Option<(&'t [u8], &'t [u8; CHECKSUM_LEN])> {
        let body = text.strip_prefix(self.head.as_bytes())?;
        let body: &[u8; BODY_LEN] = body.try_into().ok()?;
        if !base62::is_base62(body) {
            return None;
        }
        text.split_last_chunk()
    }

    /// What keeps `text` from splitting: kept apart, so that a good key pays for no diagnosis.
    #[cold]
    fn fault(&self, text: &[u8]) -> MalformedKey {
        let head = self.head.as_bytes();
        if text.len() > MAX_CREDENTIAL_LEN {
            MalformedKey::Oversized
        } else if !text.is_ascii() {
            MalformedKey::NotAscii
        } else if head.starts_with(text) {
            MalformedKey::WrongLength
        } else if text.split(|byte| *byte == b'_').next() != Some(self.prefix().as_bytes()) {
            MalformedKey::Prefix
        } else if !text.starts_with(head) {
            MalformedKey::Environment
        } else if text.len() != head.len() + BODY_LEN {
            MalformedKey::WrongLength
        } else {
            MalformedKey::Alphabet
        }
    }

    fn words(&self) -> (&str, &str) {
        let words = self.head.trim_end_matches('_');
        words.split_once('_').unwrap_or_default()
    }

    fn mint_from(
        &self,
        source: impl FnMut(&mut [u8]) -> Result<(), EntropyError>,
    ) -> Result<ApiKey, EntropyError> {
        let mut secret = Zeroizing::new([0; SECRET_LEN]);
        base62::fill(&mut *secret, source)?;
        // Its final size at once: growing would leave a copy behind that nobody wipes.
        let mut text = Zeroizing::new(String::with_capacity(self.head.len() + BODY_LEN));
        text.push_str(&self.head);
        text.extend(secret.iter().copied().map(char::from));
        let checksum = base62::checksum(text.as_bytes());
        text.extend(checksum.map(char::from));
        Ok(ApiKey::new(text))
    }
}

impl Default for KeyFormat {
    fn default() -> Self {
        Self { head: "kg_live_".into() }
    }
}

/// A prefix or environment that no key can carry.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyFormatError {
    /// The prefix is wrong.
    #[error(
        "prefix: given {given:?}; right is 1 to 16 characters of a-z0-9, beginning with a letter"
    )]
    Prefix {
        /// What was given.
        given: String,
    },
    /// The environment is wrong.
    #[error("environment: given {given:?}; right is 1 to 16 characters of a-z0-9")]
    Environment {
        /// What was given.
        given: String,
    },
}

/// Why text is no key, without any of the text.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq, Hash)]
#[error("{}", self.detail())]
#[non_exhaustive]
pub enum MalformedKey {
    /// Longer than [`MAX_CREDENTIAL_LEN`].
    Oversized,
    /// Cut short, or with something added; empty text too.
    WrongLength,
    /// A byte outside ASCII.
    NotAscii,
    /// The prefix of another service.
    Prefix,
    /// The right prefix with another environment, such as a test key shown to production.
    Environment,
    /// A character other than 0-9A-Za-z after the environment.
    Alphabet,
    /// Mistyped or made up.
    Checksum,
}

impl MalformedKey {
    /// A sentence for whoever sent it. It tells what the form of a key is, and of the text nothing.
    #[must_use]
    pub const fn detail(self) -> &'static str {
        match self {
            Self::Oversized => "What was sent is longer than any key: at most 256 bytes.",
            Self::WrongLength => "The key is incomplete or has something added to it.",
            Self::NotAscii => "The key has a character outside ASCII.",
            Self::Prefix => "The key does not begin with the prefix of this API.",
            Self::Environment => "The key belongs to another environment of this API.",
            Self::Alphabet => "The key has a character that is not one of 0-9, A-Z and a-z.",
            Self::Checksum => {
                "The checksum of the key is wrong: it is mistyped or was never issued."
            }
        }
    }
}

fn is_word(text: &str) -> bool {
    (1..=MAX_WORD_LEN).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    /// Recompute: `zlib.crc32` of all but the last six, then `divmod` by 62, in Python.
    const KNOWN: [(&str, &str, &str); 3] = [
        ("kg", "test", "kg_test_0123456789ABCDEFGHIJKLMNOPQRSTUV3Gorfl"),
        ("kg", "live", "kg_live_zzzzzzzzzzzzzzzzzzzzzzzzzz0360440006XQ"),
        ("acme2", "eu1", "acme2_eu1_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaZ3ObQoA"),
    ];
    const KEY: &str = KNOWN[0].2;

    fn test_format() -> KeyFormat {
        KeyFormat::new("kg", "test").unwrap()
    }

    #[test]
    fn keys_computed_elsewhere_pass() {
        for (prefix, environment, key) in KNOWN {
            let format = KeyFormat::new(prefix, environment).unwrap();
            assert_eq!(format.check(key.as_bytes()), Ok(()), "{key}");
            assert_eq!((format.prefix(), format.environment()), (prefix, environment));
        }
    }

    #[test]
    fn the_default_is_kg_live() {
        assert_eq!(Ok(KeyFormat::default()), KeyFormat::new("kg", "live"));
    }

    #[test]
    fn a_scripted_generator_mints_the_known_key() {
        let mut next = 0_u8;
        let key = test_format().mint_from(|bytes| {
            for byte in bytes {
                *byte = next << 2;
                next += 1;
            }
            Ok(())
        });
        assert_eq!(key.unwrap().expose(), KEY);
    }

    #[test]
    fn ten_thousand_minted_keys_pass_and_differ() {
        let format = KeyFormat::new("abcdefghijklmnop", "0123456789abcdef").unwrap();
        let mut seen = HashSet::new();
        for _ in 0..10_000 {
            let key = format.mint().unwrap();
            assert_eq!(format.check(key.expose().as_bytes()), Ok(()));
            seen.insert(key.expose().to_owned());
        }
        assert_eq!(seen.len(), 10_000);
    }

    #[test]
    fn a_generator_that_fails_mints_nothing() {
        let failed = test_format().mint_from(|_| Err(EntropyError::STUCK));
        assert_eq!(failed.err(), Some(EntropyError::STUCK));
    }

    #[test]
    fn every_change_of_one_byte_is_refused() {
        let format = test_format();
        for position in 0..KEY.len() {
            for substitute in 0..=255_u8 {
                let mut text = KEY.as_bytes().to_vec();
                if text[position] == substitute {
                    continue;
                }
                text[position] = substitute;
                assert!(format.check(&text).is_err(), "{position} {substitute}");
            }
        }
    }

    #[test]
    fn every_swap_of_neighbours_is_refused() {
        let format = test_format();
        for position in 1..KEY.len() {
            let mut text = KEY.as_bytes().to_vec();
            text.swap(position - 1, position);
            assert!(format.check(&text).is_err(), "{position}");
        }
    }

    #[test]
    fn every_truncation_and_extension_is_of_wrong_length() {
        let format = test_format();
        for end in 0..KEY.len() {
            let text = &KEY.as_bytes()[..end];
            assert_eq!(format.check(text), Err(MalformedKey::WrongLength), "{end}");
        }
        for tail in ["0", "\n", " ", "_", KEY] {
            let text = format!("{KEY}{tail}");
            assert_eq!(format.check(text.as_bytes()), Err(MalformedKey::WrongLength));
        }
    }

    #[test]
    fn each_fault_is_told_apart() {
        let format = test_format();
        let swapped = |from, to| KEY.replace(from, to);
        for (text, fault) in [
            (String::new(), MalformedKey::WrongLength),
            ("   ".to_owned(), MalformedKey::Prefix),
            (format!(" {KEY}"), MalformedKey::Prefix),
            (swapped("kg_", "sk_"), MalformedKey::Prefix),
            (swapped("kg_", "KG_"), MalformedKey::Prefix),
            (swapped("kg_", "kgx_"), MalformedKey::Prefix),
            (swapped("kg_", "kg-"), MalformedKey::Prefix),
            (swapped("test", "live"), MalformedKey::Environment),
            (swapped("test", "sandbox"), MalformedKey::Environment),
            (swapped("9", "-"), MalformedKey::Alphabet),
            (swapped("9", "\0"), MalformedKey::Alphabet),
            (swapped("89", "é"), MalformedKey::NotAscii),
            ("k".repeat(MAX_CREDENTIAL_LEN), MalformedKey::Prefix),
            ("k".repeat(MAX_CREDENTIAL_LEN + 1), MalformedKey::Oversized),
        ] {
            assert_eq!(format.check(text.as_bytes()), Err(fault), "{text}");
        }
        let not_text = [0xFF; MAX_CREDENTIAL_LEN];
        assert_eq!(format.check(&not_text), Err(MalformedKey::NotAscii));
    }

    #[test]
    fn a_made_up_secret_fails_by_its_checksum() {
        let text = "kg_test_00000000000000000000000000000000000000";
        assert_eq!(test_format().check(text.as_bytes()), Err(MalformedKey::Checksum));
    }

    #[test]
    fn the_checksum_covers_the_environment() {
        let live = KEY.replace("test", "live");
        assert_eq!(KeyFormat::default().check(live.as_bytes()), Err(MalformedKey::Checksum));
    }

    #[test]
    fn words_that_no_key_can_carry_are_named() {
        for word in ["", "Kg", "k_g", "k g", "kö", "abcdefghijklmnopq"] {
            let given = word.to_owned();
            let prefix = KeyFormat::new(word, "live").unwrap_err();
            assert!(prefix.to_string().contains(&format!("{word:?}")));
            assert_eq!(prefix, KeyFormatError::Prefix { given: given.clone() });
            let environment = KeyFormat::new("kg", word).unwrap_err();
            assert_eq!(environment, KeyFormatError::Environment { given });
        }
        assert!(KeyFormat::new("2kg", "live").is_err());
        assert!(KeyFormat::new("k", "2").is_ok());
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_are_refused_without_panic(
            text in proptest::collection::vec(any::<u8>(), 0..300),
            body in proptest::collection::vec(any::<u8>(), 0..60),
        ) {
            let format = test_format();
            prop_assert!(format.check(&text).is_err());
            prop_assert!(format.check(&[b"kg_test_", body.as_slice()].concat()).is_err());
        }

        #[test]
        fn a_key_passes_exactly_when_the_checksum_is_recomputed(
            secret in "[0-9A-Za-z]{32}",
            guess in "[0-9A-Za-z]{6}",
        ) {
            let payload = format!("kg_test_{secret}");
            let right = base62::checksum(payload.as_bytes());
            let text = [payload.as_bytes(), guess.as_bytes()].concat();
            prop_assert_eq!(test_format().check(&text).is_ok(), guess.as_bytes() == right);
            let text = [payload.as_bytes(), &right].concat();
            prop_assert!(test_format().check(&text).is_ok());
        }
    }
}
