//! How the text of a key becomes its digest, now and in the years before.

use std::{fmt, iter, num::NonZeroU16};

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256, block_api::compress256};
use smallvec::SmallVec;
use thiserror::Error;
use zeroize::Zeroizing;

use super::digest::{DigestScheme, KeyDigest};

/// Every scheme more is one more hash, and perhaps one more lookup, for each unknown key.
const MAX_SCHEMES: usize = 4;

/// Shortest secret of a pepper in bytes.
const MIN_SECRET_LEN: usize = 16;

/// Turns the text of keys into digests.
///
/// New keys are digested under one scheme, the newest; older schemes are kept for looking up keys
/// issued under them. To bring in a pepper, or to change it, put the new one first:
///
/// ```
/// use keygate::key::{Digester, Pepper};
///
/// let plain = Digester::sha256();
/// let digester = Digester::peppered(Pepper::new(2, *b"sixteen bytes or more")?)
///     .also(Pepper::new(1, *b"the one before this")?)?
///     .also_sha256()?;
///
/// let candidates = digester.candidates(b"text");
/// assert_eq!(candidates.len(), 3);
/// assert_eq!(candidates[0], digester.digest(b"text"));
/// assert_eq!(candidates[2], plain.digest(b"text"));
/// # Ok::<(), keygate::key::PepperError>(())
/// ```
#[derive(Clone)]
pub struct Digester {
    newest: Scheme,
    older: Vec<Scheme>,
}

impl Digester {
    /// Plain SHA-256: enough for keys of full entropy, and nothing to keep safe.
    #[must_use]
    pub const fn sha256() -> Self {
        Self { newest: Scheme::Sha256, older: Vec::new() }
    }

    /// HMAC-SHA-256 under `newest`. Whoever steals the store alone cannot test a key against it.
    #[must_use]
    pub const fn peppered(newest: Pepper) -> Self {
        Self { newest: Scheme::Peppered(newest), older: Vec::new() }
    }

    /// Still finds keys issued under `older`.
    ///
    /// # Errors
    ///
    /// When the version is taken, or there are four schemes already.
    pub fn also(self, older: Pepper) -> Result<Self, PepperError> {
        let version = older.version.get();
        if self.accepts(older.scheme()) {
            return Err(PepperError::DuplicateVersion { version });
        }
        self.with(Scheme::Peppered(older))
    }

    /// Still finds keys issued without a pepper. No change if plain SHA-256 is a scheme already.
    ///
    /// # Errors
    ///
    /// When there are four schemes already.
    pub fn also_sha256(self) -> Result<Self, PepperError> {
        if self.accepts(DigestScheme::Sha256) {
            return Ok(self);
        }
        self.with(Scheme::Sha256)
    }

    /// The digest under the newest scheme: for keys being issued.
    #[must_use]
    pub fn digest(&self, text: &[u8]) -> KeyDigest {
        self.newest.digest(text)
    }

    /// The digests under every scheme, newest first: for keys being looked up.
    ///
    /// Allocates only if there are older schemes.
    #[must_use]
    pub fn candidates(&self, text: &[u8]) -> SmallVec<[KeyDigest; 1]> {
        let mut digests = SmallVec::from_buf([self.digest(text)]);
        digests.extend(self.older.iter().map(|scheme| scheme.digest(text)));
        digests
    }

    fn schemes(&self) -> impl Iterator<Item = &Scheme> {
        iter::once(&self.newest).chain(&self.older)
    }

    fn accepts(&self, name: DigestScheme) -> bool {
        self.schemes().any(|scheme| scheme.name() == name)
    }

    fn with(mut self, older: Scheme) -> Result<Self, PepperError> {
        if self.schemes().count() >= MAX_SCHEMES {
            return Err(PepperError::TooManySchemes);
        }
        self.older.push(older);
        Ok(self)
    }
}

impl Default for Digester {
    fn default() -> Self {
        Self::sha256()
    }
}

impl fmt::Debug for Digester {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digester")?;
        let names = self.schemes().map(|scheme| scheme.name().to_string());
        f.debug_list().entries(names).finish()
    }
}

/// A secret that is mixed into digests and kept out of the store, with the number it is known by.
///
/// The version is written into every digest. The secret itself is not kept: only the state of
/// HMAC after absorbing it, which makes a digest two compressions instead of four. That state is as
/// secret as the pepper, and lives as long as this value.
#[derive(Clone)]
pub struct Pepper {
    version: NonZeroU16,
    keyed: Hmac<Sha256>,
}

