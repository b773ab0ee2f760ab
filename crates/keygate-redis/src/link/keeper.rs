//! Keeps the connection, and mends it.
//!
//! One attempt to connect is under way at a time, in a task of its own: a caller whose deadline is
//! over does not take it along, and a thousand callers do not make a thousand attempts.
//!
//! - What broke is dropped at once. Callers wait for the first attempt to replace it, and are told at
//!   once once an attempt failed, until one succeeds.
//! - What is merely suspect goes on serving until its replacement is there, or could not be made.
//!   Suspect is a server that says it is no master (READONLY, MASTERDOWN, LOADING), and one that left
//!   a call unanswered and then a question ([`PATIENCE`]): so one that froze for a moment just goes on,
//!   and one that was failed over while it was frozen is found out.
//! - A connection that had to be replaced soon after it was made is replaced after a pause, which grows
//!   with every such turn, and so is an attempt that failed.
//!
//! A Cluster mends the connections to its nodes by itself. It is replaced as a whole when a node stays
//! silent, for then it does not ask who serves the slots now; but only once somebody does. A connection that
//! was made while a node is silent has none to that one, and keeps all others waiting while it tries.

use std::{
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwapOption;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use super::{
    held::{Held, Said},
    home::Home,
    source::{Source, Told},
};
use crate::{
    clock::{jittered, now},
    fault::Fault,
};

/// How long a server that left a call unanswered may stay silent.
const PATIENCE: Duration = Duration::from_secs(1);

/// A connection that lived this long was a good one.
const STEADY: Duration = Duration::from_secs(10);

const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// Holds the connection. Its tasks end with it.
pub(super) struct Keeper {
    source: Arc<Source>,
    held: ArcSwapOption<Held>,
    status: watch::Sender<Status>,
    asking: AtomicBool,
    tasks: Mutex<JoinSet<()>>,
    home: Mutex<Option<Home>>,
}

/// How the mending goes.
#[derive(Default)]
struct Status {
    mending: bool,
    failure: Option<Fault>,
    /// Whether a Cluster has no way to one of its nodes any more.
    lost_a_node: bool,
    connected: Option<Instant>,
    /// How many connections in a row did not last.
    short_lives: u32,
}

impl Keeper {
    pub(super) fn new(source: Source) -> Arc<Self> {
        Arc::new(Self {
            source: Arc::new(source),
            held: ArcSwapOption::empty(),
            status: watch::Sender::default(),
            asking: AtomicBool::new(false),
            tasks: Mutex::default(),
            home: Mutex::default(),
        })
    }

    /// The connection, if there is one now.
    pub(super) fn at_hand(&self) -> Option<Arc<Held>> {
        self.held.load_full()
    }

    /// The connection to come, or why it does not.
    pub(super) async fn next(self: &Arc<Self>) -> Result<Arc<Held>, Fault> {
        let mut status = self.status.subscribe();
        loop {
            // Before looking: what happens from here on must wake us.
            status.mark_unchanged();
            if let Some(held) = self.at_hand() {
                return Ok(held);
            }
            self.mend();
            if let Some(failure) = status.borrow().failure.clone() {
                return Err(failure);
            }
            if status.changed().await.is_err() {
                return Err(Fault::Timeout);
            }
        }
    }

    /// This connection broke: nobody shall use it again.
    pub(super) fn drop_broken(self: &Arc<Self>, broken: &Arc<Held>) {
        self.held.compare_and_swap(&Some(Arc::clone(broken)), None);
        if self.at_hand().is_none() {
            self.mend();
        }
    }

    /// Begins to replace the connection, unless that is under way.
    pub(super) fn mend(self: &Arc<Self>) {
        let begun =
            self.status.send_if_modified(|status| !std::mem::replace(&mut status.mending, true));
        if begun {
            self.spawn(Mending(Arc::downgrade(self)).run(Arc::clone(&self.source)));
        }
    }

    /// A Cluster has lost the way to one of its nodes, or to all.
    pub(super) fn mend_whatever_comes(self: &Arc<Self>) {
        self.status.send_if_modified(|status| {
            status.lost_a_node = true;
            false
        });
        self.mend();
    }

    /// What is at hand, if it may be as good as a connection on which a node is silent.
    fn as_good(&self) -> Option<Arc<Held>> {
        let lost_a_node = self.status.borrow().lost_a_node;
        self.at_hand().filter(|held| held.is_cluster() && !lost_a_node)
    }

    /// A call was left unanswered, or the connection is said to have broken: asks the server, or all
    /// masters of a Cluster, and mends the connection if one is silent.
    pub(super) fn suspect(self: &Arc<Self>, held: &Arc<Held>) {
        if !self.asking.swap(true, Ordering::AcqRel) {
            self.spawn(Asking(Arc::downgrade(self)).run(Arc::clone(held)));
        }
    }

    /// Outside a runtime there is nobody to run a task, nor anybody who waits for one.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut home = self.home.lock().unwrap_or_else(PoisonError::into_inner);
        if home.as_ref().is_none_or(Home::is_gone) {
            *home = Home::here();
        }
        if let Some(home) = &*home {
            let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
            while tasks.try_join_next().is_some() {}
            tasks.spawn_on(task, home.runtime());
        }
    }

    /// How often in a row a connection did not last, this one included.
    fn short_lives(&self) -> u32 {
        let mut short_lives = 0;
        self.status.send_if_modified(|status| {
            let short = status.connected.take().map(|since| now().duration_since(since) < STEADY);
            match short {
                Some(true) => status.short_lives = status.short_lives.saturating_add(1),
                Some(false) => status.short_lives = 0,
                None => {}
            }
            short_lives = status.short_lives;
            false
        });
        short_lives
    }

    fn connected(&self, held: Held) {
        self.held.store(Some(Arc::new(held)));
        self.status.send_modify(|status| {
            status.failure = None;
            status.lost_a_node = false;
            status.connected = Some(now());
        });
    }

    fn not_connected(&self, failure: Fault) {
        self.held.store(None);
        self.status.send_modify(|status| status.failure = Some(failure));
    }
}

