//! The hash of a key: the form in which stores know it.

use std::{
    fmt,
    hash::{Hash, Hasher},
    num::NonZeroU16,
    str::FromStr,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

use super::string_form;

/// The hash of a key's text, and how it was made.
///
/// As text, and in serde, it is `sha256:<64 hex digits>` or
/// `hmac-sha256:v<pepper version>:<64 hex digits>`.
///
/// Two digests are equal when bytes and scheme are; the bytes are compared in constant time. As a
/// key of a map it feeds the hasher one word of itself, for it is uniform already. Keep a seeded
/// hasher all the same where clients choose what is looked up: they can search for keys whose
/// digests share a word.
///
/// ```
/// use keygate::key::{Digester, KeyDigest};
///
/// let digest = Digester::sha256().digest(b"abc");
/// let text = digest.to_string();
/// assert!(text.starts_with("sha256:ba7816bf"));
/// assert_eq!(text.parse::<KeyDigest>()?, digest);
/// # Ok::<(), keygate::key::ParseDigestError>(())
/// ```
#[derive(Clone, Copy)]
pub struct KeyDigest {
    scheme: DigestScheme,
    bytes: [u8; 32],
}

impl KeyDigest {
    pub(super) const fn new(scheme: DigestScheme, bytes: [u8; 32]) -> Self {
        Self { scheme, bytes }
    }

    /// How the digest was made.
    #[must_use]
    pub const fn scheme(&self) -> DigestScheme {
        self.scheme
    }

    /// Whether both are the digest of the same text under the same scheme, in constant time.
    #[must_use]
    pub fn matches(&self, other: &Self) -> bool {
        let same_bytes = constant_time_eq::constant_time_eq_32(&self.bytes, &other.bytes);
        same_bytes & (self.scheme == other.scheme)
    }

    /// The digest in lower-case hex.
    fn hex(&self) -> [u8; 64] {
        let mut hex = [b'0'; 64];
        let (pairs, _) = hex.as_chunks_mut::<2>();
        for (pair, byte) in pairs.iter_mut().zip(self.bytes) {
            *pair = [hex_digit(byte >> 4), hex_digit(byte & 0xF)];
        }
        hex
    }
}

/// How a digest is made of a key's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum DigestScheme {
    /// SHA-256 (FIPS 180-4).
    Sha256,
    /// HMAC-SHA-256 (RFC 2104), keyed by the pepper of this version.
    HmacSha256 {
        /// Which pepper.
        pepper: NonZeroU16,
    },
}

/// Text that is no digest. It is not repeated here, for it may be a key.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ParseDigestError {
    /// It begins with no scheme that is known.
    #[error("digest: no known scheme; right is `sha256:<hex>` or `hmac-sha256:v<version>:<hex>`")]
    Scheme,
    /// The pepper version is no version.
    #[error("digest: pepper version; right is 1 to 65535 without sign or leading zero")]
    Version,
    /// The hash is not 64 hexadecimal digits.
    #[error("digest: given {given} bytes of hash; right is 64 hexadecimal digits")]
    Hash {
        /// Bytes after the scheme.
        given: usize,
    },
}

impl PartialEq for KeyDigest {
    fn eq(&self, other: &Self) -> bool {
        self.matches(other)
    }
}

impl Eq for KeyDigest {}

impl Hash for KeyDigest {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let [a, b, c, d, e, f, g, h, ..] = self.bytes;
        state.write_u64(u64::from_le_bytes([a, b, c, d, e, f, g, h]));
    }
}

impl FromStr for KeyDigest {
    type Err = ParseDigestError;

    fn from_str(text: &str) -> Result<Self, ParseDigestError> {
        let (scheme, hex) = if let Some(hex) = text.strip_prefix("sha256:") {
            (DigestScheme::Sha256, hex)
        } else {
            let rest = text.strip_prefix("hmac-sha256:v");
            let (version, hex) = rest
                .ok_or(ParseDigestError::Scheme)?
                .split_once(':')
                .ok_or(ParseDigestError::Version)?;
            let pepper = parse_version(version).ok_or(ParseDigestError::Version)?;
            (DigestScheme::HmacSha256 { pepper }, hex)
        };
        let bytes = parse_hex(hex).ok_or(ParseDigestError::Hash { given: hex.len() })?;
        Ok(Self { scheme, bytes })
    }
}

impl fmt::Display for DigestScheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sha256 => f.write_str("sha256"),
            Self::HmacSha256 { pepper } => write!(f, "hmac-sha256:v{pepper}"),
        }
    }
}

impl fmt::Display for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex = self.hex();
        write!(f, "{}:", self.scheme)?;
        f.write_str(str::from_utf8(&hex).unwrap_or_default())
    }
}

/// Enough to tell digests apart in a log, too little to look one up.
impl fmt::Debug for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, second, ..] = self.bytes;
        write!(f, "KeyDigest({}:{first:02x}{second:02x}…)", self.scheme)
    }
}

impl Serialize for KeyDigest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for KeyDigest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        string_form::deserialize(deserializer)
    }
}

/// A version in its one spelling, so that one digest has one text.
fn parse_version(text: &str) -> Option<NonZeroU16> {
    if text.starts_with(['+', '0']) {
        return None;
    }
    text.parse().ok()
}