impl Pepper {
    /// The pepper number `version`, from 1 up. Its secret is 16 bytes or more; 32 random ones are
    /// right. The buffer handed over is wiped.
    ///
    /// # Errors
    ///
    /// When the version is 0 or the secret too short.
    pub fn new(version: u16, secret: impl Into<Vec<u8>>) -> Result<Self, PepperError> {
        let secret = Zeroizing::new(secret.into());
        let version = NonZeroU16::new(version).ok_or(PepperError::ZeroVersion)?;
        let given = secret.len();
        if given < MIN_SECRET_LEN {
            return Err(PepperError::SecretLength { given });
        }
        let keyed = Hmac::new_from_slice(&secret);
        let keyed = keyed.map_err(|_| PepperError::SecretLength { given })?;
        Ok(Self { version, keyed })
    }

    const fn scheme(&self) -> DigestScheme {
        DigestScheme::HmacSha256 { pepper: self.version }
    }
}

impl fmt::Debug for Pepper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pepper(v{})", self.version)
    }
}

/// Peppers that cannot be used, or not together.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum PepperError {
    /// Versions count from 1.
    #[error("pepper version: given 0; right is 1 to 65535")]
    ZeroVersion,
    /// The secret can be guessed.
    #[error("pepper secret: given {given} bytes; right is {MIN_SECRET_LEN} or more")]
    SecretLength {
        /// Bytes given.
        given: usize,
    },
    /// Two peppers of one digester share a version.
    #[error("pepper version: given {version} twice; right is a version of its own for each pepper")]
    DuplicateVersion {
        /// The version given twice.
        version: u16,
    },
    /// A digester has too many schemes.
    #[error("digester: given more than {MAX_SCHEMES} schemes; drop peppers that no key uses")]
    TooManySchemes,
}

/// One way to digest, ready to use.
#[derive(Clone)]
enum Scheme {
    Sha256,
    Peppered(Pepper),
}

impl Scheme {
    const fn name(&self) -> DigestScheme {
        match self {
            Self::Sha256 => DigestScheme::Sha256,
            Self::Peppered(pepper) => pepper.scheme(),
        }
    }

    fn digest(&self, text: &[u8]) -> KeyDigest {
        let bytes = match self {
            Self::Sha256 => sha256(text),
            Self::Peppered(pepper) => {
                let mac = pepper.keyed.clone().chain_update(text);
                mac.finalize().into_bytes().into()
            }
        };
        KeyDigest::new(self.name(), bytes)
    }
}

/// Begins a hash (FIPS 180-4, section 5.3.3).
const SHA256_START: [u32; 8] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

/// Most keys fit in one block with their padding, and need no buffer.
fn sha256(text: &[u8]) -> [u8; 32] {
    let Some(block) = sole_block(text) else {
        return Sha256::digest(text).into();
    };
    let mut state = SHA256_START;
    compress256(&mut state, &[block]);
    let mut digest = [0; 32];
    let (words, _) = digest.as_chunks_mut::<4>();
    for (bytes, word) in words.iter_mut().zip(state) {
        *bytes = word.to_be_bytes();
    }
    digest
}

