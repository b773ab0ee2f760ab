use std::{fmt, iter, str::FromStr};

use super::{
    Scope,
    parse::{self, ScopeQueryError},
};

/// What a route demands: scopes joined by `&` (all of them) and `|` (one of them).
///
/// ```text
/// query = all *( "|" all )
/// all   = term *( "&" term )
/// term  = scope / "(" query ")"
/// ```
///
/// `&` binds tighter than `|`, and ASCII white space between the parts means nothing. A query has
/// at most [`MAX_LEN`](Self::MAX_LEN) bytes and [`MAX_DEPTH`](Self::MAX_DEPTH) nested parentheses,
/// so a hostile text costs little and cannot exhaust the stack. There is no negation: more scopes
/// never open less.
///
/// A wildcard in a query demands a wildcard: `orders:*` is met by `orders:*` or `*`, not by
/// `orders:read`.
///
/// Two queries are equal when they differ only in white space and in parentheses that change
/// nothing; `a & b` and `b & a` differ. `Display` writes the form without such parentheses, which
/// reads back as the same query.
///
/// ```
/// use keygate::scope::ScopeQuery;
///
/// let query = ScopeQuery::parse("((orders:write)&(eu|(admin)))")?;
/// assert_eq!(query.to_string(), "orders:write & (eu | admin)");
/// assert_eq!(query, "orders:write & (eu | admin)".parse()?);
/// # Ok::<(), keygate::scope::ScopeQueryError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ScopeQuery(Node);

impl ScopeQuery {
    /// The longest query, in bytes, white space not counted: laying a query out over lines, or
    /// writing it in the form of `Display`, never makes it too long.
    pub const MAX_LEN: usize = 1024;

    /// How many parentheses may be open at once.
    pub const MAX_DEPTH: usize = 16;

    /// Reads a query.
    ///
    /// # Errors
    ///
    /// [`ScopeQueryError`], one variant a mistake. It says where the mistake is, what was found
    /// there and what was expected.
    ///
    /// ```
    /// use keygate::scope::ScopeQuery;
    ///
    /// let error = ScopeQuery::parse("eu & ").unwrap_err();
    /// assert_eq!(
    ///     error.to_string(),
    ///     r#"scope query, byte 5 of "eu & ": found the end, expected a scope or `(`"#,
    /// );
    /// ```
    pub fn parse(query: &str) -> Result<Self, ScopeQueryError> {
        parse::parse(query).map(Self)
    }

    /// Whether the demand is met when `granted` says which scopes are held.
    ///
    /// `granted` should be a pure function: it is asked from left to right and only until the
    /// answer is known. Allocates nothing.
    ///
    /// ```
    /// use keygate::scope::{ScopeQuery, ScopeSet};
    ///
    /// let query = ScopeQuery::parse("orders:read | admin")?;
    /// let granted = ScopeSet::parse(["orders:*"])?;
    /// assert!(query.is_met_by(|scope| granted.covers(scope)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn is_met_by(&self, granted: impl Fn(&Scope) -> bool + Copy) -> bool {
        self.0.is_met_by(granted)
    }

    /// The scopes of the query from left to right, repeats included.
    ///
    /// The list forgets `&` and `|`. It is what the `scope` attribute of an OAuth challenge
    /// ([RFC 6750, section 3]) can say: a client that holds all of them meets the query.
    ///
    /// ```
    /// use keygate::scope::ScopeQuery;
    ///
    /// let query = ScopeQuery::parse("orders:write & (eu | admin)")?;
    /// let scopes: Vec<_> = query.scopes().map(|scope| scope.as_str()).collect();
    /// assert_eq!(scopes, ["orders:write", "eu", "admin"]);
    /// # Ok::<(), keygate::scope::ScopeQueryError>(())
    /// ```
    ///
    /// [RFC 6750, section 3]: https://www.rfc-editor.org/rfc/rfc6750#section-3
    pub fn scopes(&self) -> impl Iterator<Item = &Scope> {
        let mut pending = vec![&self.0];
        iter::from_fn(move || {
            loop {
                match pending.pop()? {
                    Node::Scope(scope) => return Some(scope),
                    Node::All(nodes) | Node::Any(nodes) => pending.extend(nodes.iter().rev()),
                }
            }
        })
    }
}

impl FromStr for ScopeQuery {
    type Err = ScopeQueryError;

    fn from_str(query: &str) -> Result<Self, Self::Err> {
        Self::parse(query)
    }
}

impl TryFrom<&str> for ScopeQuery {
    type Error = ScopeQueryError;

    fn try_from(query: &str) -> Result<Self, Self::Error> {
        Self::parse(query)
    }
}

