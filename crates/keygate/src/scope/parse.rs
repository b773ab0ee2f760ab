use std::fmt;

use super::{ScopeError, ScopeQuery, clip, query::Node};

/// Why a text is not a [`ScopeQuery`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScopeQueryError {
    /// Nothing was written. A route without a demand has no query at all.
    #[error("scope query: it is empty, write a scope such as `orders:read`, or `a & (b | c)`")]
    Empty,

    /// More than [`ScopeQuery::MAX_LEN`] bytes.
    #[error(
        "scope query {start:?}: it has {length} bytes without white space, \
         it may have at most {max}",
        max = ScopeQuery::MAX_LEN
    )]
    TooLong {
        /// How the query begins.
        start: Box<str>,
        /// Bytes in the whole query, white space not counted.
        length: usize,
    },

    /// More than [`ScopeQuery::MAX_DEPTH`] open parentheses.
    #[error(
        "scope query, {place}: found a `(` inside {max} others, expected at most {max} open at once",
        max = ScopeQuery::MAX_DEPTH
    )]
    TooDeep {
        /// Where the parenthesis opens.
        place: Place,
    },

    /// A scope is missing: before, after or between operators, or in `()`.
    #[error("scope query, {place}: found {found}, expected a scope or `(`")]
    MissingScope {
        /// Where the scope should be.
        place: Place,
        /// What is there instead.
        found: Box<str>,
    },

    /// Two scopes or parentheses stand side by side.
    #[error("scope query, {place}: found {found}, expected {expected}")]
    MissingOperator {
        /// Where the operator should be.
        place: Place,
        /// What is there instead.
        found: Box<str>,
        /// What may stand there.
        expected: &'static str,
    },

    /// A `(` without its `)`.
    #[error(
        "scope query, {place}: found the end, expected `&`, `|` or the `)` of the `(` at byte {open}"
    )]
    UnclosedParenthesis {
        /// The end of the query.
        place: Place,
        /// Where the parenthesis opens, in bytes from the start of the query.
        open: usize,
    },

    /// A `)` without its `(`.
    #[error("scope query, {place}: found a `)` without its `(`, expected `&`, `|` or the end")]
    UnopenedParenthesis {
        /// Where the `)` is.
        place: Place,
    },

    /// A word that is not a scope.
    #[error("scope query, {place}: found a word that is not a scope, expected one: {error}")]
    InvalidScope {
        /// Where the word begins.
        place: Place,
        /// What is wrong with it.
        error: ScopeError,
    },
}

/// A place in the text of a query.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Place {
    /// Bytes from the start of the query.
    pub position: usize,
    /// The query; of a long one only what is around the position, with `…` for the rest.
    pub query: Box<str>,
}

impl Place {
    fn of(query: &str, position: usize) -> Self {
        const REACH: usize = 96;
        let is_near = |index: usize| index.abs_diff(position) <= REACH;
        let before = (!is_near(0)).then_some('…');
        let after = (!is_near(query.len())).then_some('…');
        let near = query.char_indices().filter(|&(index, _)| is_near(index));
        let shown = before.into_iter().chain(near.map(|(_, c)| c)).chain(after);
        Self { position, query: shown.collect::<String>().into() }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "byte {} of {:?}", self.position, self.query)
    }
}

pub(super) fn parse(query: &str) -> Result<Node, ScopeQueryError> {
    let length = query.bytes().filter(|b| !b.is_ascii_whitespace()).count();
    if length == 0 {
        return Err(ScopeQueryError::Empty);
    }
    if length > ScopeQuery::MAX_LEN {
        return Err(ScopeQueryError::TooLong { start: clip(query), length });
    }
    Parser::new(query).whole()
}

/// Recursive descent, one function for each rule of the grammar.
struct Parser<'q> {
    query: &'q str,
    /// What is still to be read; never begins with white space.
    rest: &'q str,
    depth: usize,
}

impl<'q> Parser<'q> {
    fn new(query: &'q str) -> Self {
        Self { query, rest: query.trim_ascii_start(), depth: 0 }
    }

    fn whole(mut self) -> Result<Node, ScopeQueryError> {
        let node = self.query()?;
        match self.next_char() {
            None => Ok(node),
            Some(')') => Err(ScopeQueryError::UnopenedParenthesis { place: self.place() }),
            Some(_) => Err(self.missing_operator("`&`, `|` or the end")),
        }
    }