/// The text, a one bit, zeroes, and its length in bits (FIPS 180-4, section 5.1.1).
fn sole_block(text: &[u8]) -> Option<[u8; 64]> {
    let mut block = [0; 64];
    let (rest, length) = block.split_last_chunk_mut::<8>()?;
    *length = (u64::try_from(text.len()).ok()?.checked_mul(8)?).to_be_bytes();
    *rest.get_mut(text.len())? = 0x80;
    rest.get_mut(..text.len())?.copy_from_slice(text);
    Some(block)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_around_the_length_of_a_block_are_hashed_as_all_others() {
        let text: Vec<u8> = (0..=200).collect();
        for length in 0..text.len() {
            let text = &text[..length];
            assert_eq!(sole_block(text).is_some(), length < 56);
            assert_eq!(sha256(text), <[u8; 32]>::from(Sha256::digest(text)), "{length} bytes");
        }
    }

    const KEY: &[u8] = b"kg_test_0123456789ABCDEFGHIJKLMNOPQRSTUV3Gorfl";

    /// Recompute: `hashlib.sha256(KEY)` in Python.
    const SHA256: &str = "sha256:1b0b8474eb53ff5899419013cced3acbf8efca6366e3be287aa60bbf9cd3191b";
    /// Recompute: `hmac.new(b"0123456789abcdef", KEY, hashlib.sha256)`.
    const SHORT: &str =
        "hmac-sha256:v1:a26eef2b285177ffcb3a66670cad0534e392b0f22de8f7aa8ba0557c7d55ab46";
    /// Recompute: `hmac.new(bytes(range(100)), KEY, hashlib.sha256)`.
    const LONG: &str =
        "hmac-sha256:v7:38c0666b9dbe2344c32d43ea9d86fbd55eefa51905233077659adef9ae8df132";

    const SECRET: [u8; 16] = *b"0123456789abcdef";

    fn pepper(version: u16) -> Pepper {
        Pepper::new(version, SECRET).unwrap()
    }

    fn long_pepper() -> Pepper {
        Pepper::new(7, (0..100).collect::<Vec<u8>>()).unwrap()
    }

    #[test]
    fn digests_computed_elsewhere_agree() {
        assert_eq!(Digester::default().digest(KEY).to_string(), SHA256);
        let short = Digester::peppered(pepper(1));
        assert_eq!(short.digest(KEY).to_string(), SHORT);
        assert_eq!(short.digest(KEY).to_string(), SHORT, "the state is reusable");
        let long = Digester::peppered(long_pepper());
        assert_eq!(long.digest(KEY).to_string(), LONG);
    }

    #[test]
    fn candidates_come_newest_first() {
        let digester = Digester::peppered(long_pepper())
            .also(pepper(1))
            .and_then(Digester::also_sha256)
            .unwrap();
        let candidates = digester.candidates(KEY);
        let texts: Vec<String> = candidates.iter().map(ToString::to_string).collect();
        assert_eq!(texts, [LONG, SHORT, SHA256]);
        assert_eq!(digester.digest(KEY), candidates[0]);
    }

    #[test]
    fn one_scheme_gives_one_candidate_on_the_stack() {
        for digester in [Digester::sha256(), Digester::peppered(pepper(1))] {
            let candidates = digester.candidates(KEY);
            assert_eq!(candidates[..], [digester.digest(KEY)]);
            assert!(!candidates.spilled());
        }
    }

    #[test]
    fn one_secret_under_two_versions_is_two_schemes() {
        let first = Digester::peppered(pepper(1)).digest(KEY);
        let second = Digester::peppered(pepper(2)).digest(KEY);
        assert_ne!(first, second);
        assert_eq!(first.to_string().replace(":v1:", ":v2:"), second.to_string());
    }

    #[test]
    fn a_pepper_can_be_taken_back() {
        let digester = Digester::sha256().also(pepper(1)).unwrap();
        assert_eq!(digester.digest(KEY).to_string(), SHA256);
        assert_eq!(digester.candidates(KEY)[1].to_string(), SHORT);
    }

    #[test]
    fn a_version_can_be_used_once() {
        let taken = PepperError::DuplicateVersion { version: 1 };
        let newest = Digester::peppered(pepper(1)).also(pepper(1));
        assert_eq!(newest.err(), Some(taken));
        let older = Digester::sha256().also(pepper(1)).unwrap();
        assert_eq!(older.also(pepper(1)).err(), Some(taken));
    }

    #[test]
    fn plain_sha256_counts_once() {
        let digester = Digester::sha256().also_sha256().unwrap();
        assert_eq!(digester.candidates(KEY).len(), 1);
    }

    #[test]
    fn four_schemes_are_the_most() {
        let full = (2..=4).try_fold(Digester::peppered(pepper(1)), |digester, version| {
            digester.also(pepper(version))
        });
        let full = full.unwrap();
        assert_eq!(full.candidates(KEY).len(), 4);
        let many = Some(PepperError::TooManySchemes);
        assert_eq!(full.clone().also(pepper(5)).err(), many);
        assert_eq!(full.also_sha256().err(), many);
    }

    #[test]
    fn a_pepper_has_a_version_and_sixteen_bytes() {
        assert_eq!(Pepper::new(0, SECRET).err(), Some(PepperError::ZeroVersion));
        let short = Pepper::new(1, &SECRET[1..]).err();
        assert_eq!(short, Some(PepperError::SecretLength { given: 15 }));
    }

    #[test]
    fn debug_names_schemes_and_no_secret() {
        assert_eq!(format!("{:?}", pepper(3)), "Pepper(v3)");
        let digester = Digester::peppered(pepper(3)).also_sha256().unwrap();
        let shown = format!("{digester:?}");
        assert_eq!(shown, r#"Digester["hmac-sha256:v3", "sha256"]"#);
    }
}
