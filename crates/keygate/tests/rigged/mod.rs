//! Keys in memory that do as they are told: fail, hang, wait, or let a rival go first.
#![allow(dead_code, clippy::allow_attributes, reason = "each test uses what it needs of this")]

use std::{
    fmt,
    future::{pending, poll_fn},
    mem,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Poll, Waker},
};

use keygate::{
    key::{KeyDigest, KeyId},
    memory::MemoryKeys,
    port::{Answer, Commit, Found, KeyFilter, KeyStore, StoreError},
    record::KeyRecord,
};

/// How finding, or writing, goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Way {
    #[default]
    Well,
    /// It finds nothing, whatever there is.
    FindsNothing,
    /// It is a fault.
    Fails,
    /// It is a fault when it is released.
    FailsLate,
    /// It never ends.
    Hangs,
    /// It reads or writes at once, and says so when it is released.
    Waits,
    /// It reads or writes at once, and says so at the second poll.
    Slow,
}

type Once = Box<dyn FnOnce() + Send>;

#[derive(Default)]
pub(crate) struct RiggedKeys {
    pub(crate) keys: MemoryKeys,
    finding: Mutex<Way>,
    writing: Mutex<Way>,
    finds: AtomicUsize,
    before_commit: Mutex<Option<Once>>,
    waiting: Arc<Mutex<Waiting>>,
}

#[derive(Default)]
struct Waiting {
    releases: usize,
    wakers: Vec<Waker>,
}

impl RiggedKeys {
    pub(crate) fn finding(&self, way: Way) {
        *self.finding.lock().unwrap() = way;
    }

    pub(crate) fn writing(&self, way: Way) {
        *self.writing.lock().unwrap() = way;
    }

    /// How often a digest was looked up.
    pub(crate) fn finds(&self) -> usize {
        self.finds.load(SeqCst)
    }

    /// Something that happens once, when the next commit has come but is not done.
    pub(crate) fn before_commit(&self, rival: impl FnOnce() + Send + 'static) {
        *self.before_commit.lock().unwrap() = Some(Box::new(rival));
    }

    /// Lets everything go on that waits now.
    pub(crate) fn release(&self) {
        let mut waiting = self.waiting.lock().unwrap();
        waiting.releases += 1;
        waiting.wakers.drain(..).for_each(Waker::wake);
    }

    fn released(&self) -> impl Future<Output = ()> + Send + use<> {
        let waiting = Arc::clone(&self.waiting);
        let before = waiting.lock().unwrap().releases;
        poll_fn(move |context| {
            let mut waiting = waiting.lock().unwrap();
            if waiting.releases > before {
                return Poll::Ready(());
            }
            waiting.wakers.push(context.waker().clone());
            Poll::Pending
        })
    }

    fn go<'a, T: Send + Unpin + 'a>(
        &self,
        way: Way,
        work: impl FnOnce() -> Answer<'a, Result<T, StoreError>>,
    ) -> Answer<'a, Result<T, StoreError>> {
        let fault = || Err(StoreError::new("broken"));
        match way {
            Way::Well | Way::FindsNothing => work(),
            Way::Fails => Answer::later(async move { fault() }),
            Way::Hangs => Answer::later(pending()),
            Way::FailsLate => {
                let released = self.released();
                Answer::later(async move {
                    released.await;
                    fault()
                })
            }
            Way::Slow => {
                let done = pollster::block_on(work());
                Answer::later(async move {
                    a_turn().await;
                    done
                })
            }
            Way::Waits => {
                let (released, done) = (self.released(), pollster::block_on(work()));
                Answer::later(async move {
                    released.await;
                    done
                })
            }
        }
    }
}

/// Lets whoever polls have a turn.
pub(crate) fn a_turn() -> impl Future<Output = ()> + Send {
    let mut waited = false;
    poll_fn(move |context| {
        if mem::replace(&mut waited, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
}

impl fmt::Debug for RiggedKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RiggedKeys")
    }
}

impl KeyStore for RiggedKeys {
    fn find(&self, digest: &KeyDigest) -> Answer<'static, Found> {
        self.finds.fetch_add(1, SeqCst);
        let way = *self.finding.lock().unwrap();
        match way {
            Way::FindsNothing => Answer::ready(Ok(None)),
            way => self.go(way, || self.keys.find(digest)),
        }
    }

    fn load(&self, id: KeyId) -> Answer<'_, Result<Option<Arc<KeyRecord>>, StoreError>> {
        self.keys.load(id)
    }

    fn list<'a>(
        &'a self,
        filter: &'a KeyFilter,
    ) -> Answer<'a, Result<Vec<Arc<KeyRecord>>, StoreError>> {
        self.keys.list(filter)
    }

    fn commit<'a>(&'a self, records: &'a [KeyRecord]) -> Answer<'a, Result<Commit, StoreError>> {
        let way = *self.writing.lock().unwrap();
        let rival = self.before_commit.lock().unwrap().take();
        rival.into_iter().for_each(|rival| rival());
        self.go(way, || self.keys.commit(records))
    }
}