fn parse_hex(hex: &str) -> Option<[u8; 32]> {
    let hex: &[u8; 64] = hex.as_bytes().try_into().ok()?;
    let (pairs, _) = hex.as_chunks::<2>();
    let mut bytes = [0; 32];
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = hex_value(*high)? << 4 | hex_value(*low)?;
    }
    Some(bytes)
}

const fn hex_value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

const fn hex_digit(value: u8) -> u8 {
    if value < 10 { b'0' + value } else { b'a' + (value - 10) }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    const HEX: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1dfeff";

    fn scheme(version: u16) -> DigestScheme {
        NonZeroU16::new(version)
            .map_or(DigestScheme::Sha256, |pepper| DigestScheme::HmacSha256 { pepper })
    }

    fn digest(version: u16, bytes: [u8; 32]) -> KeyDigest {
        KeyDigest::new(scheme(version), bytes)
    }

    #[test]
    fn text_is_scheme_and_hex() {
        for text in [
            format!("sha256:{HEX}"),
            format!("hmac-sha256:v1:{HEX}"),
            format!("hmac-sha256:v65535:{HEX}"),
        ] {
            let digest: KeyDigest = text.parse().unwrap();
            assert_eq!(digest.bytes[..3], [0, 1, 2]);
            assert_eq!(digest.bytes[30..], [0xFE, 0xFF]);
            assert_eq!(digest.to_string(), text);
            let json = serde_json::to_string(&digest).unwrap();
            assert_eq!(json, format!("{text:?}"));
            assert_eq!(serde_json::from_str::<KeyDigest>(&json).unwrap(), digest);
        }
    }

    #[test]
    fn upper_case_hex_is_read_and_written_in_lower_case() {
        let digest: KeyDigest = format!("sha256:{}", HEX.to_uppercase()).parse().unwrap();
        assert_eq!(digest.to_string(), format!("sha256:{HEX}"));
    }

    #[test]
    fn each_mistake_is_named() {
        let parse = |text: &str| text.parse::<KeyDigest>().unwrap_err();
        for text in ["", HEX, "md5:00", "SHA256:00", "hmac-sha256:1:00"] {
            assert_eq!(parse(text), ParseDigestError::Scheme, "{text}");
        }
        for version in ["", "0", "01", "+1", "-1", "65536", " 1", "x"] {
            let text = format!("hmac-sha256:v{version}:{HEX}");
            assert_eq!(parse(&text), ParseDigestError::Version, "{text}");
        }
        assert_eq!(parse("hmac-sha256:v1"), ParseDigestError::Version);
        for hash in
            ["", "00", HEX.trim_start_matches("00"), &format!("{HEX}0"), &HEX.replace('a', "g")]
        {
            let given = hash.len();
            let expected = ParseDigestError::Hash { given };
            assert_eq!(parse(&format!("sha256:{hash}")), expected, "{hash}");
        }
        let wide = format!("sha256:{}é", HEX.trim_start_matches("00"));
        assert_eq!(parse(&wide), ParseDigestError::Hash { given: 64 });
    }

    #[test]
    fn a_difference_anywhere_makes_digests_differ() {
        let base = digest(0, [7; 32]);
        assert!(base.matches(&digest(0, [7; 32])));
        for position in 0..32 {
            let mut bytes = [7; 32];
            bytes[position] ^= 1;
            assert!(!base.matches(&digest(0, bytes)), "{position}");
        }
        assert!(!base.matches(&digest(1, [7; 32])));
        assert!(!digest(2, [7; 32]).matches(&digest(1, [7; 32])));
    }

    #[test]
    fn a_map_keeps_digests_apart_that_share_their_first_word() {
        let mut other = [7; 32];
        other[31] = 8;
        let keys = [digest(0, [7; 32]), digest(1, [7; 32]), digest(0, other)];
        let map: HashMap<KeyDigest, usize> = keys.into_iter().zip(0..).collect();
        assert_eq!(keys.map(|key| map[&key]), [0, 1, 2]);
    }

    /// Accepts one word and nothing else.
    #[derive(Default)]
    struct OneWord(Option<u64>);

    impl Hasher for OneWord {
        fn write(&mut self, _: &[u8]) {
            panic!("only a word is expected");
        }

        fn write_u64(&mut self, word: u64) {
            assert_eq!(self.0.replace(word), None, "one word only");
        }

        fn finish(&self) -> u64 {
            self.0.unwrap()
        }
    }

    #[test]
    fn the_hasher_is_fed_the_first_word_once() {
        let mut hasher = OneWord::default();
        let digest: KeyDigest = format!("hmac-sha256:v9:{HEX}").parse().unwrap();
        digest.hash(&mut hasher);
        assert_eq!(hasher.finish(), 0x0706_0504_0302_0100);
    }

    #[test]
    fn debug_shows_the_scheme_and_four_digits() {
        let shown = format!("{:?}", digest(3, [0xAB; 32]));
        assert_eq!(shown, "KeyDigest(hmac-sha256:v3:abab…)");
    }

    proptest! {
        #[test]
        fn any_digest_survives_its_text(version: u16, bytes: [u8; 32]) {
            let digest = digest(version, bytes);
            prop_assert_eq!(digest.to_string().parse(), Ok(digest));
        }

        #[test]
        fn any_text_is_read_without_panic(text: String) {
            prop_assert!(text.parse::<KeyDigest>().is_err());
        }
    }
}
