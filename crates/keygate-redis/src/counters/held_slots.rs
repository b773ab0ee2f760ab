use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use futures_util::{StreamExt, stream};
use keygate::port::SlotId;
use redis::{Cmd, cmd};
use tokio::{
    runtime::Handle,
    task::AbortHandle,
    time::{MissedTickBehavior, interval},
};

use super::{scripts::RENEW, slots::Wanted};
use crate::{link::Link, script::Script};

/// How often in a lease it is renewed: two may fail.
const RENEWALS: u32 = 3;

/// How many slots are renewed by one call.
const AT_A_TIME: usize = 500;

/// How many such calls are under way: a link to a Cluster has 32 places, for charges, too.
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
    pub(crate) fn new(link: Arc<Link>, lease: Duration, runtime: &Handle) -> Self {
        let held = Arc::<Held>::default();
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

async fn renew(held: Weak<Held>, link: Arc<Link>, lease: Duration) {
    let every = (lease / RENEWALS).max(Duration::from_millis(1));
    let mut tick = interval(every);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let renewal = Renewal {
        held,
        link,
        script: Script::new(RENEW),
        lease: lease.as_millis().to_string().into_bytes(),
        within: every.min(WITHIN),
    };
    loop {
        tick.tick().await;
        let Some(by_set) = renewal.held.upgrade().map(|held| by_set(&held)) else { return };
        // A long way, or one node that is silent, must not make the others late.
        let all = stream::iter(by_set).for_each_concurrent(AT_ONCE, |(set, slots)| {
            let renewal = &renewal;
            async move { renewal.of_set(&set, &slots).await }
        });
        all.await;
    }
}

struct Renewal {
    held: Weak<Held>,
    link: Arc<Link>,
    script: Script,
    /// In milliseconds.
    lease: Vec<u8>,
    /// How long a call may take.
    within: Duration,
}

impl Renewal {
    async fn of_set(&self, set: &str, slots: &[SlotId]) {
        for slots in slots.chunks(AT_A_TIME) {
            let bytes = slots.iter().map(|slot| slot.as_bytes().to_vec());
            let arguments: Vec<_> = std::iter::once(self.lease.clone()).chain(bytes).collect();
            let renewed: Result<(), _> =
                self.link.call(&self.script, &[set], &arguments, self.within).await;
            if let Err(fault) = renewed {
                tracing::warn!(%fault, "slots of requests that are under way were not renewed");
            }
            // What was given back meanwhile may have been renewed after that.
            let Some(held) = self.held.upgrade() else { return };
            let gone = |slot: &&SlotId| !lock(&held).contains_key(*slot);
            let gone: Vec<_> = slots.iter().filter(gone).copied().collect();
            if !gone.is_empty() {
                let _ = self.link.query::<()>(&give_back(set, &gone), self.within).await;
            }
        }
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
    let mut by_set = BTreeMap::<String, Vec<SlotId>>::new();
    for (slot, sets) in lock(held).iter() {
        for set in sets.iter() {
            by_set.entry(set.clone()).or_default().push(*slot);
        }
    }
    by_set
}

fn lock(held: &Held) -> std::sync::MutexGuard<'_, HashMap<SlotId, Arc<[String]>>> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}
