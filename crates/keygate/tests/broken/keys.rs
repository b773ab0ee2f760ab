use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use keygate::{
    key::{Digester, KeyDigest, KeyId},
    memory::MemoryKeys,
    port::{Answer, Commit, Found, KeyFilter, KeyStore, StoreError},
    record::{KeyRecord, KeyStatus},
};

use crate::common::others_first;

/// What a key store does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyFault {
    LosesAttributes,
    LoadsNothing,
    TruncatesToMilliseconds,
    FaultsOnTheUnknown,
    FindsStaleRecords,
    ListsStaleRecords,
    WritesOneByOne,
    IgnoresRevisions,
    TakesNewRecordsOfAnyRevision,
    TakesDigestsTwice,
    TellsEverybodyTheyWon,
    ChecksThenWrites,
    ListsBackwards,
    ListsFromTheBeginning,
    IgnoresThePlan,
    IgnoresThePlanOfEverybody,
    IgnoresTheStatusOfEverybody,
    LosesTheLast,
}

use KeyFault as F;

/// Each fault, and the law that must notice it.
pub(crate) const KEY_FAULTS: &[(KeyFault, &str)] = &[
    (F::LosesAttributes, "found_by_digest_and_id"),
    (F::LoadsNothing, "found_by_digest_and_id"),
    (F::TruncatesToMilliseconds, "found_by_digest_and_id"),
    (F::FaultsOnTheUnknown, "unknown_is_none"),
    (F::FindsStaleRecords, "changes_show_at_once"),
    (F::ListsStaleRecords, "changes_show_at_once"),
    (F::WritesOneByOne, "commit_is_all_or_nothing"),
    (F::IgnoresRevisions, "stale_revision_conflicts"),
    (F::TakesNewRecordsOfAnyRevision, "stale_revision_conflicts"),
    (F::TakesDigestsTwice, "digest_is_unique"),
    (F::TellsEverybodyTheyWon, "racing_commits_have_one_winner"),
    (F::ChecksThenWrites, "racing_commits_have_one_winner"),
    (F::ListsBackwards, "list_is_complete_and_ordered"),
    (F::ListsFromTheBeginning, "list_is_complete_and_ordered"),
    (F::IgnoresThePlan, "list_is_complete_and_ordered"),
    (F::IgnoresThePlanOfEverybody, "list_is_complete_and_ordered"),
    (F::IgnoresTheStatusOfEverybody, "list_is_complete_and_ordered"),
    (F::LosesTheLast, "list_is_complete_and_ordered"),
];

/// Keys in memory, with one thing done wrong.
#[derive(Debug)]
pub(crate) struct BrokenKeys {
    fault: KeyFault,
    inner: MemoryKeys,
    /// The first revision of each record.
    first: Mutex<HashMap<KeyId, Arc<KeyRecord>>>,
}

impl BrokenKeys {
    pub(crate) fn new(fault: KeyFault) -> Self {
        let (inner, first) = (MemoryKeys::default(), Mutex::default());
        Self { fault, inner, first }
    }

    fn stale(&self, record: Arc<KeyRecord>) -> Arc<KeyRecord> {
        let first = self.first.lock().unwrap();
        first.get(&record.id).cloned().unwrap_or(record)
    }

    fn altered(&self, record: &KeyRecord) -> KeyRecord {
        let mut record = record.clone();
        match self.fault {
            F::LosesAttributes => record.attributes.clear(),
            F::TruncatesToMilliseconds => {
                let millis = record.created.timestamp_millis();
                record.created = chrono::DateTime::from_timestamp_millis(millis).unwrap();
            }
            F::TakesNewRecordsOfAnyRevision if record.revision == 2 => record.revision = 0,
            _ => {}
        }
        record
    }

    async fn commit_one_by_one(&self, records: &[KeyRecord]) -> Result<Commit, StoreError> {
        let mut all = Commit::Done;
        for record in records {
            if self.inner.commit(std::slice::from_ref(record)).await? == Commit::Conflict {
                all = Commit::Conflict;
            }
        }
        Ok(all)
    }

