//! The connection that everybody shares.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use redis::{
    Cmd, Pipeline, RedisFuture, Value,
    aio::{ConnectionLike, MultiplexedConnection},
    cluster_async::ClusterConnection,
    cluster_routing::{
        MultipleNodeRoutingInfo, ResponsePolicy, RoutingInfo, SingleNodeRoutingInfo,
    },
};

use super::{
    node::{Node, SILENT_NODE_CODE},
    places::{Lane, Lanes},
};

/// A connection to one server, or the connections to the nodes of a Cluster. A clone is the same one.
#[derive(Clone)]
pub(super) enum Held {
    Server(MultiplexedConnection),
    Cluster { nodes: ClusterConnection<Node>, lanes: Arc<Lanes>, lane: Lane },
}

impl Held {
    /// A connection that never gives up waiting by itself.
    pub(super) fn patient(mut connection: MultiplexedConnection, never: Duration) -> Self {
        connection.set_response_timeout(never);
        Self::Server(connection)
    }

    pub(super) fn cluster(nodes: ClusterConnection<Node>) -> Self {
        Self::Cluster { nodes, lanes: Arc::new(Lanes::new()), lane: Lane::Requests }
    }

    /// The same one, for commands of this lane.
    pub(super) fn on(&self, lane: Lane) -> Self {
        match self {
            Self::Server(server) => Self::Server(server.clone()),
            Self::Cluster { nodes, lanes, .. } => {
                Self::Cluster { nodes: nodes.clone(), lanes: Arc::clone(lanes), lane }
            }
        }
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

    /// Whether any master of a Cluster answers here.
    pub(super) async fn serves_anybody(&mut self) -> bool {
        let Self::Cluster { nodes, .. } = self else { return true };
        let any = (MultipleNodeRoutingInfo::AllMasters, Some(ResponsePolicy::OneSucceeded));
        nodes.route_command(redis::cmd("PING"), RoutingInfo::MultiNode(any)).await.is_ok()
    }

    /// Whether all masters of a Cluster that serve slots answer here. One that was silent when the connection
    /// was made is not connected to, and so is not asked.
    pub(super) async fn is_whole(&mut self) -> bool {
        let Self::Cluster { nodes, .. } = self else { return true };
        let (mut slots, any) = (redis::cmd("CLUSTER"), SingleNodeRoutingInfo::Random);
        slots.arg("SLOTS");
        let Ok(slots) = nodes.route_command(slots, RoutingInfo::SingleNode(any)).await else {
            return false;
        };
        let all = RoutingInfo::MultiNode((MultipleNodeRoutingInfo::AllMasters, None));
        match nodes.route_command(redis::cmd("PING"), all).await {
            Ok(Value::Map(answers)) => answers.len() >= masters(slots),
            _ => false,
        }
    }
}

/// How many masters serve slots, by what CLUSTER SLOTS says.
fn masters(slots: Value) -> usize {
    let ranges: Vec<Vec<Value>> = redis::from_redis_value(slots).unwrap_or_default();
    let master = |range: Vec<Value>| match range.into_iter().nth(2) {
        Some(Value::Array(master)) => Some(format!("{master:?}")),
        _ => None,
    };
    ranges.into_iter().filter_map(master).collect::<BTreeSet<_>>().len()
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
            Self::Cluster { nodes, lanes, lane } => {
                Box::pin(lanes.of(*lane).in_turn(nodes.req_packed_command(command)))
            }
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
            Self::Cluster { nodes, lanes, lane } => {
                let answers = nodes.req_packed_commands(commands, offset, count);
                Box::pin(lanes.of(*lane).in_turn(answers))
            }
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