    fn query(&mut self) -> Result<Node, ScopeQueryError> {
        let first = self.all()?;
        let mut others = Vec::new();
        while self.eat('|') {
            others.push(self.all()?);
        }
        Ok(Node::any(first, others))
    }

    fn all(&mut self) -> Result<Node, ScopeQueryError> {
        let first = self.term()?;
        let mut others = Vec::new();
        while self.eat('&') {
            others.push(self.term()?);
        }
        Ok(Node::all(first, others))
    }

    fn term(&mut self) -> Result<Node, ScopeQueryError> {
        match self.next_char() {
            Some('(') => self.group(),
            None | Some('&' | '|' | ')') => {
                Err(ScopeQueryError::MissingScope { place: self.place(), found: self.found() })
            }
            Some(_) => self.scope(),
        }
    }

    fn group(&mut self) -> Result<Node, ScopeQueryError> {
        if self.depth == ScopeQuery::MAX_DEPTH {
            return Err(ScopeQueryError::TooDeep { place: self.place() });
        }
        let open = self.position();
        self.depth += 1;
        self.eat('(');
        let node = self.query()?;
        if self.eat(')') {
            self.depth -= 1;
            return Ok(node);
        }
        Err(match self.next_char() {
            None => ScopeQueryError::UnclosedParenthesis { place: self.place(), open },
            Some(_) => self.missing_operator("`&`, `|` or `)`"),
        })
    }

    fn scope(&mut self) -> Result<Node, ScopeQueryError> {
        let (word, rest) = self.split_word();
        let scope = word
            .parse()
            .map_err(|error| ScopeQueryError::InvalidScope { place: self.place(), error })?;
        self.rest = rest.trim_ascii_start();
        Ok(Node::Scope(scope))
    }

    fn next_char(&self) -> Option<char> {
        self.rest.chars().next()
    }

    /// Steps over `symbol` if it comes next, and says whether it did.
    fn eat(&mut self, symbol: char) -> bool {
        let Some(rest) = self.rest.strip_prefix(symbol) else {
            return false;
        };
        self.rest = rest.trim_ascii_start();
        true
    }

    fn split_word(&self) -> (&'q str, &'q str) {
        let ends_word = |c: char| is_symbol(c) || c.is_ascii_whitespace();
        let end = self.rest.find(ends_word).unwrap_or(self.rest.len());
        self.rest.split_at_checked(end).unwrap_or((self.rest, ""))
    }

    fn place(&self) -> Place {
        Place::of(self.query, self.position())
    }

    fn position(&self) -> usize {
        self.query.len() - self.rest.len()
    }

    fn missing_operator(&self, expected: &'static str) -> ScopeQueryError {
        ScopeQueryError::MissingOperator { place: self.place(), found: self.found(), expected }
    }

    /// What comes next, in words for an error message.
    fn found(&self) -> Box<str> {
        match self.next_char() {
            None => "the end".into(),
            Some(symbol) if is_symbol(symbol) => format!("`{symbol}`").into(),
            Some(_) => format!("{:?}", clip(self.split_word().0)).into(),
        }
    }
}

