use std::{collections::BTreeMap, sync::Arc};

use chrono::{DateTime, TimeDelta, Utc};

use super::KeyHarness;
use crate::{
    conformance::{require, require_eq, sound},
    key::{Digester, KeyId},
    plan::Name,
    port::{Commit, KeyFilter, KeyStore},
    record::{ConsumerId, KeyRecord, KeyStatus},
};

/// When the records of a suite were made: to the microsecond, which a store must keep.
const CREATED_MICROS: i64 = 1_767_225_599_999_999;

/// A consumer that nobody else knows, at a store.
#[derive(Clone)]
pub(super) struct Scene {
    pub(super) law: &'static str,
    pub(super) consumer: ConsumerId,
    store: Arc<dyn KeyStore>,
}

impl Scene {
    pub(super) fn new(law: &'static str, harness: &dyn KeyHarness) -> Self {
        let unique = format!("{law}-{}", sound(KeyId::random(), law));
        Self { law, consumer: sound(ConsumerId::parse(&unique), law), store: harness.store() }
    }

    /// A record that is not in the store.
    pub(super) fn record(&self) -> KeyRecord {
        let id = sound(KeyId::random(), self.law);
        let text = format!("the text of {id}");
        KeyRecord {
            id,
            digest: Digester::sha256().digest(text.as_bytes()),
            hint: sound("kg_test_…1234".parse(), self.law),
            name: String::new(),
            consumer: self.consumer.clone(),
            plan: sound(Name::parse("free"), self.law),
            scopes: [].into_iter().collect(),
            attributes: BTreeMap::new(),
            constraints: Vec::new(),
            status: KeyStatus::Active,
            created: created(),
            not_before: None,
            expires: None,
            lineage: id,
            successor: None,
            revision: 0,
        }
    }

    /// A record that is not in the store, with something in every field.
    pub(super) fn full_record(&self) -> KeyRecord {
        let (plain, other) = (self.record(), self.record());
        let scopes = ["orders:read", "search:*"].map(str::parse);
        let attributes = [("country", "FR"), ("été \"'\\\n\0", ""), ("", "{}:*")];
        KeyRecord {
            name: "CI, naïve; 日本語 'quoted'".to_owned(),
            scopes: sound(scopes.into_iter().collect::<Result<_, _>>(), self.law),
            attributes: attributes.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            not_before: created().checked_add_signed(TimeDelta::microseconds(1)),
            expires: created().checked_add_signed(TimeDelta::days(36_500)),
            lineage: other.id,
            successor: Some(other.id),
            ..plain
        }
    }

    pub(super) async fn try_commit(&self, records: &[KeyRecord]) -> Commit {
        sound(self.store.commit(records).await, self.law)
    }

    /// Commits what must not conflict.
    pub(super) async fn commit(&self, records: &[KeyRecord]) {
        let commit = self.try_commit(records).await;
        require_eq(&commit, &Commit::Done, self.law, "a commit of what fits");
    }

    /// Commits what must conflict.
    pub(super) async fn conflict(&self, records: &[KeyRecord], what: &str) {
        let commit = self.try_commit(records).await;
        require_eq(&commit, &Commit::Conflict, self.law, what);
    }

    /// Every way to read must show this record.
    pub(super) async fn shows(&self, record: &KeyRecord) {
        let found = sound(self.store.find(&record.digest).await, self.law);
        require_eq(&found.as_deref(), &Some(record), self.law, "found by digest");
        let loaded = sound(self.store.load(record.id).await, self.law);
        require_eq(&loaded.as_deref(), &Some(record), self.law, "loaded by id");
        let listed = self.list(&self.filter().status(record.status)).await;
        let listed = listed.iter().find(|other| other.id == record.id);
        require_eq(&listed.map(|listed| &**listed), &Some(record), self.law, "listed");
        let other = match record.status {
            KeyStatus::Active => KeyStatus::Revoked,
            KeyStatus::Disabled | KeyStatus::Revoked => KeyStatus::Active,
        };
        let listed = self.list(&self.filter().status(other)).await;
        let stale = listed.iter().any(|other| other.id == record.id);
        require(!stale, self.law, "listed under another status than its own");
    }

    /// No way to read may show this record.
    pub(super) async fn hides(&self, record: &KeyRecord) {
        let found = sound(self.store.find(&record.digest).await, self.law);
        require_eq(&found, &None, self.law, "found by a digest never committed");
        let loaded = sound(self.store.load(record.id).await, self.law);
        require_eq(&loaded, &None, self.law, "loaded by an id never committed");
        let listed = self.list(&self.filter()).await;
        let listed = listed.iter().any(|other| other.id == record.id);
        require(!listed, self.law, "listed though never committed");
    }

    /// All records of this consumer.
    pub(super) fn filter(&self) -> KeyFilter {
        KeyFilter::default().consumer(self.consumer.clone())
    }

    pub(super) async fn list(&self, filter: &KeyFilter) -> Vec<Arc<KeyRecord>> {
        sound(self.store.list(filter).await, self.law)
    }
}

/// The next revision of a record, under another name.
pub(super) fn renamed(record: &KeyRecord, name: &str) -> KeyRecord {
    KeyRecord {
        name: name.to_owned(),
        revision: record.revision.saturating_add(1),
        ..record.clone()
    }
}

fn created() -> DateTime<Utc> {
    DateTime::from_timestamp_micros(CREATED_MICROS).unwrap_or_default()
}
