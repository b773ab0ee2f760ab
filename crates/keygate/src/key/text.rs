//! The secret text of a key.

use std::fmt;

use zeroize::Zeroizing;

use super::hint::KeyHint;

/// The whole text of a new key, to be shown to its owner once.
///
/// It is wiped from memory when dropped. It cannot be cloned, printed or serialized: whoever needs
/// the text calls [`expose`](Self::expose), and a reader can search for that word.
///
/// ```
/// use keygate::key::KeyFormat;
///
/// let key = KeyFormat::default().mint()?;
/// assert!(key.expose().starts_with("kg_live_"));
/// assert!(!format!("{key:?}").contains(key.expose()));
/// # Ok::<(), keygate::key::EntropyError>(())
/// ```
pub struct ApiKey(Zeroizing<String>);

impl ApiKey {
    pub(super) const fn new(text: Zeroizing<String>) -> Self {
        Self(text)
    }

    /// The text itself: the only way out. Show it to its owner and keep no copy.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What people may see of this key from now on.
    #[must_use]
    pub fn hint(&self) -> KeyHint {
        KeyHint::of(&self.0)
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiKey({})", self.hint())
    }
}

#[cfg(test)]
mod tests {
    use serde::Serialize;

    use super::*;

    const TEXT: &str = "kg_test_0123456789ABCDEFGHIJKLMNOPQRSTUV3Gorfl";

    fn key() -> ApiKey {
        ApiKey::new(Zeroizing::new(TEXT.to_owned()))
    }

    /// Fails to compile once `ApiKey` implements the trait: two impls would then apply.
    macro_rules! assert_not_impl {
        ($trait:path) => {{
            trait Ambiguous<A> {
                fn check() {}
            }
            impl<T: ?Sized> Ambiguous<()> for T {}
            impl<T: ?Sized + $trait> Ambiguous<u8> for T {}
            <ApiKey as Ambiguous<_>>::check();
        }};
    }

    #[test]
    fn a_key_cannot_be_cloned_printed_or_serialized() {
        assert_not_impl!(Clone);
        assert_not_impl!(fmt::Display);
        assert_not_impl!(Serialize);
        assert_not_impl!(AsRef<str>);
    }

    #[test]
    fn debug_shows_the_hint_and_nothing_more() {
        assert_eq!(format!("{:?}", key()), "ApiKey(kg_test_…orfl)");
        assert_eq!(format!("{:#?}", key()), "ApiKey(kg_test_…orfl)");
    }

    #[test]
    fn the_hint_holds_no_character_of_the_secret() {
        assert_eq!(key().hint().as_str(), "kg_test_…orfl");
        assert!(TEXT.ends_with("3Gorfl"), "the last six are the checksum");
    }
}
