use std::{collections::BTreeMap, thread};

use keygate_tests::{Api, IssuedKey, Keygate, RedisServer, Replica, calm_zone};

use crate::{
    files::{Table, key_kinds},
    row::{Fate, KeyKind, Row},
    words::Words,
};

/// Keys are issued by so many commands at once.
const COMMANDS: usize = 4;

/// Plans that are there when keys are issued, and not when they are used.
const GONE: &str = "\n[plans.gone]\n";

/// One API, with a Redis of its own.
pub(crate) struct Door {
    pub(crate) api: Replica,
    /// Of each row.
    pub(crate) words: Vec<Words>,
    _redis: RedisServer,
}

impl Door {
    /// With a key for each row that has one.
    #[track_caller]
    pub(crate) fn open(api: fn(&str) -> Api, table: &Table) -> Self {
        let redis = RedisServer::start();
        let issuer = Issuer { keygate: Keygate::at(&redis.url()), kinds: key_kinds() };
        let plans = include_str!("plans.toml").replace("{zone}", calm_zone());
        issuer.keygate.apply(&(plans.clone() + GONE));
        let words = issuer.words_of(&table.rows);
        issuer.keygate.force(&plans);
        let told = |api: Api, (name, value): (&String, &String)| api.env(name, value);
        let api = table.environment.iter().fold(api(&redis.url()).patient(), told).start();
        Self { api, words, _redis: redis }
    }
}

struct Issuer {
    keygate: Keygate,
    kinds: BTreeMap<String, KeyKind>,
}

impl Issuer {
    fn words_of(&self, rows: &[Row]) -> Vec<Words> {
        let numbered: Vec<_> = rows.iter().enumerate().collect();
        thread::scope(|scope| {
            let words = |share: &[(usize, &Row)]| {
                share.iter().map(|(number, row)| self.words(*number, row)).collect()
            };
            let issue = |share| scope.spawn(move || -> Vec<_> { words(share) });
            let shares = numbered.chunks(rows.len().div_ceil(COMMANDS));
            let running: Vec<_> = shares.map(issue).collect();
            running.into_iter().flat_map(|it| it.join().expect("no thread fails")).collect()
        })
    }

    fn words(&self, number: usize, row: &Row) -> Words {
        let (words, consumer) = (Words::of_row(number), format!("consumer-{number}"));
        let Some(name) = &row.key else { return words };
        let kind = self.kinds.get(name).unwrap_or_else(|| panic!("no key `{name}`"));
        let words = words.key(&consumer, self.issue(&consumer, kind));
        if row.mentions("{other}") { words.other(self.issue(&consumer, kind)) } else { words }
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
