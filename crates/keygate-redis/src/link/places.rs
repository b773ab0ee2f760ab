//! How many commands are under way, and for how long one of them counts.

use std::{pin::pin, time::Duration};

use tokio::{sync::Semaphore, time::timeout};

/// For so long a request of somebody who waits for the answer keeps its place: that of a decision, until it
/// has failed.
const REQUEST_HOLDS_FOR: Duration = Duration::from_millis(25);

/// For so long everything else does. A node that is well answers long before.
const HELD_FOR: Duration = Duration::from_millis(10);

/// Places for commands that are under way; more wait for their turn.
///
/// Whoever is not answered in time goes on without a place: what is sent to a node that hangs must not keep
/// from their turn those that are sent elsewhere.
#[derive(Debug)]
pub(crate) struct Places {
    free: Semaphore,
    held_for: Duration,
}

impl Places {
    pub(crate) const fn new(number: usize) -> Self {
        Self::held_for(number, HELD_FOR)
    }

    const fn held_for(number: usize, held_for: Duration) -> Self {
        Self { free: Semaphore::const_new(number), held_for }
    }

    /// Does `work` once it has a place.
    pub(crate) async fn in_turn<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        let place = self.free.acquire().await;
        if let Ok(done) = timeout(self.held_for, work.as_mut()).await {
            return done;
        }
        drop(place);
        work.await
    }
}

/// What is sent to a Cluster, by whom it must not keep waiting. Each lane has its own places.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Lane {
    /// What somebody waits for.
    Requests,
    /// What became of requests. Of these there may be thousands.
    Settlements,
    /// What must be there before a lease has run out.
    Renewals,
    /// What nobody waits for, and may be late.
    Usage,
}

/// The places of a Cluster.
///
/// The task of redis-rs that serves a Cluster takes a lock for each command, and keeps it over a pause that
/// tokio gives to whoever does more than 128 things in a row; if it then finds that a slot has moved, it waits
/// for itself for ever. With no more than 32 at a time it does not come to 128. Only what a node has left
/// unanswered for longer than a place is held comes on top, all of it at once when that node wakes.
#[derive(Debug)]
pub(super) struct Lanes {
    requests: Places,
    settlements: Places,
    renewals: Places,
    usage: Places,
}

impl Lanes {
    pub(super) const fn new() -> Self {
        Self {
            requests: Places::held_for(16, REQUEST_HOLDS_FOR),
            settlements: Places::new(8),
            renewals: Places::new(4),
            usage: Places::new(4),
        }
    }

    pub(super) const fn of(&self, lane: Lane) -> &Places {
        match lane {
            Lane::Requests => &self.requests,
            Lane::Settlements => &self.settlements,
            Lane::Renewals => &self.renewals,
            Lane::Usage => &self.usage,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::pending,
        sync::{
            Arc,
            atomic::{AtomicBool, Ordering::SeqCst},
        },
    };

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn more_wait_for_their_turn_and_none_for_those_that_are_not_answered() {
        let (places, answered) = (Arc::new(Places::new(1)), Arc::<AtomicBool>::default());
        let silent = tokio::spawn({
            let places = Arc::clone(&places);
            async move { places.in_turn(pending::<()>()).await }
        });
        tokio::task::yield_now().await;
        let next = tokio::spawn({
            let (places, answered) = (Arc::clone(&places), Arc::clone(&answered));
            async move { places.in_turn(async { answered.store(true, SeqCst) }).await }
        });
        tokio::time::sleep(HELD_FOR / 2).await;
        assert!(!answered.load(SeqCst), "there is one place");
        next.await.unwrap();
        assert!(!silent.is_finished(), "it still waits for its answer");
        silent.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_waited_for_without_a_place() {
        let late = async {
            tokio::time::sleep(HELD_FOR * 3).await;
            7
        };
        assert_eq!(Places::new(1).in_turn(late).await, 7);
    }
}
