//! What a key may do, and what a route demands.
//!
//! # Scopes
//!
//! A [`Scope`] is a permission word: segments joined by `:`, from the general to the particular.
//! A segment is a name or the wildcard `*`. A scope without wildcards is *concrete*; a scope with
//! wildcards stands for every concrete scope it covers. The last `*` of a scope stands for one or
//! more segments, any other `*` for exactly one.
//!
//! ```
//! use keygate::scope::Scope;
//!
//! let granted: Scope = "orders:*".parse()?;
//! assert!(granted.covers(&"orders:read".parse()?));
//! assert!(granted.covers(&"orders:read:own".parse()?));
//! assert!(!granted.covers(&"orders".parse()?));
//! # Ok::<(), keygate::scope::ScopeError>(())
//! ```
//!
//! # Sets
//!
//! A [`ScopeSet`] is what a key or a plan grants. It is closed by default: the empty set grants
//! nothing, and only a scope that was written down opens anything.
//!
//! ```
//! use keygate::scope::{Scope, ScopeSet};
//!
//! let granted = ScopeSet::parse(["orders:*", "invoices:read"])?;
//! let wanted: Scope = "orders:write".parse()?;
//! assert!(granted.covers(&wanted));
//! assert!(!ScopeSet::default().covers(&wanted));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Queries
//!
//! A [`ScopeQuery`] is what a route demands: scopes joined by `&` and `|`. The query does not know
//! who grants; it asks a function, so a key and the ceiling of its plan are asked together.
//!
//! ```
//! use keygate::scope::{ScopeQuery, ScopeSet};
//!
//! let demand = ScopeQuery::parse("orders:write & (eu | admin)")?;
//! let key = ScopeSet::parse(["*"])?;
//! let plan = ScopeSet::parse(["orders:*", "eu"])?;
//! assert!(demand.is_met_by(|scope| key.covers(scope) && plan.covers(scope)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize, Serializer};

pub use self::{
    parse::{Place, ScopeQueryError},
    query::ScopeQuery,
    set::{ScopeSet, ScopeSetError},
};

mod parse;
mod query;
mod set;

/// A permission word such as `orders:read` or `orders:*`.
///
/// One or more segments joined by `:`, 1 to [`MAX_LEN`](Self::MAX_LEN) bytes in all. A segment is
/// `*`, or one or more ASCII letters, digits, `.`, `_` and `-`. Case matters. Every scope is also a
/// `scope-token` of [RFC 6749, section 3.3], so it can stand in an OAuth challenge as it is.
///
/// Scopes are ordered by their bytes; this order has nothing to do with [`covers`](Self::covers).
/// A clone shares the text.
///
/// ```
/// use keygate::scope::Scope;
///
/// let scope = Scope::try_from("orders:read")?;
/// assert_eq!(scope.to_string(), "orders:read");
/// assert!(Scope::try_from("orders:").is_err());
/// # Ok::<(), keygate::scope::ScopeError>(())
/// ```
///
/// [RFC 6749, section 3.3]: https://www.rfc-editor.org/rfc/rfc6749#section-3.3
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct Scope {
    text: Arc<str>,
    wildcards: Wildcards,
}

/// Where a scope has wildcards: most have none, and most others have one at the end.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Wildcards {
    None,
    Last,
    Several,
}

impl Scope {
    /// The longest scope, in bytes.
    pub const MAX_LEN: usize = 128;

    const SEPARATOR: char = ':';
    const WILDCARD: &str = "*";

