use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
};

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    client::Client,
    process::{Ended, Process},
    program,
};

/// The variables by which somebody's shell could change what a test sees.
const FOREIGN: [&str; 11] = [
    "KEYGATE_ADDR",
    "KEYGATE_DEADLINE_MS",
    "KEYGATE_PLANS",
    "KEYGATE_PROXY_HEADER",
    "KEYGATE_REDIS_URL",
    "KEYGATE_SLOT_LEASE_MS",
    "KEYGATE_SUBPROTOCOL",
    "KEYGATE_TRUSTED_PROXIES",
    "KEYGATE_VISITORS",
    "NO_COLOR",
    "RUST_LOG",
];

/// The quickstart, about to be started on a free port.
#[derive(Debug)]
pub struct Quickstart {
    command: Command,
    folder: TempDir,
}

impl Quickstart {
    /// With the plans it brings.
    #[must_use]
    pub fn new() -> Self {
        Self { command: api(program::quickstart()), folder: tempfile::tempdir().unwrap() }
    }

    /// With a file of plans.
    #[must_use]
    pub fn plans(mut self, text: impl AsRef<[u8]>) -> Self {
        let path = self.plan_file();
        fs::write(&path, text).unwrap();
        self.command.env("KEYGATE_PLANS", path);
        self
    }

    /// Where [`plans`](Self::plans) puts its file.
    #[must_use]
    pub fn plan_file(&self) -> PathBuf {
        self.folder.path().join("plans.toml")
    }

    /// With an environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// With an argument.
    #[must_use]
    pub fn arg(mut self, argument: &str) -> Self {
        self.command.arg(argument);
        self
    }

    /// Starts it as it is. The plans are read before its first line is written.
    #[must_use]
    pub fn spawn(mut self) -> (Process, TempDir) {
        (Process::spawn(&mut self.command), self.folder)
    }

    /// Starts it, and waits until it ends by itself.
    #[must_use]
    #[track_caller]
    pub fn ended(self) -> Ended {
        let (mut process, _folder) = self.spawn();
        process.ended()
    }

    /// Starts it with `--json`, and waits until it listens.
    #[must_use]
    #[track_caller]
    pub fn start(self) -> Server {
        let (process, folder) = self.arg("--json").spawn();
        Server::new(process, Some(folder))
    }
}

impl Default for Quickstart {
    fn default() -> Self {
        Self::new()
    }
}

/// An API that listens, with everything in memory. Killed on drop.
#[derive(Debug)]
pub struct Server {
    process: Process,
    line: String,
    address: SocketAddr,
    keys: BTreeMap<String, String>,
    _folder: Option<TempDir>,
}

impl Server {
    /// A server with these plans.
    #[must_use]
    #[track_caller]
    pub fn with_plans(text: impl AsRef<[u8]>) -> Self {
        Quickstart::new().plans(text).start()
    }

    /// The API of exports, on a free port.
    #[must_use]
    #[track_caller]
    pub fn exports() -> Self {
        Self::of(program::exports())
    }

    /// The WebSocket, on a free port.
    #[must_use]
    #[track_caller]
    pub fn websocket() -> Self {
        Self::of(program::websocket())
    }

    #[track_caller]
    fn of(program: &Path) -> Self {
        Self::new(Process::spawn(api(program).arg("--json")), None)
    }

    #[track_caller]
    fn new(mut process: Process, folder: Option<TempDir>) -> Self {
        let line = process.line();
        let told: Value = serde_json::from_str(&line).expect("the first line is JSON");
        let address = listening(&told);
        let text = |key: &Value| key.as_str().unwrap().to_owned();
        let keys = told["keys"].as_object().unwrap().iter();
        let keys = keys.map(|(plan, key)| (plan.clone(), text(key))).collect();
        Self { process, line, address, keys, _folder: folder }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The line it wrote when it began to listen.
    #[must_use]
    pub fn line(&self) -> &str {
        &self.line
    }

    /// The key of this plan.
    #[must_use]
    #[track_caller]
    pub fn key(&self, plan: &str) -> &str {
        self.keys.get(plan).unwrap_or_else(|| panic!("no key of `{plan}` in {:?}", self.keys))
    }

    /// The plans, each with its key.
    #[must_use]
    pub fn keys(&self) -> &BTreeMap<String, String> {
        &self.keys
    }

    /// A client with a connection of its own.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::to(self.address)
    }

    /// Asks it to end, with SIGTERM, and waits until it did.
    #[track_caller]
    pub fn stop(&mut self) -> Ended {
        self.process.stop()
    }

    /// Asks it to end, with this signal, and waits until it did.
    #[track_caller]
    pub fn end_by(&mut self, signal: Signal) -> Ended {
        self.process.end_by(signal)
    }
}

/// An API that is to listen on a free port.
pub(crate) fn api(program: &Path) -> Command {
    let mut command = Command::new(program);
    for name in FOREIGN {
        command.env_remove(name);
    }
    command.env("KEYGATE_ADDR", "127.0.0.1:0");
    command
}

/// Where an API listens, by its first line for programs.
#[track_caller]
pub(crate) fn listening(told: &Value) -> SocketAddr {
    told["listening"].as_str().unwrap().parse().unwrap()
}
