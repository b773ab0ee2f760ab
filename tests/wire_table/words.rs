use std::collections::BTreeMap;

use keygate_tests::{IssuedKey, checksum, unknown_live_key};

/// What the words in braces stand for in one row.
#[derive(Clone, Debug)]
pub(crate) struct Words(BTreeMap<&'static str, String>);

impl Words {
    /// Texts that are no key, and one that might be.
    pub(crate) fn of_row(number: usize) -> Self {
        let sealed = |payload: &str| format!("{payload}{}", checksum(payload));
        let long = |length: usize| format!("kg_live_{}", "0".repeat(length - "kg_live_".len()));
        Self(BTreeMap::from([
            ("unknown", unknown_live_key(&number.to_string())),
            ("foreign", sealed("sk_live_00000000000000000000000000000000")),
            ("test", sealed("kg_test_00000000000000000000000000000000")),
            ("256", long(256)),
            ("257", long(257)),
        ]))
    }

    /// With a key, which is `{key}`, and what is wrong with copies of it.
    pub(crate) fn key(mut self, consumer: &str, IssuedKey { id, text }: IssuedKey) -> Self {
        let (start, last) = text.split_at(text.len() - 1);
        let typo = format!("{start}{}", if last == "0" { "1" } else { "0" });
        self.0.extend([("typo", typo), ("cut", start.to_owned()), ("key", text)]);
        self.0.extend([("consumer", consumer.to_owned()), ("id", id)]);
        self
    }

    /// With another key of the same kind.
    pub(crate) fn other(mut self, key: IssuedKey) -> Self {
        self.0.insert("other", key.text);
        self
    }

    /// The text with what its words in braces stand for.
    pub(crate) fn filled(&self, text: &str) -> String {
        let fill = |text: String, (word, value): (&&str, &String)| {
            text.replace(&format!("{{{word}}}"), value)
        };
        self.0.iter().fold(text.to_owned(), fill)
    }

    /// The text with words in braces for what differs between doors: each has keys of its own.
    pub(crate) fn veiled(&self, text: &str) -> String {
        let veil = |text: String, word| match self.0.get(word) {
            Some(value) => text.replace(value, &format!("{{{word}}}")),
            None => text,
        };
        ["id", "key", "other"].into_iter().fold(text.to_owned(), veil)
    }

    /// What no answer may repeat.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = &str> {
        ["key", "other", "typo"].into_iter().filter_map(|word| Some(self.0.get(word)?.as_str()))
    }
}