    /// The scope as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether whoever holds this scope may do everything that `other` stands for.
    ///
    /// Segments are compared from the left:
    ///
    /// 1. A name covers the same name, and nothing else.
    /// 2. A `*` that is not last covers one segment, a name or a `*`.
    /// 3. A `*` that is last covers all the remaining segments, of which there must be one or more.
    /// 4. Both scopes must be used up at the end.
    ///
    /// So a `*` of `other` is covered by a `*` only. The laws, where `[S]` is the set of concrete
    /// scopes that `S` covers:
    ///
    /// - *Exact*: `A` covers `B` if and only if `[B]` is a subset of `[A]`. In particular, what
    ///   `B` opens is never more than what `A` opens.
    /// - Hence a partial order: reflexive, transitive, and two scopes that cover each other are
    ///   equal.
    ///
    /// | scope | covers | does not cover |
    /// |---|---|---|
    /// | `orders` | `orders` | `orders:read`, `*` |
    /// | `orders:*` | `orders:read`, `orders:read:own`, `orders:*`, `orders:*:own` | `orders`, `*` |
    /// | `*:read` | `orders:read`, `*:read` | `orders:items:read`, `orders:*` |
    /// | `orders:*:*` | `orders:read:own`, `orders:read:*` | `orders:read`, `orders:*` |
    /// | `*` | everything | |
    ///
    /// Allocates nothing.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        match self.wildcards {
            Wildcards::None => self.text == other.text,
            // What precedes the `*` is names, and ends with the colon if there are any.
            Wildcards::Last => {
                let head = self.text.strip_suffix(Self::WILDCARD);
                head.is_some_and(|head| other.text.starts_with(head))
            }
            Wildcards::Several => self.covers_by_segment(other),
        }
    }

    fn covers_by_segment(&self, other: &Self) -> bool {
        let mut own = self.segments().peekable();
        let mut theirs = other.segments();
        while let Some(segment) = own.next() {
            let Some(covered) = theirs.next() else {
                return false;
            };
            if segment == Self::WILDCARD.as_bytes() {
                if own.peek().is_none() {
                    return true;
                }
            } else if segment != covered {
                return false;
            }
        }
        theirs.next().is_none()
    }

    /// As bytes, for looking up every character would take most of a decision's time.
    fn segments(&self) -> impl Iterator<Item = &[u8]> {
        self.text.as_bytes().split(|byte| *byte == b':')
    }
}

impl FromStr for Scope {
    type Err = ScopeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        check(text)?;
        Ok(Self { text: text.into(), wildcards: Wildcards::of(text) })
    }
}

impl TryFrom<&str> for Scope {
    type Error = ScopeError;

    fn try_from(text: &str) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl TryFrom<String> for Scope {
    type Error = ScopeError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl AsRef<str> for Scope {
    fn as_ref(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Scope").field(&self.text).finish()
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl Serialize for Scope {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

/// Why a text is not a [`Scope`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScopeError {
    /// Nothing was written.
    #[error("the scope is empty: write one such as `orders:read`")]
    Empty,

    /// More than [`Scope::MAX_LEN`] bytes.
    #[error("scope {start:?} has {length} bytes: it may have at most {max}", max = Scope::MAX_LEN)]
    TooLong {
        /// How the text begins.
        start: Box<str>,
        /// Bytes in the whole text.
        length: usize,
    },

    /// A character that no scope may hold.
    #[error(
        "scope {scope:?} has {found:?} at byte {position}: \
         segments are `*` or letters, digits, `.`, `_` and `-`, joined by `:`"
    )]
    InvalidCharacter {
        /// The text.
        scope: Box<str>,
        /// Where the character is, in bytes from the start of the text.
        position: usize,
        /// The character.
        found: char,
    },

    /// A `:` at an end, or two in a row.
    #[error(
        "scope {scope:?} has an empty segment: \
         write one `:` between two segments and none at the ends"
    )]
    EmptySegment {
        /// The text.
        scope: Box<str>,
    },

    /// A `*` beside other characters.
    #[error("scope {scope:?} has the segment {segment:?}: a `*` stands alone in its segment")]
    PartialWildcard {
        /// The text.
        scope: Box<str>,
        /// The segment at fault.
        segment: Box<str>,
    },
}

impl Wildcards {
    fn of(text: &str) -> Self {
        match text.find(Scope::WILDCARD) {
            None => Self::None,
            Some(first) if first + Scope::WILDCARD.len() == text.len() => Self::Last,
            Some(_) => Self::Several,
        }
    }
}

fn check(text: &str) -> Result<(), ScopeError> {
    if text.is_empty() {
        return Err(ScopeError::Empty);
    }
    if text.len() > Scope::MAX_LEN {
        return Err(ScopeError::TooLong { start: clip(text), length: text.len() });
    }
    if let Some((position, found)) = text.char_indices().find(|&(_, c)| !is_scope_char(c)) {
        return Err(ScopeError::InvalidCharacter { scope: text.into(), position, found });
    }
    text.split(Scope::SEPARATOR).try_for_each(|segment| check_segment(text, segment))
}

fn check_segment(text: &str, segment: &str) -> Result<(), ScopeError> {
    if segment.is_empty() {
        return Err(ScopeError::EmptySegment { scope: text.into() });
    }
    if segment != Scope::WILDCARD && segment.contains(Scope::WILDCARD) {
        return Err(ScopeError::PartialWildcard { scope: text.into(), segment: segment.into() });
    }
    Ok(())
}

fn is_scope_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | ':' | '*')
}