fn is_symbol(c: char) -> bool {
    matches!(c, '&' | '|' | '(' | ')')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn message(query: &str) -> String {
        parse(query).unwrap_err().to_string()
    }

    #[track_caller]
    fn says(query: &str, what: &str) {
        assert_eq!(message(query), format!("scope query, {what}"));
    }

    /// Whether tokens are a query, by rewriting until nothing changes: no parser is needed to know.
    fn reduces_to_a_scope(tokens: &[&str]) -> bool {
        let mut text = tokens.concat();
        loop {
            let shorter =
                text.replacen("(a)", "a", 1).replacen("a&a", "a", 1).replacen("a|a", "a", 1);
            if shorter == text {
                return text == "a";
            }
            text = shorter;
        }
    }

    #[test]
    fn an_empty_query_is_told_what_to_write() {
        for query in ["", " ", "\t\r\n "] {
            assert_eq!(parse(query), Err(ScopeQueryError::Empty));
        }
        assert!(message("").contains("write a scope such as `orders:read`"));
    }

    #[test]
    fn a_missing_scope_is_reported_where_it_should_be() {
        says("& a", r#"byte 0 of "& a": found `&`, expected a scope or `(`"#);
        says("a && b", r#"byte 3 of "a && b": found `&`, expected a scope or `(`"#);
        says("a | ", r#"byte 4 of "a | ": found the end, expected a scope or `(`"#);
        says("a & ()", r#"byte 5 of "a & ()": found `)`, expected a scope or `(`"#);
        says("(", r#"byte 1 of "(": found the end, expected a scope or `(`"#);
    }

    #[test]
    fn a_missing_operator_is_reported_with_what_may_follow() {
        says("a b", r#"byte 2 of "a b": found "b", expected `&`, `|` or the end"#);
        says("a (b)", r#"byte 2 of "a (b)": found `(`, expected `&`, `|` or the end"#);
        says("(a b)", r#"byte 3 of "(a b)": found "b", expected `&`, `|` or `)`"#);
    }

    #[test]
    fn unbalanced_parentheses_are_told_apart() {
        says(
            "a & (b",
            r#"byte 6 of "a & (b": found the end, expected `&`, `|` or the `)` of the `(` at byte 4"#,
        );
        says("a)", r#"byte 1 of "a)": found a `)` without its `(`, expected `&`, `|` or the end"#);
    }

    #[test]
    fn a_bad_word_is_reported_with_its_own_mistake() {
        let error = parse("a &\n b,c").unwrap_err();
        let ScopeQueryError::InvalidScope { place, error } = error else {
            panic!("{error}");
        };
        assert_eq!((place.position, &*place.query), (5, "a &\n b,c"));
        assert_eq!(
            error,
            ScopeError::InvalidCharacter { scope: "b,c".into(), position: 1, found: ',' }
        );
        assert!(message("a\u{a0}&\u{a0}b").contains(r"has '\u{a0}' at byte 1"));
        assert!(message("!a").contains("has '!' at byte 0"));
    }

    #[test]
    fn parentheses_nest_so_deep_and_no_deeper() {
        let nested = |depth| format!("{}a{}", "(".repeat(depth), ")".repeat(depth));
        assert!(parse(&nested(ScopeQuery::MAX_DEPTH)).is_ok());
        let error = parse(&nested(ScopeQuery::MAX_DEPTH + 1)).unwrap_err();
        assert!(
            matches!(&error, ScopeQueryError::TooDeep { place } if place.position == 16),
            "{error}"
        );
    }

    #[test]
    fn depth_counts_open_parentheses_not_all() {
        let groups = vec!["((a))"; 40].join("&");
        assert!(parse(&groups).is_ok());
    }

    #[test]
    fn length_is_limited_without_white_space() {
        let longest = vec!["abc"; 256].join(" \n & ");
        assert!(longest.len() > ScopeQuery::MAX_LEN);
        assert!(parse(&longest).is_ok());
        let error = parse(&format!("{longest}de")).unwrap_err();
        assert!(matches!(error, ScopeQueryError::TooLong { length: 1025, .. }), "{error}");
        assert!(error.to_string().len() < 200, "{error}");
    }

    #[test]
    fn hostile_texts_are_refused_at_once_in_a_short_message() {
        for unit in ["(", "a&", "a|(", ")", "é", "\0"] {
            let text = unit.repeat(100_000);
            assert!(matches!(parse(&text), Err(ScopeQueryError::TooLong { .. })));
        }
        let spread = format!("{}a{}b", " ".repeat(100_000), " ".repeat(100_000));
        let message = message(&spread);
        assert!(message.contains("byte 200001 of \"… "), "{message}");
        assert!(message.len() < 400, "{message}");
    }

    #[test]
    fn a_long_query_is_quoted_around_the_mistake() {
        let place = Place::of(&format!("{}é?é{}", "a".repeat(150), "b".repeat(150)), 152);
        let around = format!("…{}é?é{}…", "a".repeat(94), "b".repeat(94));
        assert_eq!(*place.query, around);
    }

    #[test]
    fn exactly_the_texts_of_the_grammar_are_queries() {
        let mut texts = vec![Vec::new()];
        for _ in 0..6 {
            for tokens in &texts {
                let is_query = reduces_to_a_scope(tokens);
                assert_eq!(parse(&tokens.join(" ")).is_ok(), is_query, "{tokens:?}");
            }
            let longer =
                |tokens: &Vec<_>| ["a", "&", "|", "(", ")"].map(|t| [&tokens[..], &[t]].concat());
            texts = texts.iter().flat_map(longer).collect();
        }
    }

    proptest! {
        #[test]
        fn any_text_gets_an_answer(text in "[a*:&|() é\\PC]{0,60}") {
            if let Err(error) = parse(&text) {
                prop_assert!(error.to_string().starts_with("scope query"));
            }
        }
    }
}