/// The task that connects, until it succeeds or the keeper is gone.
struct Mending(Weak<Keeper>);

impl Mending {
    async fn run(self, source: Arc<Source>) {
        let mut turns = self.0.upgrade().map_or(0, |keeper| keeper.short_lives());
        loop {
            sleep(pause(turns)).await;
            let attempt = source.connect(self.told()).await;
            let no_better = match &attempt {
                Ok(held) => self.is_no_better(held).await,
                Err(_) => false,
            };
            let Some(keeper) = self.0.upgrade() else { return };
            match attempt {
                // It is suspected again by the next call that is left unanswered.
                Ok(_) if no_better => return,
                Ok(held) => return keeper.connected(held),
                Err(failure) => {
                    tracing::debug!(error = %failure, "no connection to Redis");
                    keeper.not_connected(failure);
                }
            }
            turns = turns.saturating_add(1);
        }
    }

    /// Whether a node is silent on this connection, too, so that callers had better stay where they are.
    async fn is_no_better(&self, held: &Held) -> bool {
        let as_good = || self.0.upgrade().and_then(|keeper| keeper.as_good());
        if as_good().is_none() || in_time(held.clone().is_whole()).await {
            return false;
        }
        match as_good() {
            Some(old) => in_time(Held::clone(&old).serves_anybody()).await,
            None => false,
        }
    }

    fn told(&self) -> Told {
        let keeper = Weak::clone(&self.0);
        Box::new(move || {
            let Some(keeper) = keeper.upgrade() else { return };
            if let Some(held) = keeper.at_hand() {
                keeper.suspect(&held);
            }
        })
    }
}

/// Whether it ended or was ended, the next may begin, and who waits looks again.
impl Drop for Mending {
    fn drop(&mut self) {
        if let Some(keeper) = self.0.upgrade() {
            keeper.status.send_modify(|status| status.mending = false);
        }
    }
}

/// Whether it turns out so before patience ends.
async fn in_time(is_so: impl Future<Output = bool>) -> bool {
    timeout(PATIENCE, is_so).await.unwrap_or(false)
}

/// The task that asks a suspect server whether it is there.
struct Asking(Weak<Keeper>);

impl Asking {
    async fn run(self, held: Arc<Held>) {
        let mut connection = Held::clone(&held);
        let said = timeout(PATIENCE, connection.ask()).await.unwrap_or(Said::Nothing);
        let Some(keeper) = self.0.upgrade() else { return };
        if !keeper.at_hand().is_some_and(|now| Arc::ptr_eq(&now, &held)) {
            return;
        }
        match said {
            Said::Something => {}
            Said::Nothing => keeper.mend(),
            Said::Goodbye => keeper.drop_broken(&held),
        }
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        if let Some(keeper) = self.0.upgrade() {
            keeper.asking.store(false, Ordering::Release);
        }
    }
}

fn pause(turns: u32) -> Duration {
    match turns.checked_sub(1) {
        None => Duration::ZERO,
        Some(doublings) => {
            let factor = 1_u32.checked_shl(doublings).unwrap_or(u32::MAX);
            jittered(SHORTEST_PAUSE.saturating_mul(factor).min(LONGEST_PAUSE))
        }
    }
}