/// The start of a text, short enough to stand in an error message.
fn clip(text: &str) -> Box<str> {
    const KEPT: usize = 40;
    let kept = text.chars().take(KEPT);
    let mark = text.chars().nth(KEPT).map(|_| '…');
    kept.chain(mark).collect::<String>().into()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn scope(text: &str) -> Scope {
        text.parse().unwrap()
    }

    fn words(alphabet: &[&str], lengths: std::ops::RangeInclusive<usize>) -> Vec<String> {
        let longer = |shorter: &Vec<String>| {
            let extend =
                |word: &String| alphabet.iter().map(move |s| format!("{word}:{s}")).collect();
            shorter.iter().flat_map::<Vec<String>, _>(extend).collect()
        };
        let first: Vec<String> = alphabet.iter().map(|&s| s.to_owned()).collect();
        std::iter::successors(Some(first), |shorter| Some(longer(shorter)))
            .zip(1..=*lengths.end())
            .filter(|(_, length)| lengths.contains(length))
            .flat_map(|(words, _)| words)
            .collect()
    }

    /// Every concrete scope of up to four segments that `scope` stands for, by writing them out:
    /// nothing is matched here.
    fn written_out(scope: &str) -> BTreeSet<String> {
        const NAMES: [&str; 3] = ["a", "b", "other"];
        let segments: Vec<&str> = scope.split(':').collect();
        let mut heads = vec![String::new()];
        for (index, segment) in segments.iter().enumerate() {
            let choices = match *segment {
                "*" if index + 1 == segments.len() => words(&NAMES, 1..=4 - index),
                "*" => words(&NAMES, 1..=1),
                name => vec![name.to_owned()],
            };
            let join = |head: &String| choices.iter().map(move |c| format!("{head}:{c}")).collect();
            heads = heads.iter().flat_map::<Vec<String>, _>(join).collect();
        }
        heads.iter().map(|word| word.trim_start_matches(':').to_owned()).collect()
    }

    #[test]
    fn covering_is_standing_for_no_less() {
        let scopes = words(&["a", "b", "*"], 1..=3);
        let meanings: Vec<_> = scopes.iter().map(|s| (scope(s), written_out(s))).collect();
        assert_eq!(meanings.len(), 3 + 9 + 27);
        for (a, all_of_a) in &meanings {
            for (b, all_of_b) in &meanings {
                assert_eq!(a.covers(b), all_of_b.is_subset(all_of_a), "{a} and {b}");
            }
        }
    }

    #[test]
    fn a_scope_covers_the_concrete_scopes_it_stands_for() {
        for text in words(&["a", "b", "*"], 1..=3) {
            let all = written_out(&text);
            for concrete in words(&["a", "b", "other"], 1..=4) {
                let covers = scope(&text).covers(&scope(&concrete));
                assert_eq!(covers, all.contains(&concrete), "{text} and {concrete}");
            }
        }
    }

    #[test]
    fn covering_is_a_partial_order() {
        let scopes: Vec<_> = words(&["a", "b", "*"], 1..=3).iter().map(|s| scope(s)).collect();
        for a in &scopes {
            assert!(a.covers(a));
            for b in scopes.iter().filter(|b| a.covers(b)) {
                assert!(a == b || !b.covers(a), "{a} and {b}");
                for c in scopes.iter().filter(|c| b.covers(c)) {
                    assert!(a.covers(c), "{a}, {b} and {c}");
                }
            }
        }
    }

    #[test]
    fn the_table_of_the_docs_is_true() {
        for (owned, covered, not_covered) in [
            ("orders", "orders", "orders:read *"),
            ("orders:*", "orders:read orders:read:own orders:* orders:*:own", "orders *"),
            ("*:read", "orders:read *:read", "orders:items:read orders:*"),
            ("orders:*:*", "orders:read:own orders:read:*", "orders:read orders:*"),
            ("*", "orders orders:read orders:* *:read * *:*", ""),
        ] {
            let owned = scope(owned);
            for text in covered.split_whitespace() {
                assert!(owned.covers(&scope(text)), "{owned} and {text}");
            }
            for text in not_covered.split_whitespace() {
                assert!(!owned.covers(&scope(text)), "{owned} and {text}");
            }
        }
    }

    #[test]
    fn names_are_compared_whole_and_with_case() {
        for (a, b) in [("order", "orders"), ("orders", "order"), ("orders", "Orders")] {
            assert!(!scope(a).covers(&scope(b)));
        }
    }

    #[test]
    fn each_mistake_is_told_apart() {
        assert_eq!("".parse::<Scope>(), Err(ScopeError::Empty));
        for text in [":", ":a", "a:", "a::b"] {
            let error = ScopeError::EmptySegment { scope: text.into() };
            assert_eq!(text.parse::<Scope>(), Err(error));
        }
        for (text, segment) in [("a*", "a*"), ("a:**", "**"), ("*b:c", "*b")] {
            let error = ScopeError::PartialWildcard { scope: text.into(), segment: segment.into() };
            assert_eq!(text.parse::<Scope>(), Err(error));
        }
        let error = ScopeError::InvalidCharacter { scope: "é:a".into(), position: 0, found: 'é' };
        assert_eq!("é:a".parse::<Scope>(), Err(error));
    }

    #[test]
    fn length_is_limited() {
        let longest = "a".repeat(Scope::MAX_LEN);
        assert_eq!(scope(&longest).as_str(), longest);
        let error = format!("{longest}a").parse::<Scope>().unwrap_err();
        assert_eq!(
            error,
            ScopeError::TooLong { start: format!("{}…", "a".repeat(40)).into(), length: 129 }
        );
    }

    #[test]
    fn every_character_of_a_scope_is_fit_for_a_scope_token() {
        // RFC 6749, section 3.3: scope-token = 1*( %x21 / %x23-5B / %x5D-7E )
        let is_token_char = |c| matches!(c, '\x21' | '\x23'..='\x5B' | '\x5D'..='\x7E');
        let allowed: String = ('\0'..='\u{10FFFF}').filter(|&c| is_scope_char(c)).collect();
        assert_eq!(allowed.len(), 26 + 26 + 10 + "._-:*".len());
        assert!(allowed.chars().all(is_token_char));
    }

    #[test]
    fn json_is_a_checked_string() {
        let json = serde_json::to_string(&scope("orders:*")).unwrap();
        assert_eq!(json, r#""orders:*""#);
        assert_eq!(serde_json::from_str::<Scope>(&json).unwrap(), scope("orders:*"));
        let error = serde_json::from_str::<Scope>(r#""orders:*x""#).unwrap_err();
        assert!(error.to_string().contains("stands alone"), "{error}");
    }

    #[test]
    fn toml_reads_scopes_too() {
        let table: toml::Table = toml::from_str(r#"scope = "orders:*""#).unwrap();
        let read: Scope = table["scope"].clone().try_into().unwrap();
        assert_eq!(read, scope("orders:*"));
    }

    /// Replaces the chosen segments by `*`, and all from `cut` on by one `*`.
    fn widened(scope: &Scope, choices: &[bool], cut: usize) -> Scope {
        let pick = |(segment, &choice)| if choice { "*" } else { segment };
        let mut segments: Vec<&str> =
            scope.as_str().split(Scope::SEPARATOR).zip(choices).map(pick).collect();
        if cut < segments.len() {
            segments.truncate(cut);
            segments.push("*");
        }
        segments.join(":").parse().unwrap()
    }

    proptest! {
        #[test]
        fn widening_twice_covers_all_the_way(
            text in "[A-Za-z0-9._-]{1,9}(:[A-Za-z0-9._-]{1,9}){0,7}",
            first in (prop::array::uniform8(any::<bool>()), 0..9_usize),
            second in (prop::array::uniform8(any::<bool>()), 0..9_usize),
        ) {
            let concrete = scope(&text);
            let wide = widened(&concrete, &first.0, first.1);
            let wider = widened(&wide, &second.0, second.1);
            prop_assert!(wide.covers(&concrete));
            prop_assert!(wider.covers(&wide));
            prop_assert!(wider.covers(&concrete));
            prop_assert!(!wide.covers(&wider) || wide == wider);
            prop_assert!(!concrete.covers(&wide) || concrete == wide);
        }

        #[test]
        fn scopes_read_back_from_their_text(
            text in r"(\*|[A-Za-z0-9._-]{1,9})(:(\*|[A-Za-z0-9._-]{1,9})){0,7}",
        ) {
            prop_assert_eq!(scope(&text).to_string(), text);
        }

        #[test]
        fn exactly_the_texts_of_the_grammar_are_scopes(text in "[aZ9.*:/ é-]{0,6}") {
            let is_name = |s: &str| !s.is_empty() && s.bytes().all(|b| b"aZ9.-".contains(&b));
            let is_scope = text.split(':').all(|s| s == "*" || is_name(s));
            prop_assert_eq!(text.parse::<Scope>().is_ok(), is_scope);
        }
    }
}
