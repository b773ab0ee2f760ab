use std::{
    net::{Ipv4Addr, TcpListener},
    path::PathBuf,
    process::Command,
    thread,
    time::Duration,
};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::{
    process::Process,
    time::{PATIENCE, now},
};

/// How a server is started. Everything not said is as `redis-server` has it, but nothing is saved.
#[derive(Clone, Debug, Default)]
pub struct RedisOptions {
    arguments: Vec<String>,
}

impl RedisOptions {
    /// With a setting of `redis.conf`, such as `("maxmemory", "1mb")`.
    #[must_use]
    pub fn set(mut self, name: &str, value: impl Into<String>) -> Self {
        self.arguments.extend([format!("--{name}"), value.into()]);
        self
    }

    /// Starts it, and waits until it answers.
    #[must_use]
    #[track_caller]
    pub fn start(self) -> RedisServer {
        RedisServer::with(self)
    }
}

/// A Redis server of its own. Killed on drop, by its id.
#[derive(Debug)]
pub struct RedisServer {
    process: Option<Process>,
    port: u16,
    options: RedisOptions,
    folder: TempDir,
}

impl RedisServer {
    /// A server as it comes.
    #[must_use]
    #[track_caller]
    pub fn start() -> Self {
        RedisOptions::default().start()
    }

    #[track_caller]
    fn with(options: RedisOptions) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut server = Self { process: None, port: free_port(), options, folder };
        server.run();
        server
    }

    /// Where it listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Its unix socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("redis.sock")
    }

    /// What `redis-cli` prints for these arguments.
    #[track_caller]
    pub fn cli(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("redis-cli");
        command.args(["-p", &self.port.to_string()]).args(arguments);
        let output = command.output().expect("redis-cli is installed");
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }

    /// Every key, by SCAN.
    #[must_use]
    pub fn keys(&self) -> Vec<String> {
        let mut command = Command::new("redis-cli");
        command.args(["-p", &self.port.to_string(), "--scan"]);
        let output = command.output().expect("redis-cli is installed");
        String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
    }

    /// Sends it a signal: `KILL` to crash it, `STOP` and `CONT` to freeze it for a while.
    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        self.process.as_ref().expect("the server runs").signal(signal);
    }

    /// Ends it at once. What it held is gone.
    #[track_caller]
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Starts it again on its port, empty.
    #[track_caller]
    pub fn run(&mut self) {
        let folder = self.folder.path();
        let mut command = Command::new("redis-server");
        command.args(["--port", &self.port.to_string(), "--bind", "127.0.0.1"]);
        command.args(["--save", "", "--appendonly", "no", "--loglevel", "warning"]);
        command.arg("--dir").arg(folder).arg("--unixsocket").arg(self.socket());
        command.args(&self.options.arguments);
        self.process = Some(Process::spawn(&mut command));
        self.wait_until_it_answers();
    }

    #[track_caller]
    fn wait_until_it_answers(&mut self) {
        let start = now();
        while !["PONG", "NOAUTH"].iter().any(|word| self.cli(&["ping"]).contains(word)) {
            assert!(now().duration_since(start) < PATIENCE, "redis-server does not answer");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// A port nobody listens on. Somebody else may take it before it is used, which the start then tells.
#[must_use]
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap().port()
}
