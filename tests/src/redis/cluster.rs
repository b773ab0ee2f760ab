use std::{collections::BTreeSet, process::Command, time::Duration};

use super::{RedisOptions, RedisServer, wait_until};
use crate::process::Process;

const SLOTS: usize = 16_384;

/// How long a node may be silent. Calls fail while one is held for failed, so that none may be because
/// the machine is busy.
const SILENCE: Duration = Duration::from_secs(10);

/// How long one may be silent as it begins: nodes that are impatient hear of each other sooner.
const SILENCE_AT_FIRST: Duration = Duration::from_secs(1);

/// A Redis Cluster of its own. Its nodes hold none for failed but after
/// [`noticing_after`](Self::noticing_after). They are killed on drop, by their ids.
#[derive(Debug)]
pub struct RedisCluster {
    nodes: Vec<RedisServer>,
    options: RedisOptions,
    silence: Duration,
}

impl RedisCluster {
    /// Three masters with a replica each.
    #[must_use]
    #[track_caller]
    pub fn start() -> Self {
        Self::of(3, 1, RedisOptions::default())
    }

    /// So many masters, at least three, with so many replicas each.
    #[must_use]
    #[track_caller]
    pub fn of(masters: usize, replicas: usize, options: RedisOptions) -> Self {
        let nodes = (0..masters * (1 + replicas)).map(|_| node(&options)).collect();
        let cluster = Self { nodes, options, silence: SILENCE };
        let addresses: Vec<_> = cluster.nodes.iter().map(address).collect();
        let replicas = replicas.to_string();
        let mut create = cluster.manager("create");
        create.args(addresses).args(["--cluster-replicas", &replicas, "--cluster-yes"]);
        run(create);
        cluster.wait_until_covered();
        cluster.be_patient();
        cluster
    }

    /// With nodes that replace one which was silent for so long.
    #[must_use]
    #[track_caller]
    pub fn noticing_after(self, silence: Duration) -> Self {
        let this = Self { silence, ..self };
        this.be_patient();
        this
    }

    /// Its nodes, those that were killed too.
    #[must_use]
    pub fn nodes(&self) -> &[RedisServer] {
        &self.nodes
    }

    /// The URL of some of its nodes.
    #[must_use]
    pub fn url(&self) -> String {
        let login = self.options.secret().map_or(String::new(), |secret| format!(":{secret}@"));
        let addresses: Vec<_> = self.nodes.iter().map(address).collect();
        format!("redis+cluster://{login}{}", addresses.join(","))
    }

    /// The place among the nodes of the master that serves this key.
    #[must_use]
    #[track_caller]
    pub fn master_of(&self, key: &str) -> usize {
        let slot: usize = self.any(&["cluster", "keyslot", key]).parse().unwrap();
        let lines = self.any(&["cluster", "nodes"]);
        let serves = |line: &&str| {
            line.contains("master")
                && !line.contains("fail")
                && ranges(line).any(|range| range.contains(&slot))
        };
        let line = lines.lines().find(serves).expect("somebody serves the slot");
        let place = |node: &RedisServer| line.contains(&format!("{}@", address(node)));
        self.nodes.iter().position(place).expect("the master is a node")
    }

    /// Every key, of all masters.
    #[must_use]
    #[track_caller]
    pub fn keys(&self) -> Vec<String> {
        let running = self.nodes.iter().filter(|node| node.runs());
        running.flat_map(RedisServer::keys).collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Ends a node at once.
    #[track_caller]
    pub fn kill(&mut self, node: usize) {
        self.nodes[node].kill();
    }

    /// Starts a node again.
    #[track_caller]
    pub fn run(&mut self, node: usize) {
        self.nodes[node].run();
    }

    /// Freezes or thaws a node, with STOP and CONT.
    #[track_caller]
    pub fn signal(&self, node: usize, signal: rustix::process::Signal) {
        self.nodes[node].signal(signal);
    }

    /// Adds a master that serves no slot, and gives its place.
    #[track_caller]
    pub fn add_master(&mut self) -> usize {
        self.nodes.push(node(&self.options));
        let added = self.nodes.len() - 1;
        let mut add = self.manager("add-node");
        add.args([address(&self.nodes[added]), address(&self.nodes[0])]);
        run(add);
        let known = |node: &RedisServer| node.cli(&["cluster", "nodes"]).lines().count();
        let all = self.nodes.iter().filter(|node| node.runs()).count();
        let everywhere =
            || self.nodes.iter().filter(|node| node.runs()).all(|node| known(node) >= all);
        wait_until("the new node is not known everywhere", everywhere);
        self.wait_until_covered();
        self.be_patient();
        added
    }

    /// Begins to move so many slots from one master to another, as an operator would. The process ends
    /// when they have moved.
    #[must_use]
    #[track_caller]
    pub fn reshard(&self, from: usize, to: usize, slots: usize) -> Process {
        let id = |node: usize| self.nodes[node].cli(&["cluster", "myid"]);
        let mut reshard = self.manager("reshard");
        reshard.args([&address(&self.nodes[to]), "--cluster-from", &id(from)]);
        reshard.args(["--cluster-to", &id(to), "--cluster-slots", &slots.to_string()]);
        reshard.arg("--cluster-yes");
        Process::spawn(&mut reshard)
    }

    /// Waits until every running node says that every slot is served.
    #[track_caller]
    pub fn wait_until_covered(&self) {
        wait_until("the cluster does not serve all slots", || {
            self.nodes.iter().filter(|node| node.runs()).all(|node| {
                let info = node.cli(&["cluster", "info"]);
                info.contains("cluster_state:ok")
                    && covered(&node.cli(&["cluster", "nodes"])) == SLOTS
            })
        });
    }

    #[track_caller]
    fn be_patient(&self) {
        let millis = self.silence.as_millis().to_string();
        for node in self.nodes.iter().filter(|node| node.runs()) {
            assert_eq!(node.cli(&["config", "set", "cluster-node-timeout", &millis]), "OK");
        }
    }

    fn any(&self, arguments: &[&str]) -> String {
        self.nodes.iter().find(|node| node.runs()).expect("a node runs").cli(arguments)
    }

    fn manager(&self, action: &str) -> Command {
        let mut command = Command::new("redis-cli");
        if let Some(secret) = self.options.secret() {
            command.args(["-a", secret, "--no-auth-warning"]);
        }
        command.args(["--cluster", action]);
        command
    }
}

fn node(options: &RedisOptions) -> RedisServer {
    options
        .clone()
        .set("cluster-enabled", "yes")
        .set("cluster-node-timeout", SILENCE_AT_FIRST.as_millis().to_string())
        .set("cluster-replica-validity-factor", "0")
        .set("repl-diskless-sync-delay", "0")
        .start()
}

fn address(node: &RedisServer) -> String {
    format!("127.0.0.1:{}", node.port())
}

#[track_caller]
fn run(mut command: Command) {
    let output = command.output().expect("redis-cli is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

/// The slots that a line of CLUSTER NODES says its master serves.
fn ranges(line: &str) -> impl Iterator<Item = std::ops::RangeInclusive<usize>> {
    line.split(' ').skip(8).filter_map(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        Some(first.parse().ok()?..=last.parse().ok()?)
    })
}

fn covered(nodes: &str) -> usize {
    let healthy = nodes.lines().filter(|line| line.contains("master") && !line.contains("fail"));
    healthy.flat_map(ranges).map(Iterator::count).sum()
}
