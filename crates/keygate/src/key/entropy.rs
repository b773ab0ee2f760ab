//! The random generator of the operating system.

use thiserror::Error;

/// The operating system gave no random bytes, or bytes that no sound generator gives.
///
/// Nothing was made. Trying again is safe; trying something weaker is not.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("the random generator of the operating system failed")]
pub struct EntropyError(#[from] getrandom::Error);

impl EntropyError {
    /// The generator answers, but its bytes cannot be random.
    pub(super) const STUCK: Self = Self(getrandom::Error::UNEXPECTED);
}

/// Fills `bytes` from the system generator.
pub(super) fn system(bytes: &mut [u8]) -> Result<(), EntropyError> {
    Ok(getrandom::fill(bytes)?)
}

/// A number that nobody else has.
pub(crate) fn random_u64() -> Result<u64, EntropyError> {
    Ok(getrandom::u64()?)
}
