//! Keeps a replica current: a task that catches up with what others changed.

mod catch_up;
#[cfg(test)]
mod tests;

use std::{fmt, future::pending, num::NonZeroU32, sync::Arc, time::Duration};

use keygate::{
    cached::CachedKeys,
    clock::{Clock, Timestamp},
    key::KeyDigest,
    plan::LivePlans,
};
use tokio::{
    sync::watch,
    task::AbortHandle,
    time::{MissedTickBehavior, interval},
};

use self::catch_up::CatchUp;
use crate::{
    fault::Fault,
    layout::Layout,
    link::{Link, Subscription},
};

/// How often a replica looks for changes when nothing announces them.
pub(crate) const POLL: Duration = Duration::from_secs(1);

/// How often at most: a clock that ticks without a pause is none.
const SHORTEST_POLL: Duration = Duration::from_millis(10);

/// How often at least.
const LONGEST_POLL: Duration = Duration::from_secs(86_400);

/// What a replica remembers of keys.
pub(crate) trait Cache: fmt::Debug + Send + Sync {
    /// Forgets what is known of this digest, even that it is unknown.
    fn forget(&self, digest: &KeyDigest);

    /// Forgets everything.
    fn forget_all(&self);

    /// Whatever is still remembered was true at this instant.
    fn confirm(&self, at: Timestamp);
}

impl Cache for CachedKeys {
    fn forget(&self, digest: &KeyDigest) {
        self.forget(digest);
    }

    fn forget_all(&self) {
        self.forget_all();
    }

    fn confirm(&self, at: Timestamp) {
        self.confirm(at);
    }
}

/// What a replica keeps current, and by what means.
#[derive(Debug)]
pub(crate) struct Watch {
    pub(crate) link: Arc<Link>,
    pub(crate) layout: Layout,
    /// None where there is no way to listen: then only polls tell.
    pub(crate) hints: Option<Subscription>,
    pub(crate) poll: Duration,
    pub(crate) cache: Arc<dyn Cache>,
    pub(crate) plans: LivePlans,
    pub(crate) clock: Arc<dyn Clock>,
    /// Whether it counts as a replica.
    pub(crate) serves: bool,
}

/// A replica that is kept current, until this is dropped.
///
/// Changes are read from a log, after every hint and at every poll. A hint is never trusted to say
/// what changed, and none is needed. What cannot be read is read the next time.
#[derive(Debug)]
pub(crate) struct Watcher {
    seen: watch::Receiver<Seen>,
    task: AbortHandle,
}

/// What a replica knows of the others.
#[derive(Clone, Debug)]
struct Seen {
    caught_up: bool,
    /// What keeps it from catching up.
    fault: Option<Fault>,
    replicas: NonZeroU32,
}

impl Watcher {
    /// Begins to watch. Must be called within a tokio runtime.
    pub(crate) fn new(watch: Watch) -> Self {
        let (sender, seen) =
            watch::channel(Seen { caught_up: false, fault: None, replicas: NonZeroU32::MIN });
        let task = tokio::spawn(run(watch, sender)).abort_handle();
        Self { seen, task }
    }

    /// Waits until this replica has caught up for the first time.
    pub(crate) async fn caught_up(&self) {
        // The task that sends ends with this watcher only.
        let _ = self.seen.clone().wait_for(|seen| seen.caught_up).await;
    }

    /// What keeps it from catching up, as far as was seen.
    pub(crate) fn fault(&self) -> Option<Fault> {
        self.seen.borrow().fault.clone()
    }

    /// How many replicas there are, this one included, as far as was seen.
    pub(crate) fn replicas(&self) -> NonZeroU32 {
        self.seen.borrow().replicas
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn hinted(hints: Option<&Subscription>) {
    match hints {
        Some(hints) => hints.next().await,
        None => pending().await,
    }
}

async fn run(watch: Watch, seen: watch::Sender<Seen>) {
    let mut poll = interval(watch.poll.clamp(SHORTEST_POLL, LONGEST_POLL));
    poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut catch_up = CatchUp::new(&watch);
    let mut failing = false;
    loop {
        tokio::select! {
            _ = poll.tick() => {}
            () = hinted(watch.hints.as_ref()) => {}
        }
        match catch_up.once().await {
            Ok(replicas) => {
                if failing {
                    tracing::info!("changes of keys and plans are followed again");
                }
                failing = false;
                seen.send_modify(|seen| {
                    seen.caught_up = true;
                    seen.fault = None;
                    seen.replicas = replicas.unwrap_or(seen.replicas);
                });
            }
            Err(fault) => {
                if !failing {
                    tracing::error!(%fault, "changes of keys and plans cannot be followed");
                }
                failing = true;
                seen.send_modify(|seen| seen.fault = Some(fault));
            }
        }
    }
}
