//! The way to Redis: one connection, checked out of a pool once, shared by everybody, and replaced
//! when it breaks.

use std::{fmt, future::Future, sync::Arc, time::Duration};

use arc_swap::ArcSwapOption;
use deadpool_redis::{Connection, Pool};
use redis::{Cmd, FromRedisValue, Pipeline, ToRedisArgs, Value, aio::MultiplexedConnection};
use tokio::{sync::Mutex, time::timeout};

use crate::{fault::Fault, script::Script};

/// One server, several of them behind Sentinel, or a Cluster.
pub(crate) struct Link {
    pool: Pool,
    held: ArcSwapOption<MultiplexedConnection>,
    connecting: Mutex<()>,
}

impl Link {
    pub(crate) fn new(pool: Pool) -> Self {
        Self { pool, held: ArcSwapOption::empty(), connecting: Mutex::new(()) }
    }

    /// Sends one command, and waits no longer than `within` for its answer.
    pub(crate) async fn query<T: FromRedisValue>(
        &self,
        command: &Cmd,
        within: Duration,
    ) -> Result<T, Fault> {
        self.in_time(within, async {
            let mut connection = self.connection().await?;
            Ok(command.query_async(&mut connection).await?)
        })
        .await
    }

    /// Sends commands of one slot together; the answers are in their order.
    pub(crate) async fn query_all(
        &self,
        commands: &Pipeline,
        within: Duration,
    ) -> Result<Vec<Value>, Fault> {
        self.in_time(within, async {
            let mut connection = self.connection().await?;
            Ok(commands.query_async(&mut connection).await?)
        })
        .await
    }

    /// Runs a script where its keys are.
    pub(crate) async fn call<T: FromRedisValue>(
        &self,
        script: &Script,
        keys: &[String],
        args: &[impl ToRedisArgs],
        within: Duration,
    ) -> Result<T, Fault> {
        self.in_time(within, async {
            let mut connection = self.connection().await?;
            match script.by_hash(keys, args).query_async(&mut connection).await {
                Err(error) if error.code() == Some("NOSCRIPT") => {
                    Ok(script.in_full(keys, args).query_async(&mut connection).await?)
                }
                answer => Ok(answer?),
            }
        })
        .await
    }

    async fn connection(&self) -> Result<MultiplexedConnection, Fault> {
        if let Some(held) = &*self.held.load() {
            return Ok(MultiplexedConnection::clone(held));
        }
        let _one = self.connecting.lock().await;
        if let Some(held) = &*self.held.load() {
            return Ok(MultiplexedConnection::clone(held));
        }
        let checked_out = self.pool.get().await;
        let connection = checked_out.map_err(|error| Fault::Connection(error.into()))?;
        let connection = Connection::take(connection);
        self.held.store(Some(Arc::new(connection.clone())));
        Ok(connection)
    }

    async fn in_time<T>(
        &self,
        within: Duration,
        work: impl Future<Output = Result<T, Fault>>,
    ) -> Result<T, Fault> {
        let done = timeout(within, work).await.unwrap_or(Err(Fault::Timeout));
        if matches!(&done, Err(Fault::Redis(error)) if error.is_unrecoverable_error()) {
            self.held.store(None);
        }
        done
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").finish_non_exhaustive()
    }
}