    /// Makes each record what the store would take.
    async fn force(&self, records: &[KeyRecord]) -> Result<Commit, StoreError> {
        let mut forced = records.to_vec();
        for record in &mut forced {
            let stored = self.inner.load(record.id).await?;
            record.revision = stored.map_or(0, |stored| stored.revision + 1);
        }
        self.inner.commit(&forced).await
    }

    async fn commit_with_new_digests(&self, records: &[KeyRecord]) -> Result<Commit, StoreError> {
        let mut forced = records.to_vec();
        for record in &mut forced {
            if let Some(stored) = self.inner.load(record.id).await? {
                record.digest = stored.digest;
            } else if self.inner.find(&record.digest).await?.is_some() {
                record.digest = Digester::sha256().digest(record.id.to_string().as_bytes());
            }
        }
        self.inner.commit(&forced).await
    }
}

impl KeyStore for BrokenKeys {
    fn find(&self, digest: &KeyDigest) -> Answer<'static, Found> {
        Answer::ready(match pollster::block_on(self.inner.find(digest)) {
            Ok(None) if self.fault == F::FaultsOnTheUnknown => Err(StoreError::new("no such row")),
            Ok(Some(record)) if self.fault == F::FindsStaleRecords => Ok(Some(self.stale(record))),
            found => found,
        })
    }

    fn load(&self, id: KeyId) -> Answer<'_, Result<Option<Arc<KeyRecord>>, StoreError>> {
        Answer::later(async move {
            match self.fault {
                F::LoadsNothing => Ok(None),
                _ => self.inner.load(id).await,
            }
        })
    }

    fn list<'a>(
        &'a self,
        filter: &'a KeyFilter,
    ) -> Answer<'a, Result<Vec<Arc<KeyRecord>>, StoreError>> {
        Answer::later(async move {
            let mut filter = filter.clone();
            match self.fault {
                F::ListsFromTheBeginning => filter.after = None,
                F::IgnoresThePlan => filter.plan = None,
                F::IgnoresThePlanOfEverybody if filter.consumer.is_none() => filter.plan = None,
                F::IgnoresTheStatusOfEverybody if filter.consumer.is_none() => {
                    filter.status = None;
                }
                _ => {}
            }
            let mut records = self.inner.list(&filter).await?;
            match self.fault {
                F::ListsBackwards => records.reverse(),
                F::ListsStaleRecords => {
                    records = records.into_iter().map(|record| self.stale(record)).collect();
                }
                F::LosesTheLast
                    if filter.most > 11 && filter.status == Some(KeyStatus::Disabled) =>
                {
                    records.pop();
                }
                _ => {}
            }
            Ok(records)
        })
    }

    fn commit<'a>(&'a self, records: &'a [KeyRecord]) -> Answer<'a, Result<Commit, StoreError>> {
        Answer::later(async move {
            let records: Vec<KeyRecord> =
                records.iter().map(|record| self.altered(record)).collect();
            let commit = match self.fault {
                F::WritesOneByOne => self.commit_one_by_one(&records).await?,
                F::IgnoresRevisions => self.force(&records).await?,
                F::ChecksThenWrites => {
                    let current = self.inner.load(records[0].id).await?;
                    others_first().await;
                    let fits = current.is_none_or(|now| now.revision + 1 == records[0].revision);
                    if fits { self.force(&records).await? } else { Commit::Conflict }
                }
                F::TakesDigestsTwice => self.commit_with_new_digests(&records).await?,
                F::TellsEverybodyTheyWon => {
                    let _ = self.inner.commit(&records).await?;
                    Commit::Done
                }
                _ => self.inner.commit(&records).await?,
            };
            let mut first = self.first.lock().unwrap();
            for record in records {
                first.entry(record.id).or_insert_with(|| Arc::new(record));
            }
            Ok(commit)
        })
    }
}
