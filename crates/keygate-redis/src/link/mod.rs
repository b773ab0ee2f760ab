//! The way to Redis: one connection, made once, shared by everybody, and replaced when it breaks.
//!
//! Every call has its own deadline, and is sent once: after a deadline, or when the connection broke,
//! nobody knows whether it was carried out. How the connection is kept is in [`keeper`], what a Cluster
//! may repeat in [`node`], and who waits for whom there in [`places`]. A tokio runtime must be running.

mod held;
mod home;
mod keeper;
mod node;
mod places;
mod source;
#[cfg(test)]
mod tests;

mod subscription;

use std::{fmt, future::Future, pin::pin, sync::Arc, time::Duration};

use redis::{Cmd, FromRedisValue, RedisResult, ToRedisArgs, Value};
use tokio::time::{Instant, sleep, timeout_at};

use self::{held::Held, keeper::Keeper, node::TRY_AGAIN_CODE};
pub(crate) use self::{
    places::{Lane, Places},
    source::Source,
    subscription::{PushSource, Subscription},
};
use crate::{
    address::{Address, AddressError},
    clock::{deadline_after, jittered},
    fault::{Fault, FaultKind},
    script::Script,
};

/// How long to wait while a slot is moving: a small part of what a decision may take.
const MOVING: Duration = Duration::from_millis(2);

/// One server, several of them behind Sentinel, or a Cluster. Nothing is sent before the first call.
pub(crate) struct Link {
    keeper: Arc<Keeper>,
    lane: Lane,
}

impl Link {
    /// Over a pool of the user's own. One connection is taken out of it, and another one whenever that
    /// had to be given up. Its pool for a Cluster is not taken: it sends again what may have been
    /// carried out.
    pub(crate) fn new(source: impl Into<Source>) -> Self {
        Self { keeper: Keeper::new(source.into()), lane: Lane::Requests }
    }

    /// The same connection, for what is sent on this lane.
    pub(crate) fn on(&self, lane: Lane) -> Self {
        Self { keeper: Arc::clone(&self.keeper), lane }
    }

    /// To an address.
    ///
    /// # Errors
    ///
    /// If its root certificates are none.
    pub(crate) fn to(address: &Address) -> Result<Self, AddressError> {
        Ok(Self::new(Source::try_from(address)?))
    }

    /// Sends one command, and waits no longer than `within` for its answer.
    pub(crate) async fn query<T: FromRedisValue>(
        &self,
        command: &Cmd,
        within: Duration,
    ) -> Result<T, Fault> {
        let mut turn = self.turn(deadline_after(within)).await?;
        let mut connection = turn.connection();
        converted(turn.wait(pin!(sent(&mut connection, command))).await?)
    }

    /// Runs a script where its keys are.
    pub(crate) async fn call<T: FromRedisValue>(
        &self,
        script: &Script,
        keys: &[impl ToRedisArgs],
        args: &[impl ToRedisArgs],
        within: Duration,
    ) -> Result<T, Fault> {
        self.run(script, &script.by_hash(keys, args), deadline_after(within)).await
    }

    /// Carries out a call of a script by a deadline.
    pub(crate) async fn run<T: FromRedisValue>(
        &self,
        script: &Script,
        by_hash: &Cmd,
        deadline: Instant,
    ) -> Result<T, Fault> {
        let mut turn = self.turn(deadline).await?;
        let mut connection = turn.connection();
        // Pinned here, for a future that is passed on is room for two.
        let answer = pin!(async {
            match sent(&mut connection, by_hash).await {
                Err(error) if error.code() == Some("NOSCRIPT") => {
                    sent(&mut connection, &script.in_full(by_hash)).await
                }
                answer => answer,
            }
        });
        converted(turn.wait(answer).await?)
    }

    async fn turn(&self, deadline: Instant) -> Result<Turn<'_>, Fault> {
        let held = match self.keeper.at_hand() {
            Some(held) => held,
            None => {
                timeout_at(deadline, self.keeper.next()).await.map_err(|_| Fault::Timeout)??
            }
        };
        Ok(Turn { keeper: &self.keeper, lane: self.lane, held, deadline, answered: false })
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").finish_non_exhaustive()
    }
}

/// Sends a command, and again while the slot of its keys is moving.
async fn sent(connection: &mut Held, command: &Cmd) -> RedisResult<Value> {
    loop {
        match command.query_async(connection).await {
            Err(error) if error.code() == Some(TRY_AGAIN_CODE) => sleep(jittered(MOVING)).await,
            answer => return answer,
        }
    }
}

/// Apart from the call: redis-rs holds an answer of another type for a broken connection, and its error
/// repeats the answer.
fn converted<T: FromRedisValue>(answer: Value) -> Result<T, Fault> {
    let foreign = |_| Fault::Foreign("an answer is of another type than expected".to_owned());
    redis::from_redis_value(answer).map_err(foreign)
}

/// One call. Dropped unanswered, by its deadline or because nobody waits for it any more, it makes the
/// connection suspect.
struct Turn<'a> {
    keeper: &'a Arc<Keeper>,
    lane: Lane,
    held: Arc<Held>,
    deadline: Instant,
    answered: bool,
}

impl Turn<'_> {
    fn connection(&self) -> Held {
        self.held.on(self.lane)
    }

    async fn wait<T>(&mut self, answer: impl Future<Output = RedisResult<T>>) -> Result<T, Fault> {
        let answer = timeout_at(self.deadline, answer).await.map_err(|_| Fault::Timeout)?;
        self.answered = true;
        answer.map_err(|error| {
            let fault = Fault::from(error);
            self.judge(&fault);
            fault
        })
    }

    /// What a Cluster tells of its nodes it mends by itself, but not the loss of all of them.
    fn judge(&self, fault: &Fault) {
        let Fault::Redis(error) = fault else { return };
        if self.held.is_cluster() {
            if error.is_unrecoverable_error() {
                self.keeper.mend_whatever_comes();
            }
        } else if error.is_unrecoverable_error() {
            self.keeper.drop_broken(&self.held);
        } else if fault.kind() == FaultKind::NotMaster {
            self.keeper.mend();
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if !self.answered {
            self.keeper.suspect(&self.held);
        }
    }
}