impl From<Scope> for ScopeQuery {
    fn from(scope: Scope) -> Self {
        Self(Node::Scope(scope))
    }
}

impl fmt::Display for ScopeQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A query as a tree. Operators hold two nodes or more, none with the same operator: then each
/// query has one tree, and no operator is met by having nothing to ask.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Node {
    Scope(Scope),
    All(Vec<Node>),
    Any(Vec<Node>),
}

impl Node {
    /// `first`, or `first` and the `others` under `&`.
    pub(super) fn all(first: Self, others: Vec<Self>) -> Self {
        join(first, others, Self::All, |node| match node {
            Self::All(nodes) => nodes,
            node => vec![node],
        })
    }

    /// `first`, or `first` and the `others` under `|`.
    pub(super) fn any(first: Self, others: Vec<Self>) -> Self {
        join(first, others, Self::Any, |node| match node {
            Self::Any(nodes) => nodes,
            node => vec![node],
        })
    }

    fn is_met_by(&self, granted: impl Fn(&Scope) -> bool + Copy) -> bool {
        match self {
            Self::Scope(scope) => granted(scope),
            Self::All(nodes) => nodes.iter().all(|node| node.is_met_by(granted)),
            Self::Any(nodes) => nodes.iter().any(|node| node.is_met_by(granted)),
        }
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scope(scope) => scope.fmt(f),
            Self::All(nodes) => write_joined(f, nodes, " & "),
            Self::Any(nodes) => write_joined(f, nodes, " | "),
        }
    }
}

fn join(
    first: Node,
    others: Vec<Node>,
    operator: fn(Vec<Node>) -> Node,
    flatten: fn(Node) -> Vec<Node>,
) -> Node {
    if others.is_empty() {
        return first;
    }
    operator(iter::once(first).chain(others).flat_map(flatten).collect())
}

