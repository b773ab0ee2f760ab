use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use futures_util::{StreamExt, stream};
use keygate::{
    clock::{Clock, SystemClock},
    failures::Failures,
    port::SlotId,
};
use redis::{Cmd, cmd};
use tokio::{
    runtime::Handle,
    task::AbortHandle,
    time::{MissedTickBehavior, interval},
};

use super::{scripts::RENEW, slots::Wanted};
use crate::{
    fault::Fault,
    link::{Lane, Link, Places},
    script::Script,
};

/// How often in a lease it is renewed: two may fail.
const RENEWALS: u32 = 3;

/// How many slots are renewed by one call.
const AT_A_TIME: usize = 500;

/// How many such calls are under way that are answered in time.
const AT_ONCE: usize = 8;

/// How long such a call may take.
const WITHIN: Duration = Duration::from_secs(2);

/// The slots of this process's requests, whose leases it keeps alive until this is dropped.
#[derive(Debug)]
pub(crate) struct HeldSlots {
    held: Arc<Held>,
    task: AbortHandle,
}

/// The sets in which a slot is held.
type Held = Mutex<HashMap<SlotId, Arc<[String]>>>;

impl HeldSlots {
    pub(crate) fn new(link: &Link, lease: Duration, runtime: &Handle) -> Self {
        let (held, link) = (Arc::<Held>::default(), link.on(Lane::Renewals));
        let task = runtime.spawn(renew(Arc::downgrade(&held), link, lease)).abort_handle();
        Self { held, task }
    }

    /// A request has taken what it wanted.
    pub(super) fn add(&self, wanted: &Wanted, slot: Option<SlotId>) {
        if let Some(slot) = slot {
            lock(&self.held).insert(slot, Arc::clone(&wanted.sets));
        }
    }

    pub(super) fn remove(&self, slot: SlotId) {
        lock(&self.held).remove(&slot);
    }
}

impl Drop for HeldSlots {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn renew(held: Weak<Held>, link: Link, lease: Duration) {
    let every = (lease / RENEWALS).max(Duration::from_millis(1));
    let mut tick = interval(every);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let renewal = Renewal {
        held,
        link,
        places: Places::new(AT_ONCE),
        script: Script::new(RENEW),
        lease: lease.as_millis().to_string().into_bytes(),
        within: every.min(WITHIN),
        failures: Failures::default(),
    };
    loop {
        tick.tick().await;
        let Some(by_set) = renewal.held.upgrade().map(|held| by_set(&held)) else { return };
        // Those of a node that is silent must not make the others late.
        let all = stream::iter(by_set).for_each_concurrent(None, |(set, slots)| {
            let renewal = &renewal;
            async move { renewal.places.in_turn(renewal.of_set(&set, &slots)).await }
        });
        all.await;
    }
}

struct Renewal {
    held: Weak<Held>,
    link: Link,
    places: Places,
    script: Script,
    /// In milliseconds.
    lease: Vec<u8>,
    /// How long a call may take.
    within: Duration,
    failures: Failures,
}

impl Renewal {
    /// What could not be renewed is left for the next turn.
    async fn of_set(&self, set: &str, slots: &[SlotId]) {
        for slots in slots.chunks(AT_A_TIME) {
            let renewed = self.of(set, slots).await;
            // What was given back meanwhile may have been renewed after that.
            let Some(held) = self.held.upgrade() else { return };
            let gone = gone(&held, slots);
            if !gone.is_empty() {
                let _ = self.link.query::<()>(&give_back(set, &gone), self.within).await;
            }
            if let Err(fault) = renewed {
                if let Some(calls) = self.failures.count(SystemClock.now()) {
                    tracing::warn!(%fault, calls, "slots of requests under way were not renewed");
                }
                return;
            }
        }
    }

    async fn of(&self, set: &str, slots: &[SlotId]) -> Result<(), Fault> {
        let bytes = slots.iter().map(|slot| slot.as_bytes().to_vec());
        let arguments: Vec<_> = std::iter::once(self.lease.clone()).chain(bytes).collect();
        self.link.call(&self.script, &[set], &arguments, self.within).await
    }
}

/// The command that takes slots out of a set. Whoever sends it twice does no harm.
pub(super) fn give_back(set: &str, slots: &[SlotId]) -> Cmd {
    let mut command = cmd("ZREM");
    command.arg(set);
    for slot in slots {
        command.arg(slot.as_bytes());
    }
    command
}

fn by_set(held: &Held) -> BTreeMap<String, Vec<SlotId>> {
    // Those who are admitted or leave wait for the lock.
    let held: Vec<_> = lock(held).iter().map(|(slot, sets)| (*slot, Arc::clone(sets))).collect();
    let mut by_set = BTreeMap::<String, Vec<SlotId>>::new();
    for (slot, sets) in &held {
        for set in sets.iter() {
            by_set.entry(set.clone()).or_default().push(*slot);
        }
    }
    by_set
}

/// Those of these slots that nobody holds any more.
fn gone(held: &Held, slots: &[SlotId]) -> Vec<SlotId> {
    let held = lock(held);
    slots.iter().filter(|slot| !held.contains_key(*slot)).copied().collect()
}

fn lock(held: &Held) -> std::sync::MutexGuard<'_, HashMap<SlotId, Arc<[String]>>> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}
