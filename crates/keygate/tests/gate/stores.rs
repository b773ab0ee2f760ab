//! Counters that fail when told to.

use std::{
    future::pending,
    num::NonZeroU64,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use keygate::{
    clock::{ManualClock, Timestamp},
    limit::Readings,
    memory::MemoryCounters,
    port::{Answer, Charge, CounterStore, Owner, Settlement, StoreError},
};

use crate::{rigged::a_turn, support::noon};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mood {
    #[default]
    Well,
    /// Every call is a fault.
    Broken,
    /// Every call is a fault, and none was even begun.
    Paused,
    /// No call ever ends.
    Silent,
    /// They answer without a reading.
    Mute,
    /// They count at the second poll.
    Slow,
    /// They count, and nobody hears of it.
    Lost,
    /// They count, and say that they failed.
    Late,
}

/// Counters in memory, and how they do.
#[derive(Debug)]
pub(crate) struct MoodyCounters {
    counters: Arc<MemoryCounters>,
    mood: Mutex<Mood>,
    replicas: NonZeroU64,
    settled: AtomicUsize,
}

impl MoodyCounters {
    /// Counters that so many processes share, by a clock that stands still.
    pub(crate) fn shared_by(replicas: u64) -> Self {
        let replicas = NonZeroU64::new(replicas).unwrap();
        let clock = Arc::new(ManualClock::at(Timestamp::from(noon())));
        Self {
            counters: Arc::new(MemoryCounters::new(clock)),
            mood: Mutex::default(),
            replicas,
            settled: AtomicUsize::default(),
        }
    }

    /// How many settlements there were.
    pub(crate) fn settled(&self) -> usize {
        self.settled.load(SeqCst)
    }

    pub(crate) fn turn(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    fn mood(&self) -> Mood {
        *self.mood.lock().unwrap()
    }
}

impl CounterStore for MoodyCounters {
    fn charge(&self, charge: &Charge<'_>) -> Answer<'static, Result<Readings, StoreError>> {
        match self.mood() {
            Mood::Well => self.counters.charge(charge),
            Mood::Broken => Answer::later(async { Err(StoreError::new("broken")) }),
            Mood::Paused => Answer::later(async { Err(StoreError::unasked("paused")) }),
            Mood::Silent => Answer::later(pending()),
            Mood::Mute => Answer::later(async { Ok(Readings::new()) }),
            Mood::Slow => {
                let Charge { consumer, key, limits, cost, slot } = *charge;
                let (consumer, limits) = (consumer.clone(), Arc::clone(limits));
                let counters = Arc::clone(&self.counters);
                Answer::later(async move {
                    a_turn().await;
                    let consumer = &consumer;
                    counters.charge(&Charge { consumer, key, limits: &limits, cost, slot }).await
                })
            }
            Mood::Lost => {
                let counted = self.counters.charge(charge);
                Answer::later(async {
                    let _ = counted.await;
                    pending().await
                })
            }
            Mood::Late => {
                let counted = self.counters.charge(charge);
                Answer::later(async {
                    counted.await.and_then(|_| Err(StoreError::new("broken, but counted")))
                })
            }
        }
    }

    fn settle(&self, settlement: &Settlement<'_>) -> Answer<'static, ()> {
        self.settled.fetch_add(1, SeqCst);
        self.counters.settle(settlement)
    }

    fn reset<'a>(&'a self, owner: Owner<'a>) -> Answer<'a, Result<(), StoreError>> {
        self.counters.reset(owner)
    }

    fn replicas(&self) -> NonZeroU64 {
        self.replicas
    }
}
