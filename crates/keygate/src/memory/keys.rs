use std::{
    collections::BTreeMap,
    fmt,
    ops::Bound,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{
    key::{KeyDigest, KeyId},
    port::{Answer, Commit, Found, KeyFilter, KeyStore, StoreError},
    record::KeyRecord,
};

/// Key records in this process.
///
/// Requests find records by digest without a lock; reading by id and writing share one.
#[derive(Default)]
pub struct MemoryKeys {
    by_digest: papaya::HashMap<KeyDigest, Arc<KeyRecord>, hashbrown::DefaultHashBuilder>,
    by_id: Mutex<BTreeMap<KeyId, Arc<KeyRecord>>>,
}

impl MemoryKeys {
    fn by_id(&self) -> MutexGuard<'_, BTreeMap<KeyId, Arc<KeyRecord>>> {
        self.by_id.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, records: &[KeyRecord]) -> Commit {
        let mut by_id = self.by_id();
        let by_digest = self.by_digest.pin();
        let fits = |(index, record): (usize, &KeyRecord)| {
            let earlier = || records.iter().take(index);
            let unique =
                earlier().all(|other| other.id != record.id && other.digest != record.digest);
            unique
                && match by_id.get(&record.id) {
                    None => record.revision == 0 && !by_digest.contains_key(&record.digest),
                    Some(stored) => {
                        stored.digest == record.digest
                            && stored.revision.checked_add(1) == Some(record.revision)
                    }
                }
        };
        if !records.iter().enumerate().all(fits) {
            return Commit::Conflict;
        }
        for record in records {
            let record = Arc::new(record.clone());
            by_digest.insert(record.digest, Arc::clone(&record));
            by_id.insert(record.id, record);
        }
        Commit::Done
    }

    fn page(&self, filter: &KeyFilter) -> Vec<Arc<KeyRecord>> {
        let after = filter.after.map_or(Bound::Unbounded, Bound::Excluded);
        let by_id = self.by_id();
        let records = by_id.range((after, Bound::Unbounded)).map(|(_, record)| record);
        records.filter(|record| filter.selects(record)).take(filter.most).cloned().collect()
    }
}

impl fmt::Debug for MemoryKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryKeys").field("records", &self.by_digest.len()).finish_non_exhaustive()
    }
}

impl KeyStore for MemoryKeys {
    fn find(&self, digest: &KeyDigest) -> Answer<'static, Found> {
        let found = self.by_digest.pin().get(digest).cloned();
        Answer::ready(Ok(found))
    }

    fn load(&self, id: KeyId) -> Answer<'_, Result<Option<Arc<KeyRecord>>, StoreError>> {
        let found = self.by_id().get(&id).cloned();
        Answer::ready(Ok(found))
    }

    fn list<'a>(
        &'a self,
        filter: &'a KeyFilter,
    ) -> Answer<'a, Result<Vec<Arc<KeyRecord>>, StoreError>> {
        Answer::ready(Ok(self.page(filter)))
    }

    fn commit<'a>(&'a self, records: &'a [KeyRecord]) -> Answer<'a, Result<Commit, StoreError>> {
        Answer::ready(Ok(self.write(records)))
    }
}
