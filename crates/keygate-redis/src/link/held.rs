//! The connection that everybody shares.

use std::{sync::Arc, time::Duration};

use redis::{
    Cmd, Pipeline, RedisFuture, Value,
    aio::{ConnectionLike, MultiplexedConnection},
    cluster_async::ClusterConnection,
    cluster_routing::{MultipleNodeRoutingInfo, ResponsePolicy, RoutingInfo},
};
use tokio::sync::Semaphore;

use super::node::{Node, SILENT_NODE_CODE};

/// Commands that are under way to a Cluster at a time; more wait for their turn.
///
/// The task of redis-rs that serves a Cluster takes a lock for each, and keeps it over a pause that tokio
/// gives to whoever does more than 128 things in a row; if it then finds that a slot has moved, it waits
/// for itself for ever. With so few it does not come to 128.
const CLUSTER_PLACES: usize = 32;

/// A connection to one server, or the connections to the nodes of a Cluster. A clone is the same one.
#[derive(Clone)]
pub(super) enum Held {
    Server(MultiplexedConnection),
    Cluster { nodes: ClusterConnection<Node>, places: Arc<Semaphore> },
}

impl Held {
    /// A connection that never gives up waiting by itself.
    pub(super) fn patient(mut connection: MultiplexedConnection, never: Duration) -> Self {
        connection.set_response_timeout(never);
        Self::Server(connection)
    }

    pub(super) fn cluster(nodes: ClusterConnection<Node>) -> Self {
        Self::Cluster { nodes, places: Arc::new(Semaphore::new(CLUSTER_PLACES)) }
    }

    pub(super) const fn is_cluster(&self) -> bool {
        matches!(self, Self::Cluster { .. })
    }

    /// Asks the server, or every master of a Cluster, whether it is there.
    pub(super) async fn ask(&mut self) -> Said {
        let ping = redis::cmd("PING");
        match self {
            Self::Server(server) => match server.send_packed_command(&ping).await {
                Ok(_) => Said::Something,
                Err(_) => Said::Goodbye,
            },
            Self::Cluster { nodes, .. } => match nodes.route_command(ping, everywhere()).await {
                Err(error) if error.is_io_error() => Said::Nothing,
                Err(error) if error.code() == Some(SILENT_NODE_CODE) => Said::Nothing,
                _ => Said::Something,
            },
        }
    }
}

/// What a server answered when it was asked whether it is there.
pub(super) enum Said {
    Something,
    Nothing,
    /// There is no connection to it any more.
    Goodbye,
}

impl ConnectionLike for Held {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::Server(server) => server.req_packed_command(command),
            Self::Cluster { nodes, places } => Box::pin(async move {
                let _place = places.acquire().await;
                nodes.req_packed_command(command).await
            }),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        commands: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::Server(server) => server.req_packed_commands(commands, offset, count),
            Self::Cluster { nodes, places } => Box::pin(async move {
                let _place = places.acquire().await;
                nodes.req_packed_commands(commands, offset, count).await
            }),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::Server(server) => server.get_db(),
            Self::Cluster { nodes, .. } => nodes.get_db(),
        }
    }
}

fn everywhere() -> RoutingInfo {
    let masters = MultipleNodeRoutingInfo::AllMasters;
    RoutingInfo::MultiNode((masters, Some(ResponsePolicy::AllSucceeded)))
}