/// Only `|` under `&` needs parentheses, and a `|` under an operator is always under `&`.
fn write_joined(f: &mut fmt::Formatter<'_>, nodes: &[Node], operator: &str) -> fmt::Result {
    for (index, node) in nodes.iter().enumerate() {
        if index > 0 {
            f.write_str(operator)?;
        }
        match node {
            Node::Any(_) => write!(f, "({node})")?,
            Node::Scope(_) | Node::All(_) => write!(f, "{node}")?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NAMES: [&str; 4] = ["a", "b:c", "d:*", "*"];

    /// A demand built, written and evaluated without the parser.
    #[derive(Clone, Debug)]
    enum Demand {
        Name(usize),
        And(Box<Written>, Box<Written>),
        Or(Box<Written>, Box<Written>),
    }

    /// A demand and how it is written: with how many parentheses nobody needs, with which gaps.
    #[derive(Clone, Debug)]
    struct Written {
        demand: Demand,
        parentheses: usize,
        gap: &'static str,
    }

    impl Written {
        fn text(&self) -> String {
            let gap = self.gap;
            let text = match &self.demand {
                Demand::Name(name) => NAMES[*name].to_owned(),
                Demand::And(a, b) => format!("{}{gap}&{gap}{}", a.factor(), b.factor()),
                Demand::Or(a, b) => format!("{}{gap}|{gap}{}", a.text(), b.text()),
            };
            (0..self.parentheses).fold(text, |text, _| format!("({gap}{text}{gap})"))
        }

        /// The text under `&`, where `|` needs parentheses.
        fn factor(&self) -> String {
            match self.demand {
                Demand::Or(..) if self.parentheses == 0 => format!("({})", self.text()),
                _ => self.text(),
            }
        }

        fn is_met(&self, held: [bool; 4]) -> bool {
            match &self.demand {
                Demand::Name(name) => held[*name],
                Demand::And(a, b) => a.is_met(held) & b.is_met(held),
                Demand::Or(a, b) => a.is_met(held) | b.is_met(held),
            }
        }

        fn names(&self) -> Vec<&'static str> {
            match &self.demand {
                Demand::Name(name) => vec![NAMES[*name]],
                Demand::And(a, b) | Demand::Or(a, b) => [a.names(), b.names()].concat(),
            }
        }
    }

    fn written() -> impl Strategy<Value = Written> {
        let dress = |demand: BoxedStrategy<Demand>| {
            let gap = prop::sample::select(vec!["", " ", "\t\n "]);
            (demand, 0..2_usize, gap).prop_map(|(demand, parentheses, gap)| Written {
                demand,
                parentheses,
                gap,
            })
        };
        let leaf = dress((0..NAMES.len()).prop_map(Demand::Name).boxed());
        leaf.prop_recursive(5, 24, 2, move |inner| {
            let pair = (inner.clone().prop_map(Box::new), inner.prop_map(Box::new));
            let and = pair.clone().prop_map(|(a, b)| Demand::And(a, b));
            let or = pair.prop_map(|(a, b)| Demand::Or(a, b));
            dress(prop_oneof![and, or].boxed())
        })
    }

    fn truth_tables() -> impl Iterator<Item = [bool; 4]> {
        (0..16_u8).map(|row| [0, 1, 2, 3].map(|bit| row & (1 << bit) != 0))
    }

    #[track_caller]
    fn query(text: &str) -> ScopeQuery {
        text.parse().unwrap()
    }

    /// Each text that is left when one pair of parentheses is taken away.
    fn without_one_pair(text: &str) -> Vec<String> {
        let mut open = Vec::new();
        let mut texts = Vec::new();
        for (index, c) in text.char_indices() {
            match c {
                '(' => open.push(index),
                ')' => {
                    let start = open.pop().unwrap();
                    let kept = text.char_indices().filter(|&(i, _)| i != start && i != index);
                    texts.push(kept.map(|(_, c)| c).collect());
                }
                _ => {}
            }
        }
        texts
    }

    #[test]
    fn and_binds_tighter_than_or() {
        assert_eq!(query("a & b | c & d"), query("(a & b) | (c & d)"));
        assert_ne!(query("a & b | c"), query("a & (b | c)"));
        let only_c = |scope: &Scope| scope.as_str() == "c";
        assert!(query("a & b | c").is_met_by(only_c));
        assert!(!query("a & (b | c)").is_met_by(only_c));
    }

    #[test]
    fn display_keeps_only_the_parentheses_that_matter() {
        for (text, shortest) in [
            ("((a))", "a"),
            ("a&(b&c)", "a & b & c"),
            ("(a|b)|c", "a | b | c"),
            ("(a&b)|c", "a & b | c"),
            ("(a|b)&c", "(a | b) & c"),
            ("a&((b|c)&(d))", "a & (b | c) & d"),
            ("b|a|b", "b | a | b"),
        ] {
            assert_eq!(query(text).to_string(), shortest);
        }
    }

    #[test]
    fn the_longest_query_reads_back_from_its_display() {
        let longest = vec!["a"; ScopeQuery::MAX_LEN / 2].join("&");
        let parsed = query(&longest);
        assert_eq!(query(&parsed.to_string()), parsed);
    }

    #[test]
    fn a_scope_is_a_query() {
        let scope: Scope = "orders:*".parse().unwrap();
        assert_eq!(ScopeQuery::from(scope), query(" orders:* "));
    }

    #[test]
    fn a_wildcard_demand_needs_a_wildcard_grant() {
        let demand = query("orders:*");
        let met_by = |granted: &str| {
            let granted: Scope = granted.parse().unwrap();
            demand.is_met_by(|scope| granted.covers(scope))
        };
        assert!(met_by("orders:*"));
        assert!(met_by("*"));
        assert!(!met_by("orders:read"));
    }

    proptest! {
        #[test]
        fn a_query_means_what_was_written(written in written()) {
            let parsed = query(&written.text());
            for held in truth_tables() {
                let granted = |scope: &Scope| {
                    NAMES.iter().zip(held).any(|(name, held)| held && *name == scope.as_str())
                };
                prop_assert_eq!(parsed.is_met_by(granted), written.is_met(held));
            }
        }

        #[test]
        fn scopes_come_in_the_order_written(written in written()) {
            let parsed = query(&written.text());
            let scopes: Vec<_> = parsed.scopes().map(Scope::as_str).collect();
            prop_assert_eq!(scopes, written.names());
        }

        #[test]
        fn display_reads_back_as_the_same_query(written in written()) {
            let parsed = query(&written.text());
            let shown = parsed.to_string();
            prop_assert_eq!(query(&shown), parsed);
        }

        #[test]
        fn display_has_no_parentheses_to_spare(written in written()) {
            let parsed = query(&written.text());
            for shorter in without_one_pair(&parsed.to_string()) {
                prop_assert_ne!(query(&shorter), parsed.clone());
            }
        }

        #[test]
        fn holding_more_never_opens_less(written in written()) {
            let parsed = query(&written.text());
            let met = |held: [bool; 4]| {
                parsed.is_met_by(|scope| {
                    NAMES.iter().zip(held).any(|(name, held)| held && *name == scope.as_str())
                })
            };
            for held in truth_tables().filter(|&held| met(held)) {
                for more in 0..held.len() {
                    let mut held = held;
                    held[more] = true;
                    prop_assert!(met(held));
                }
            }
        }
    }
}
