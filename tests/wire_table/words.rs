use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
};

use keygate_tests::{IssuedKey, checksum, unknown_live_key};

/// What the words in braces stand for in one row.
#[derive(Clone, Debug)]
pub(crate) struct Words(BTreeMap<&'static str, String>);

impl Words {
    /// Texts that are no key, and one that might be. And addresses: of two clients, of the first of the
    /// proxies, and the first 48 bits of a network. They are this row's alone, and so is what they are charged.
    pub(crate) fn of_row(number: usize) -> Self {
        let number = u32::try_from(number).expect("few rows");
        let address = |first: [u8; 4]| {
            IpAddr::from(Ipv4Addr::from_bits(Ipv4Addr::from(first).to_bits() + 256 * number))
        };
        let proxy = address([10, 0, 0, 3]).to_string();
        let many = |count: usize, hop: &str| vec![hop; count].join(", ");
        let element = format!("for={proxy};proto=https");
        let sealed = |payload: &str| format!("{payload}{}", checksum(payload));
        let long = |length: usize| format!("kg_live_{}", "0".repeat(length - "kg_live_".len()));
        Self(BTreeMap::from([
            ("unknown", unknown_live_key(&number.to_string())),
            ("foreign", sealed("sk_live_00000000000000000000000000000000")),
            ("test", sealed("kg_test_00000000000000000000000000000000")),
            ("256", long(256)),
            ("257", long(257)),
            ("10000", long(10_000)),
            ("client", address([198, 18, 0, 7]).to_string()),
            ("neighbour", address([198, 18, 0, 8]).to_string()),
            ("net", format!("2001:db8:{:x}", number + 1)),
            ("31-proxies", many(31, &proxy)),
            ("32-proxies", many(32, &proxy)),
            ("3000-proxies", many(3_000, &proxy)),
            ("31-elements", many(31, &element)),
            ("32-elements", many(32, &element)),
            ("1000-elements", many(1_000, &element)),
            ("kilobyte", " ".repeat(1_024)),
            ("proxy", proxy),
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
