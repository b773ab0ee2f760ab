use std::{fmt, slice, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{Scope, ScopeError};

/// Scopes that are granted, without repeats and in byte order.
///
/// The empty set grants nothing. Written as text, the scopes are separated by spaces; in serde it
/// is a sequence of strings. Reading drops repeats.
///
/// ```
/// use keygate::scope::ScopeSet;
///
/// let granted: ScopeSet = serde_json::from_str(r#"["orders:read", "eu", "eu"]"#)?;
/// assert_eq!(granted.to_string(), "eu orders:read");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "Vec<Scope>")]
pub struct ScopeSet(Box<[Scope]>);

impl ScopeSet {
    /// Reads a list of scopes, one text each.
    ///
    /// # Errors
    ///
    /// [`ScopeSetError`], which names the first text that is not a scope.
    ///
    /// ```
    /// use keygate::scope::ScopeSet;
    ///
    /// let error = ScopeSet::parse(["eu", "orders/read"]).unwrap_err();
    /// assert!(error.to_string().starts_with(r#"scope 2 of the list: scope "orders/read" has '/'"#));
    /// ```
    pub fn parse<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> Result<Self, ScopeSetError> {
        (1..)
            .zip(texts)
            .map(|(number, text)| {
                let scope = text.as_ref().parse();
                scope.map_err(|error| ScopeSetError::InvalidScope { number, error })
            })
            .collect()
    }

    /// Whether one of the scopes [covers](Scope::covers) `scope`.
    ///
    /// Allocates nothing.
    #[must_use]
    pub fn covers(&self, scope: &Scope) -> bool {
        self.iter().any(|own| own.covers(scope))
    }

    /// Whether `scope` was put into the set in these very words. To decide about access, ask
    /// [`covers`](Self::covers).
    #[must_use]
    pub fn contains(&self, scope: &Scope) -> bool {
        self.0.binary_search(scope).is_ok()
    }

    /// The scopes in byte order.
    pub fn iter(&self) -> slice::Iter<'_, Scope> {
        self.0.iter()
    }

    /// How many scopes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none, so that nothing is granted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<Scope> for ScopeSet {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self::from(scopes.into_iter().collect::<Vec<_>>())
    }
}

impl From<Vec<Scope>> for ScopeSet {
    fn from(mut scopes: Vec<Scope>) -> Self {
        scopes.sort_unstable();
        scopes.dedup();
        Self(scopes.into())
    }
}

impl<'a> IntoIterator for &'a ScopeSet {
    type Item = &'a Scope;
    type IntoIter = slice::Iter<'a, Scope>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// Reads scopes separated by white space; a text without scopes is the empty set.
impl FromStr for ScopeSet {
    type Err = ScopeSetError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text.split_ascii_whitespace())
    }
}

impl fmt::Display for ScopeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, scope) in self.iter().enumerate() {
            let gap = if index == 0 { "" } else { " " };
            write!(f, "{gap}{scope}")?;
        }
        Ok(())
    }
}

/// Why a list is not a [`ScopeSet`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScopeSetError {
    /// One of the texts is not a scope.
    #[error("scope {number} of the list: {error}")]
    InvalidScope {
        /// Which one, counted from 1.
        number: usize,
        /// What is wrong with it.
        error: ScopeError,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn set(text: &str) -> ScopeSet {
        text.parse().unwrap()
    }

    #[track_caller]
    fn scope(text: &str) -> Scope {
        text.parse().unwrap()
    }

    #[test]
    fn the_empty_set_grants_nothing() {
        let nothing = set("");
        assert_eq!(nothing, ScopeSet::default());
        assert!(nothing.is_empty());
        assert!(!nothing.covers(&scope("orders:read")));
        assert!(!nothing.covers(&scope("*")));
    }

    #[test]
    fn one_covering_scope_is_enough() {
        let granted = set("eu orders:*");
        assert!(granted.covers(&scope("eu")));
        assert!(granted.covers(&scope("orders:read")));
        assert!(!granted.covers(&scope("orders")));
        assert!(!granted.covers(&scope("*")));
    }

    #[test]
    fn contains_knows_no_wildcards() {
        let granted = set("orders:*");
        assert!(granted.contains(&scope("orders:*")));
        assert!(!granted.contains(&scope("orders:read")));
    }

    #[test]
    fn repeats_are_dropped_and_the_order_is_fixed() {
        let granted = ScopeSet::parse(["b", "a:*", "b", "a"]).unwrap();
        assert_eq!(granted.len(), 3);
        assert_eq!(granted.to_string(), "a a:* b");
        assert_eq!(granted, granted.iter().rev().cloned().collect());
    }

    #[test]
    fn text_and_json_read_back_the_same_set() {
        for text in ["", "a", "a a:* b"] {
            let granted = set(text);
            assert_eq!(set(&granted.to_string()), granted);
            let json = serde_json::to_string(&granted).unwrap();
            assert_eq!(serde_json::from_str::<ScopeSet>(&json).unwrap(), granted);
        }
        assert_eq!(serde_json::to_string(&set("b a")).unwrap(), r#"["a","b"]"#);
    }

    #[test]
    fn a_bad_scope_is_named_with_its_place() {
        let error = ScopeSet::parse(["a", "", "b!"]).unwrap_err();
        assert_eq!(error, ScopeSetError::InvalidScope { number: 2, error: ScopeError::Empty });
        let error = serde_json::from_str::<ScopeSet>(r#"["a", "b!"]"#).unwrap_err();
        assert!(error.to_string().contains(r#""b!""#), "{error}");
    }
}
