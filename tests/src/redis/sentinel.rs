use std::{fs, path::PathBuf, process::Command, time::Duration};

use tempfile::TempDir;

use super::{RedisOptions, RedisServer, begun, port::on_a_free_port, wait_until};
use crate::process::Process;

/// The name under which the Sentinels know the master.
const MASTER: &str = "main";

/// How long a master may be silent. A fail-over loses what was last written, so that none may happen
/// because the machine is busy.
const SILENCE: Duration = Duration::from_secs(20);

/// A master, its replicas and three Sentinels, of which two must agree. They think of another master
/// only when they are told to, or after [`noticing_after`](Self::noticing_after). Killed on drop, by
/// their ids.
#[derive(Debug)]
pub struct RedisSentinel {
    servers: Vec<RedisServer>,
    sentinels: Vec<Sentinel>,
    options: RedisOptions,
}

impl RedisSentinel {
    /// A master with two replicas.
    #[must_use]
    #[track_caller]
    pub fn start() -> Self {
        Self::of(2, RedisOptions::default())
    }

    /// A master with so many replicas.
    #[must_use]
    #[track_caller]
    pub fn of(replicas: usize, options: RedisOptions) -> Self {
        let options = options.set("repl-diskless-sync-delay", "0");
        let master = options.clone().start();
        let port = master.port().to_string();
        let mut servers = vec![master];
        for _ in 0..replicas {
            servers.push(options.clone().set("replicaof", format!("127.0.0.1 {port}")).start());
        }
        let sentinels = (0..3).map(|_| Sentinel::start(&port, options.secret())).collect();
        let this = Self { servers, sentinels, options };
        this.wait_until_watched(replicas);
        this
    }

    /// With Sentinels that replace a master which was silent for so long.
    #[must_use]
    #[track_caller]
    pub fn noticing_after(self, silence: Duration) -> Self {
        let millis = silence.as_millis().to_string();
        for sentinel in &self.sentinels {
            let set = ["sentinel", "set", MASTER, "down-after-milliseconds", &millis];
            assert_eq!(sentinel.cli(&set), "OK");
        }
        self
    }

    /// The URL of its Sentinels.
    #[must_use]
    pub fn url(&self) -> String {
        let login = self.options.secret().map_or(String::new(), |secret| format!(":{secret}@"));
        let ports = self.sentinels.iter().map(|sentinel| format!("127.0.0.1:{}", sentinel.port));
        format!("redis+sentinel://{login}{}/{MASTER}", ports.collect::<Vec<_>>().join(","))
    }

    /// The URLs of the Sentinels, each by itself.
    #[must_use]
    pub fn sentinel_urls(&self) -> Vec<String> {
        let url = |sentinel: &Sentinel| format!("redis://127.0.0.1:{}", sentinel.port);
        self.sentinels.iter().map(url).collect()
    }

    /// Makes them choose another master, though nothing is wrong with this one.
    #[track_caller]
    pub fn fail_over(&self) {
        // Not before they have looked at the replicas, too.
        wait_until("the Sentinels choose no other master", || {
            self.sentinels[0].cli(&["sentinel", "failover", MASTER]) == "OK"
        });
    }

    /// The servers, those that were killed too.
    #[must_use]
    pub fn servers(&self) -> &[RedisServer] {
        &self.servers
    }

    /// The place among the servers of the one that the Sentinels hold for the master.
    #[must_use]
    #[track_caller]
    pub fn master(&self) -> usize {
        let said = self.sentinels[0].cli(&["sentinel", "get-master-addr-by-name", MASTER]);
        let port = said.lines().nth(1).and_then(|port| port.parse().ok());
        let place = |server: &RedisServer| Some(server.port()) == port;
        self.servers.iter().position(place).expect("the master is one of the servers")
    }

    /// Ends a server at once.
    #[track_caller]
    pub fn kill(&mut self, server: usize) {
        self.servers[server].kill();
    }

    /// Ends one of the Sentinels at once.
    #[track_caller]
    pub fn kill_sentinel(&mut self, sentinel: usize) {
        self.sentinels[sentinel].process = None;
    }

    /// Waits until another server than this is the master, for the Sentinels and for itself.
    #[track_caller]
    pub fn wait_for_another_than(&self, server: usize) -> usize {
        wait_until("the Sentinels made no other server the master", || {
            let master = self.master();
            master != server && self.servers[master].cli(&["role"]).starts_with("master")
        });
        self.master()
    }

    #[track_caller]
    fn wait_until_watched(&self, replicas: usize) {
        wait_until("the Sentinels do not see the replicas and each other", || {
            self.sentinels.iter().all(|sentinel| {
                let said = sentinel.cli(&["sentinel", "master", MASTER]);
                let field = |name| said.lines().skip_while(move |line| *line != name).nth(1);
                field("num-slaves") == Some(replicas.to_string().as_str())
                    && field("num-other-sentinels") == Some("2")
            })
        });
        wait_until("the replicas do not follow", || {
            let follows = |replica: &RedisServer| {
                replica.cli(&["info", "replication"]).contains("master_link_status:up")
            };
            self.servers.iter().skip(1).all(follows)
        });
    }
}

#[derive(Debug)]
struct Sentinel {
    port: u16,
    process: Option<Process>,
    folder: TempDir,
}

impl Sentinel {
    #[track_caller]
    fn start(master: &str, secret: Option<&str>) -> Self {
        on_a_free_port(|port| Self::begin(port, master, secret))
    }

    #[track_caller]
    fn begin(port: u16, master: &str, secret: Option<&str>) -> Result<Self, String> {
        let mut this = Self { port, process: None, folder: tempfile::tempdir().unwrap() };
        let mut settings = format!(
            "port {port}\nbind 127.0.0.1\ndir {}\nunixsocket {}\n\
             sentinel monitor {MASTER} 127.0.0.1 {master} 2\n\
             sentinel down-after-milliseconds {MASTER} {}\n\
             sentinel failover-timeout {MASTER} 3000\n\
             sentinel parallel-syncs {MASTER} 2\n",
            this.folder.path().display(),
            this.socket().display(),
            SILENCE.as_millis()
        );
        if let Some(secret) = secret {
            settings.push_str(&format!("sentinel auth-pass {MASTER} {secret}\n"));
        }
        let file = this.folder.path().join("sentinel.conf");
        fs::write(&file, settings).unwrap();
        let process = Process::spawn(Command::new("redis-sentinel").arg(&file));
        this.process = Some(begun(process, || this.cli(&["ping"]) == "PONG")?);
        Ok(this)
    }

    /// Its unix socket: on its port, somebody else may answer.
    fn socket(&self) -> PathBuf {
        self.folder.path().join("sentinel.sock")
    }

    fn cli(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("redis-cli");
        command.arg("-s").arg(self.socket()).args(arguments);
        let output = command.output().expect("redis-cli is installed");
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }
}
