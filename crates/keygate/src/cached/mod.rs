//! A [`KeyStore`] before a [`KeyStore`]: records that were found are answered from this process.
//!
//! Only [`find`](KeyStore::find) is answered from here. Reading by id and listing go to the store
//! behind, and so does writing, which forgets what it wrote.
//!
//! # How old an answer may be
//!
//! An answer says how the store was less than [`max_age`](Settings::max_age) before the request
//! asked. Nothing needs to arrive for that to be true: what is held grows old by itself.
//!
//! | symbol | meaning |
//! |---|---|
//! | `loaded` | when the call of the store that brought the entry *began* |
//! | `confirmed` | before this instant, everything that changed has been forgotten here |
//! | fresh | `now < max(loaded, confirmed) + max_age` |
//!
//! A store that many share has a log of its changes. Whoever watches that log calls
//! [`forget`](CachedKeys::forget) for every change it reads, and then
//! [`confirm`](CachedKeys::confirm) with the instant at which it began to read. While it lives,
//! entries stay fresh and nothing is loaded twice; changes show as fast as the log is read. When it
//! is cut off, nobody confirms, and entries grow old as if it had never been there. A message that is
//! lost costs a call of the store, not the truth of an answer.
//!
//! Both instants are this process's own, so the clocks of two machines are never compared. `loaded`
//! is when the call began, because it is not known when in between the store read. If the clock is set
//! back by more than a second, nothing that is held says how old it is, and all of it is forgotten:
//! when the next call begins, or the watcher next confirms. A step that ends after the last of both
//! cannot be seen, and adds its length to the age of what is held.
//!
//! A write that the store does only after its commit failed, or was dropped, is a change by somebody
//! else: it shows when the watcher reads it, and within `max_age` without one.
//!
//! # One call for all who wait
//!
//! Requests that miss the same digest share one call of the store. Whichever of them is polled drives
//! the call, so it goes on when the request that began it is cancelled, and it is dropped with the
//! last one. A fault is shared as well: who waited for a store that is down does not queue for it
//! again. A call that began `max_age` ago or longer is not joined.
//!
//! What is forgotten while a call is on its way is not held when the call returns. Those who waited
//! are answered all the same: they asked before it was forgotten, and the call that they joined was
//! young enough. Who asks afterwards begins a new call.
//!
//! # When the store fails
//!
//! A record past its age is answered for [`if_unavailable`](Settings::if_unavailable) longer, but
//! only when the store was asked for this very record and failed. Then it is left in peace for a
//! tenth of a second, and after that one request at a time finds out, while the others are answered
//! at once. A fault over one record therefore makes no other record older. That a digest is unknown is
//! never said past its age: then the fault is passed on.
//!
//! ```
//! use std::sync::Arc;
//! use keygate::{Gate, Plans, cached::{CachedKeys, Settings}, clock::SystemClock, memory::MemoryKeys};
//!
//! let store = Arc::new(MemoryKeys::default()); // or one that many processes share
//! let keys = CachedKeys::new(store, Arc::new(SystemClock), Settings::default());
//! let gate = Gate::builder(Plans::default()).keys(Arc::new(keys.clone())).build()?;
//! assert_eq!(keys.stats().records, 0);
//! # let _ = gate;
//! # Ok::<(), keygate::gate::GateError>(())
//! ```

mod cache;
mod flights;
mod held;
mod settings;
mod stats;

use std::{fmt, sync::Arc};

use self::cache::Cache;
pub use self::{settings::Settings, stats::Stats};
use crate::{
    clock::{Clock, Timestamp},
    key::{KeyDigest, KeyId},
    port::{Answer, Commit, Found, KeyFilter, KeyStore, StoreError},
    record::KeyRecord,
};

/// Key records in front of another store: see the [module](self) for what it promises.
///
/// A handle: clones share what is held.
#[derive(Clone)]
pub struct CachedKeys {
    cache: Arc<Cache>,
}

impl CachedKeys {
    /// Holds what is found in `store`, by this clock.
    #[must_use]
    pub fn new(store: Arc<dyn KeyStore>, clock: Arc<dyn Clock>, settings: Settings) -> Self {
        Self { cache: Arc::new(Cache::new(store, clock, settings)) }
    }

    /// Says that everything that had changed in the store before `at` has been forgotten here: what is
    /// held is as good as loaded then.
    ///
    /// Whatever [`find`](KeyStore::find) reads must be as recent as the log of changes. A replica that
    /// lags behind the log would bring back what was just forgotten, and be confirmed.
    ///
    /// `at` is by the clock of this cache, read before the changes were. An instant that this clock
    /// has not reached confirms nothing. The last word counts, so that a clock that was set back does
    /// not leave one that holds for ever.
    pub fn confirm(&self, at: Timestamp) {
        self.cache.confirm(at);
    }

    /// Drops what is held of a digest, and what is on its way.
    pub fn forget(&self, digest: &KeyDigest) {
        self.cache.forget(digest);
    }

    /// Drops everything that is held or on its way.
    pub fn forget_all(&self) {
        self.cache.forget_all();
    }

    /// Figures for operators.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.cache.stats()
    }
}

impl fmt::Debug for CachedKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CachedKeys")
            .field("store", &self.cache.store)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

impl KeyStore for CachedKeys {
    fn find(&self, digest: &KeyDigest) -> Answer<'static, Found> {
        match self.cache.answer(digest) {
            Some(found) => Answer::ready(Ok(found)),
            None => Answer::later(Arc::clone(&self.cache).ask(*digest)),
        }
    }

    fn load(&self, id: KeyId) -> Answer<'_, Result<Option<Arc<KeyRecord>>, StoreError>> {
        self.cache.store.load(id)
    }

    fn list<'a>(
        &'a self,
        filter: &'a KeyFilter,
    ) -> Answer<'a, Result<Vec<Arc<KeyRecord>>, StoreError>> {
        self.cache.store.list(filter)
    }

    fn commit<'a>(&'a self, records: &'a [KeyRecord]) -> Answer<'a, Result<Commit, StoreError>> {
        Answer::later(async move {
            let _written = Written { cache: &self.cache, records };
            self.cache.store.commit(records).await
        })
    }
}

/// Forgets records once a commit has ended, whatever its end: a fault does not say what was written,
/// and a commit that is dropped may have been.
struct Written<'a> {
    cache: &'a Cache,
    records: &'a [KeyRecord],
}

impl Drop for Written<'_> {
    fn drop(&mut self) {
        self.records.iter().for_each(|record| self.cache.forget(&record.digest));
    }
}
