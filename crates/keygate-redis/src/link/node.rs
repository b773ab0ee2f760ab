//! One node of a Cluster, whose commands are sent once.
//!
//! redis-rs sends a command of a Cluster again when it was sent to the wrong node, which is right:
//! that node did nothing. It also does so when the connection broke under it, or when its own wait
//! was over, and the node may have counted already. And it repeats a whole pipeline of which one
//! command was sent on. So these three look to it like errors after which nothing is repeated. That
//! the connection broke it learns on another way, from the push that RESP3 connections make of it.
//!
//! So does TRYAGAIN, which a node says of a command over several keys while their slot is moving. The pauses
//! of redis-rs are for nodes that are unwell, and soon longer than a decision may take: the link tries again.

use std::time::Duration;

use redis::{
    AsyncConnectionConfig, Client, Cmd, ErrorKind, IntoConnectionInfo, Pipeline, RedisError,
    RedisFuture, RedisResult, RetryMethod, ServerError, Value,
    aio::{ConnectionLike, MultiplexedConnection},
    cluster_async::Connect,
    make_extension_error,
};
use tokio::{task::unconstrained, time::timeout};

use crate::fault::BROKEN_NODE_CODE;

/// How long a node may take over the questions of redis-rs itself. All the Cluster waits for them.
const OWN_QUESTIONS: Duration = Duration::from_millis(500);

/// The code of such a question that was left unanswered.
pub(super) const SILENT_NODE_CODE: &str = "KEYGATESILENT";

/// The code of a command of which a node did nothing, for its slot is moving.
pub(super) const TRY_AGAIN_CODE: &str = "TRYAGAIN";

/// The connection to a node.
#[derive(Clone)]
pub(super) struct Node(MultiplexedConnection);

impl Connect for Node {
    fn connect_with_config<'a, T>(info: T, config: AsyncConnectionConfig) -> RedisFuture<'a, Self>
    where
        T: IntoConnectionInfo + Send + 'a,
    {
        Box::pin(async move {
            let client = Client::open(info)?;
            let config = config.set_response_timeout(None);
            client.get_multiplexed_async_connection_with_config(&config).await.map(Self)
        })
    }
}

impl ConnectionLike for Node {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(async move {
            let sent = unconstrained(self.0.send_packed_command(command));
            let mut answer = once(if is_own_question(command) {
                timeout(OWN_QUESTIONS, sent).await.unwrap_or_else(|_| Err(silent()))
            } else {
                sent.await
            })?;
            if says_try_again(&answer) {
                settle(&mut answer);
            }
            Ok(answer)
        })
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        commands: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(async move {
            let sent = unconstrained(self.0.send_packed_commands(commands, offset, count));
            let mut answers = once(sent.await)?;
            if answers.iter().any(|answer| !asks_for_another(answer)) {
                answers.iter_mut().filter(|answer| asks_for_another(answer)).for_each(settle);
            }
            Ok(answers)
        })
    }

    fn get_db(&self) -> i64 {
        self.0.get_db()
    }
}

fn is_own_question(command: &Cmd) -> bool {
    let verb = command.args_iter().next();
    matches!(verb, Some(redis::Arg::Simple(b"PING" | b"CLUSTER" | b"ASKING" | b"READONLY")))
}

/// What broke is not tried again.
fn once<T>(answer: RedisResult<T>) -> RedisResult<T> {
    answer.map_err(|error| match error.kind() {
        ErrorKind::Io | ErrorKind::Parse => broken(),
        _ => error,
    })
}

fn silent() -> RedisError {
    make_extension_error(SILENT_NODE_CODE.to_owned(), None)
}

fn broken() -> RedisError {
    let detail = "the connection to a node broke under the command".to_owned();
    make_extension_error(BROKEN_NODE_CODE.to_owned(), Some(detail))
}

fn says_try_again(answer: &Value) -> bool {
    matches!(answer, Value::ServerError(error) if error.code() == TRY_AGAIN_CODE)
}

fn asks_for_another(answer: &Value) -> bool {
    let Value::ServerError(error) = answer else { return false };
    !matches!(RedisError::from(error.clone()).retry_method(), RetryMethod::NoRetry)
}

/// Makes a plain error of one that redis-rs would act upon.
fn settle(answer: &mut Value) {
    if let Value::ServerError(error) = answer {
        let detail = error.details().map(str::to_owned);
        let plain = make_extension_error(error.code().to_owned(), detail);
        if let Ok(plain) = ServerError::try_from(plain) {
            *error = plain;
        }
    }
}
