//! What a key looks like, how it is made, and the only form in which it is kept.
//!
//! A key reads `<prefix>_<environment>_<secret><checksum>`, for example
//! `kg_test_0123456789ABCDEFGHIJKLMNOPQRSTUV3Gorfl`:
//!
//! - **prefix** and **environment** tell a person, or a scanner that looks for leaks, whose key
//!   this is and what it opens. They are not secret.
//! - **secret** is 32 base62 characters (`0-9A-Za-z`), 190 bits, from the generator of the
//!   operating system. Every character is equally likely.
//! - **checksum** is the CRC-32 (the one of gzip, RFC 1952 section 8) of everything before it, as
//!   exactly six base62 digits, most significant first, padded with `0`. It is no signature: it
//!   lets a mistyped or invented key be refused without asking any store.
//!
//! A [`KeyFormat`] mints and checks such text. The text itself, an [`ApiKey`], is shown to its
//! owner once; a store keeps its [`KeyDigest`], made by a [`Digester`], beside a [`KeyId`] for
//! machines and a [`KeyHint`] for people. A secret of 190 bits cannot be guessed, so a fast hash
//! is enough: slow password hashes guard short secrets, and would tax every request here.
//!
//! ```
//! use keygate::key::{Digester, KeyFormat};
//!
//! let format = KeyFormat::new("kg", "test")?;
//! let digester = Digester::sha256();
//!
//! let key = format.mint()?;
//! let stored = digester.digest(key.expose().as_bytes());
//!
//! let presented = key.expose().as_bytes();
//! format.check(presented)?;
//! assert!(digester.candidates(presented).contains(&stored));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod base62;
mod digest;
mod digester;
mod entropy;
mod format;
mod hint;
mod id;
mod string_form;
mod text;

pub(crate) use self::entropy::random_u64;
pub use self::{
    digest::{DigestScheme, KeyDigest, ParseDigestError},
    digester::{Digester, Pepper, PepperError},
    entropy::EntropyError,
    format::{KeyFormat, KeyFormatError, MAX_CREDENTIAL_LEN, MalformedKey},
    hint::{KeyHint, ParseHintError},
    id::{KeyId, ParseKeyIdError},
    text::ApiKey,
};
