//! Usage on Redis: summed in this process, and added to the rollups there about once a second.
//!
//! `record` adds to a buffer. A task takes what is in it, sums it by consumer, and sends each
//! consumer's sums as numbered batches: a script adds a batch to the rollups by minute, hour and
//! day and notes its number, all in one atomic step, and does not add a number again. So a batch
//! whose answer was lost is sent again, and counts once.

mod backlog;
mod buffer;
mod errand;
mod flush;
mod options;
mod query;
mod remote;
mod series;
mod span;
mod stats;
#[cfg(test)]
mod tests;

use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    sync::{Arc, Mutex, PoisonError, atomic::Ordering::Relaxed},
    time::Duration,
};

use chrono::{DateTime, Utc};
use keygate::{
    clock::Clock,
    key::KeyId,
    port::{Answer, StoreError, UsageStore},
    usage::{Rollup, UsageEvent, UsageQuery},
};
use tokio::{
    runtime::Handle,
    sync::oneshot,
    task::JoinHandle,
    time::{Instant, timeout, timeout_at},
};

use self::{
    flush::Flusher,
    remote::{Remote, Scripts},
};
pub use self::{options::UsageOptions, stats::UsageStats};
use crate::{
    clock::deadline_after,
    fault::Fault,
    layout::Layout,
    link::{Lane, Link, Places},
};

/// How many calls are under way that are answered in time. Each may keep the server busy for a millisecond.
const AT_ONCE: usize = 4;

/// Usage of all replicas, in Redis.
///
/// Events show in queries about a second after they were recorded, and the last use of a key a
/// minute later at most. While Redis is away they wait here, within the bounds of the
/// [options](UsageOptions::most_series); no request waits for them.
///
/// All but recording needs a tokio runtime.
///
/// What has not been brought to Redis is lost with the process. One that ends in order calls
/// [`close`](Self::close) and loses nothing. A store that is dropped flushes in the background for
/// five seconds at most, if its runtime lasts that long.
pub(crate) struct RedisUsage {
    flusher: Arc<Flusher>,
    query_within: Duration,
    task: Mutex<Option<Task>>,
}

/// The flush in the background. It ends when the sender is used or dropped.
struct Task {
    end: oneshot::Sender<Instant>,
    ended: JoinHandle<Result<(), Fault>>,
}

impl RedisUsage {
    /// Usage over this link, with a task on this runtime.
    pub(crate) fn new(
        link: &Link,
        layout: Layout,
        clock: Arc<dyn Clock>,
        options: UsageOptions,
        runtime: &Handle,
    ) -> Self {
        let remote = Arc::new(Remote {
            link: link.on(Lane::Usage),
            layout,
            clock,
            retention: options.retention,
            replica: format!("{:016x}", RandomState::new().hash_one(0)),
            within: options.within,
            places: Places::new(AT_ONCE),
            scripts: Scripts::default(),
        });
        let flusher = Arc::new(Flusher::new(remote, options.most_series, options.every));
        let (end, told) = oneshot::channel();
        let ended = runtime.spawn(Arc::clone(&flusher).run(told));
        let task = Mutex::new(Some(Task { end, ended }));
        Self { flusher, query_within: options.query_within, task }
    }

    /// Brings everything that was recorded before to Redis now.
    ///
    /// # Errors
    /// If some of it could not be brought. It is kept, and the next flush sends it again.
    pub(crate) async fn flush(&self) -> Result<(), StoreError> {
        Ok(self.flusher.flush().await?)
    }

    /// Brings everything that was recorded to Redis, trying again until it is there or this time
    /// is over, and ends the flush in the background. What is recorded afterwards is only brought
    /// by another [`flush`](Self::flush) or `close`.
    ///
    /// # Errors
    /// If it is too late; the [stats](Self::stats) say how much is left.
    pub(crate) async fn close(&self, within: Duration) -> Result<(), StoreError> {
        let end = deadline_after(within);
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(task) = task else { return Ok(self.flusher.flush_until(end).await?) };
        // If nobody listens the task has ended, and its answer is there.
        let _ = task.end.send(end);
        let ended = timeout_at(end, task.ended).await.map_err(|_| Fault::Timeout)?;
        Ok(ended.map_err(StoreError::new)??)
    }

    /// What became of the events that were recorded.
    #[must_use]
    pub(crate) fn stats(&self) -> UsageStats {
        let figures = &self.flusher.figures;
        UsageStats {
            series: self.flusher.buffer.len().saturating_add(figures.waiting()),
            batches: figures.batches.load(Relaxed),
            folded: self.flusher.folded(),
            dropped: figures.dropped.load(Relaxed),
            flushed: figures.flushed(),
        }
    }
}

impl UsageStore for RedisUsage {
    fn record(&self, event: &UsageEvent<'_>) {
        self.flusher.buffer.record(event);
    }

    fn query<'a>(&'a self, query: &'a UsageQuery) -> Answer<'a, Result<Vec<Rollup>, StoreError>> {
        let remote = Arc::clone(&self.flusher.remote);
        Answer::later(async move {
            let rollups = timeout(self.query_within, remote.query(query.clone())).await;
            Ok(rollups.unwrap_or(Err(Fault::Timeout))?)
        })
    }

    fn last_used(&self, key: KeyId) -> Answer<'_, Result<Option<DateTime<Utc>>, StoreError>> {
        Answer::later(
            async move { Ok(self.flusher.remote.last_used(key).await?.map(|(at, _)| at)) },
        )
    }
}

impl fmt::Debug for RedisUsage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisUsage").field("stats", &self.stats()).finish_non_exhaustive()
    }
}
