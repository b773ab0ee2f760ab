//! Services and stores that watch how they are used.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    mem,
    num::NonZeroU64,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll, Waker},
};

use http::{Request, Response};
use keygate::{
    clock::SystemClock,
    limit::Readings,
    memory::MemoryCounters,
    port::{Answer, Charge, CounterStore, Owner, Settlement, StoreError},
};
use tokio::sync::Semaphore;
use tower::Service;

/// Like tower's `Buffer` and `ConcurrencyLimit`: a clone is not ready, and every call takes a
/// readiness of its own.
#[derive(Debug, Default)]
pub(crate) struct Strict {
    pub(crate) log: Arc<Log>,
    ready: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Log {
    /// Calls that a readiness stood for.
    pub(crate) calls: AtomicUsize,
    /// Calls without one.
    pub(crate) unready: AtomicUsize,
    /// How often it will still say that it is not ready.
    pub(crate) busy: AtomicUsize,
}

impl Log {
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.calls.load(SeqCst), self.unready.load(SeqCst))
    }
}

impl Clone for Strict {
    fn clone(&self) -> Self {
        Self { log: Arc::clone(&self.log), ready: false }
    }
}

impl Service<Request<()>> for Strict {
    type Response = Response<String>;
    type Error = Infallible;
    type Future = Ready<Result<Response<String>, Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        if self.log.busy.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok() {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<()>) -> Self::Future {
        let count = if mem::take(&mut self.ready) { &self.log.calls } else { &self.log.unready };
        count.fetch_add(1, SeqCst);
        ready(Ok(Response::new("inner".to_owned())))
    }
}

/// Counters that answer nobody until they are released, one charge a permit.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) released: Arc<Semaphore>,
    counters: Arc<MemoryCounters>,
}

impl Held {
    pub(crate) fn new() -> Arc<Self> {
        let counters = Arc::new(MemoryCounters::new(Arc::new(SystemClock)));
        Arc::new(Self { released: Arc::new(Semaphore::new(0)), counters })
    }
}

impl CounterStore for Held {
    fn charge(&self, charge: &Charge<'_>) -> Answer<'static, Result<Readings, StoreError>> {
        let Charge { consumer, key, limits, cost, slot } = *charge;
        let (consumer, limits) = (consumer.clone(), Arc::clone(limits));
        let (released, counters) = (Arc::clone(&self.released), Arc::clone(&self.counters));
        Answer::later(async move {
            released.acquire().await.unwrap().forget();
            let consumer = &consumer;
            counters.charge(&Charge { consumer, key, limits: &limits, cost, slot }).await
        })
    }

    fn settle(&self, settlement: &Settlement<'_>) -> Answer<'static, ()> {
        self.counters.settle(settlement)
    }

    fn reset<'a>(&'a self, owner: Owner<'a>) -> Answer<'a, Result<(), StoreError>> {
        self.counters.reset(owner)
    }

    fn replicas(&self) -> NonZeroU64 {
        self.counters.replicas()
    }
}

/// Polls once, with a waker that wakes nobody.
pub(crate) fn poll_once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}
