use std::{
    collections::{BTreeMap, BTreeSet},
    thread,
};

use keygate_tests::{
    Answer, Api, IssuedKey, Keygate, Raw, RedisServer, Replica, calm_zone, checksum,
    unknown_live_key,
};

use crate::{
    expected::Expected,
    row::{Fate, KeyKind, Row, key_kinds},
};

/// Keys are issued by so many commands at once.
const COMMANDS: usize = 4;

/// Plans that are there when keys are issued, and not when they are used.
const GONE: &str = "\n[plans.gone]\n";

/// One API, with a Redis of its own.
pub(crate) struct Door {
    api: fn(&str) -> Api,
    keygate: Keygate,
    redis: RedisServer,
}

/// What a row was answered.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) row: Row,
    /// Nothing if the server hung up instead.
    pub(crate) answer: Option<Answer>,
    /// What the words in braces stood for.
    words: BTreeMap<&'static str, String>,
}

impl Door {
    #[track_caller]
    pub(crate) fn open(api: fn(&str) -> Api) -> Self {
        let redis = RedisServer::start();
        Self { api, keygate: Keygate::at(&redis.url()), redis }
    }

    /// Sends each row, on a connection of its own.
    #[track_caller]
    pub(crate) fn answers(&self, rows: &[Row]) -> Vec<Answered> {
        let plans = include_str!("plans.toml").replace("{zone}", calm_zone());
        self.keygate.apply(&(plans.clone() + GONE));
        let words = self.all_words(rows);
        self.keygate.force(&plans);
        let api = (self.api)(&self.redis.url()).patient().start();
        rows.iter().zip(words).map(|(row, words)| Answered::of(&api, row, words)).collect()
    }

    fn all_words(&self, rows: &[Row]) -> Vec<BTreeMap<&'static str, String>> {
        let (kinds, shares) = (&key_kinds(), rows.len().div_ceil(COMMANDS));
        let numbered: Vec<_> = rows.iter().enumerate().collect();
        thread::scope(|scope| {
            let words = |share: &[(usize, &Row)]| {
                share.iter().map(|(number, row)| self.words(*number, row, kinds)).collect()
            };
            let issue = |share| scope.spawn(move || -> Vec<_> { words(share) });
            let running: Vec<_> = numbered.chunks(shares).map(issue).collect();
            running.into_iter().flat_map(|it| it.join().expect("no thread fails")).collect()
        })
    }

    fn words(
        &self,
        number: usize,
        row: &Row,
        kinds: &BTreeMap<String, KeyKind>,
    ) -> BTreeMap<&'static str, String> {
        let sealed = |payload: &str| format!("{payload}{}", checksum(payload));
        let long = |length: usize| format!("kg_live_{}", "0".repeat(length - "kg_live_".len()));
        let mut words = BTreeMap::from([
            ("unknown", unknown_live_key(&number.to_string())),
            ("foreign", sealed("sk_live_00000000000000000000000000000000")),
            ("test", sealed("kg_test_00000000000000000000000000000000")),
            ("256", long(256)),
            ("257", long(257)),
        ]);
        if let Some(name) = &row.key {
            let consumer = format!("consumer-{number}");
            let kind = kinds.get(name).unwrap_or_else(|| panic!("no key `{name}`"));
            let IssuedKey { id, text } = self.issue(&consumer, kind);
            if row.mentions("{other}") {
                words.insert("other", self.issue(&consumer, kind).text);
            }
            let (start, last) = text.split_at(text.len() - 1);
            words.insert("typo", format!("{start}{}", if last == "0" { "1" } else { "0" }));
            words.insert("cut", start.to_owned());
            words.extend([("consumer", consumer), ("id", id), ("key", text)]);
        }
        words
    }

    fn issue(&self, consumer: &str, kind: &KeyKind) -> IssuedKey {
        let options: Vec<_> = kind.options.iter().map(String::as_str).collect();
        let key = self.keygate.issue_so(consumer, &kind.plan, &options);
        match kind.becomes {
            None => {}
            Some(Fate::Disabled) => self.keygate.disable(&key),
            Some(Fate::Revoked) => self.keygate.revoke(&key),
            Some(Fate::Replaced) => self.keygate.replace(&key),
        }
        key
    }
}

impl Row {
    fn mentions(&self, word: &str) -> bool {
        self.send.contains(word) || self.headers.iter().any(|header| header.contains(word))
    }

    fn bytes(&self, line: &str) -> String {
        let version = if line.contains(" HTTP/") { "" } else { " HTTP/1.1" };
        let headers: String = self.headers.iter().map(|it| format!("{it}\r\n")).collect();
        let body = self.body.as_deref().unwrap_or_default();
        let length = match body.len() {
            0 => String::new(),
            length => format!("content-length: {length}\r\n"),
        };
        format!("{line}{version}\r\nhost: test\r\n{headers}{length}\r\n{body}")
    }
}

impl Answered {
    #[track_caller]
    fn of(api: &Replica, row: &Row, words: BTreeMap<&'static str, String>) -> Self {
        let mut answered = Self { row: row.clone(), answer: None, words };
        for line in row.before.iter().chain([&row.send]) {
            let mut raw = Raw::connect(api.address());
            raw.write(answered.filled(&row.bytes(line)));
            let bodiless = line.starts_with("HEAD ");
            answered.answer = if bodiless { raw.answer_without_body() } else { raw.answer() };
        }
        answered
    }

    /// The text with what its words in braces stand for.
    pub(crate) fn filled(&self, text: &str) -> String {
        let fill = |text: String, (word, value): (&&str, &String)| {
            text.replace(&format!("{{{word}}}"), value)
        };
        self.words.iter().fold(text.to_owned(), fill)
    }

    /// The text with words in braces for what differs between the doors: each has keys of its own.
    pub(crate) fn veiled(&self, text: &str) -> String {
        let own =
            ["id", "key", "other"].into_iter().filter_map(|it| Some((it, self.words.get(it)?)));
        own.fold(text.to_owned(), |text, (word, value)| text.replace(value, &format!("{{{word}}}")))
    }

    /// # Errors
    /// What is not as the row says.
    pub(crate) fn check(&self) -> Result<(), String> {
        let wrong = |wrong: String| format!("{}\n  {}\n{wrong}", self.row.it, self.row.send);
        let answer = self.answer.as_ref().ok_or_else(|| wrong("  no answer".to_owned()))?;
        let faults = Expected::of(self).faults_of(answer);
        let secrets = ["key", "other", "typo"].iter().filter_map(|word| self.words.get(word));
        let told =
            secrets.filter(|secret| answer.holds(secret)).map(|_| "  repeats a key".to_owned());
        let faults: BTreeSet<_> = faults.into_iter().chain(told).collect();
        if faults.is_empty() {
            return Ok(());
        }
        Err(wrong(faults.into_iter().collect::<Vec<_>>().join("\n")))
    }
}
