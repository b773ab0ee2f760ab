//! The key store: records, their indexes, and the log of what changed, in one slot.

mod pages;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use keygate::{
    key::{KeyDigest, KeyId},
    port::{Answer, Commit, Found, KeyFilter, KeyStore, StoreError},
    record::KeyRecord,
};
use redis::cmd;
use tokio::time::Instant;

use self::pages::Pages;
use crate::{
    clock::now,
    fault::Fault,
    guard::{Bounds, Guard},
    layout::Layout,
    link::Link,
    script::Script,
};

/// How long a commit, or one step of a listing, may take.
const WITHIN: Duration = Duration::from_secs(2);

/// How many changes the log keeps. A replica that missed more forgets everything it cached.
pub(crate) const CHANGES_KEPT: usize = 1_000;

/// How many digests one change names. A larger commit makes replicas forget everything.
const DIGESTS_NAMED: usize = 100;

/// Key records in Redis, shared by all replicas. Nothing is cached here.
///
/// A commit is one script and one atomic step. When its answer did not come in time, whether it was
/// done is unknown; it is not tried again.
///
/// A listing takes one step for each 500 records that it reads, and each step at most two seconds.
/// Records of one consumer are found by an index; plan and status are compared record by record.
#[derive(Debug)]
pub(crate) struct RedisKeys {
    link: Arc<Link>,
    layout: Layout,
    finding: Arc<Finding>,
    pages: Pages,
    commit: Script,
}

/// What finds a record on the request path. A request that is under way holds on to it.
#[derive(Debug)]
struct Finding {
    link: Arc<Link>,
    records: String,
    guard: Guard,
}

impl RedisKeys {
    /// A store whose `find`, which stands on the request path, takes no longer than `find_within`, and
    /// no time at all from a Redis that leaves most calls unanswered: what is cached will do then.
    pub(crate) fn new(link: Arc<Link>, layout: Layout, find_within: Duration) -> Self {
        let pages = Pages::new(Arc::clone(&link), layout.clone());
        let commit =
            Script::new(concat!(include_str!("../common.lua"), include_str!("commit.lua")));
        let guard = Guard::new(Bounds { deadline: find_within, ..Bounds::default() });
        let finding = Finding { link: Arc::clone(&link), records: layout.records(), guard };
        Self { link, layout, finding: Arc::new(finding), pages, commit }
    }

    async fn write(&self, records: &[KeyRecord]) -> Result<Commit, Fault> {
        if records.is_empty() {
            return Ok(Commit::Done);
        }
        let layout = &self.layout;
        let keys = [
            layout.records(),
            layout.ids(),
            layout.consumers(),
            layout.plans_in_use(),
            layout.changes(),
        ];
        let mut args = vec![layout.changed(), CHANGES_KEPT.to_string(), DIGESTS_NAMED.to_string()];
        for record in records {
            args.push(serde_json::to_string(record).map_err(|error| Fault::Record(error.into()))?);
        }
        let answer = self.link.call(&self.commit, &keys, &args, WITHIN).await;
        let done: bool = answer.map_err(|fault: Fault| fault.at(&layout.records()))?;
        Ok(if done { Commit::Done } else { Commit::Conflict })
    }
}

impl Finding {
    async fn record(
        &self,
        digest: &KeyDigest,
        within: Duration,
    ) -> Result<Option<Arc<KeyRecord>>, Fault> {
        let Self { link, records, .. } = self;
        let mut find = cmd("HGET");
        find.arg(records).arg(digest.to_string());
        let found: Result<Option<Vec<u8>>, Fault> = link.query(&find, within).await;
        let Some(json) = found.map_err(|fault| fault.at(records))? else { return Ok(None) };
        read(&json)
            .filter(|record| record.digest == *digest)
            .map(|record| Some(Arc::new(record)))
            .ok_or_else(|| unreadable(records, digest))
    }
}

impl KeyStore for RedisKeys {
    fn find(&self, digest: &KeyDigest) -> Answer<'static, Found> {
        let (it, digest) = (Arc::clone(&self.finding), *digest);
        Answer::later(async move {
            let find = |deadline: Instant| it.record(&digest, deadline.duration_since(now()));
            Ok(it.guard.run(find).await?)
        })
    }

    fn load(&self, id: KeyId) -> Answer<'_, Result<Option<Arc<KeyRecord>>, StoreError>> {
        Answer::later(async move { Ok(self.pages.of_id(id).await?) })
    }

    fn list<'a>(
        &'a self,
        filter: &'a KeyFilter,
    ) -> Answer<'a, Result<Vec<Arc<KeyRecord>>, StoreError>> {
        Answer::later(async move { Ok(self.pages.of(filter).await?) })
    }

    fn commit<'a>(&'a self, records: &'a [KeyRecord]) -> Answer<'a, Result<Commit, StoreError>> {
        Answer::later(async move { Ok(self.write(records).await?) })
    }
}

/// The record that this is. Why it is none would repeat what somebody else put here, so it is lost.
fn read(json: &[u8]) -> Option<KeyRecord> {
    serde_json::from_slice(json).ok()
}

fn unreadable(records: &str, field: &(impl std::fmt::Debug + ?Sized)) -> Fault {
    Fault::foreign(
        records,
        format_args!("field {field:?} is not its key record, or is a newer version's"),
    )
}
