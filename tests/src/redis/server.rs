use std::{path::PathBuf, process::Command};

use rustix::process::Signal;
use tempfile::TempDir;

use super::{begun, port::on_a_free_port, tls::Certificate};
use crate::process::Process;

/// How a server is started. Everything not said is as `redis-server` has it, but nothing is saved.
#[derive(Clone, Debug, Default)]
pub struct RedisOptions {
    arguments: Vec<String>,
    password: Option<String>,
    certificate: Option<Certificate>,
}

impl RedisOptions {
    /// With a setting of `redis.conf`, such as `("maxmemory", "1mb")`.
    #[must_use]
    pub fn set(mut self, name: &str, value: impl Into<String>) -> Self {
        self.arguments.extend([format!("--{name}"), value.into()]);
        self
    }

    /// With a password for everybody, which replicas use for their master too.
    #[must_use]
    pub fn password(self, password: &str) -> Self {
        let this = self.set("requirepass", password).set("masterauth", password);
        Self { password: Some(password.to_owned()), ..this }
    }

    /// With a user that has a password and may do what the rules say, such as `~* +@all`.
    #[must_use]
    pub fn user(mut self, name: &str, password: &str, rules: &str) -> Self {
        self.arguments.extend(["--user".to_owned(), name.to_owned()]);
        self.arguments.extend(["on".to_owned(), format!(">{password}")]);
        self.arguments.extend(rules.split(' ').map(str::to_owned));
        self
    }

    /// With TLS instead of plain TCP, and a certificate of its own for 127.0.0.1.
    #[must_use]
    pub fn tls(self) -> Self {
        Self { certificate: Some(Certificate::new()), ..self }
    }

    pub(super) fn secret(&self) -> Option<&str> {
        self.password.as_deref()
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
        let mut server = Self { process: None, port: 0, options, folder };
        on_a_free_port(|port| {
            server.port = port;
            server.begin()
        });
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
        let scheme = if self.options.certificate.is_some() { "rediss" } else { "redis" };
        let login = self.options.secret().map_or(String::new(), |secret| format!(":{secret}@"));
        format!("{scheme}://{login}127.0.0.1:{}", self.port)
    }

    /// The root certificate to trust, as PEM, of a server with TLS.
    #[must_use]
    #[track_caller]
    pub fn root_certificate(&self) -> &str {
        self.options.certificate.as_ref().expect("the server speaks TLS").root()
    }

    /// Its unix socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("redis.sock")
    }

    /// What `redis-cli` prints for these arguments.
    #[track_caller]
    pub fn cli(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().expect("redis-cli is installed");
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }

    /// A `redis-cli` that is to talk to it, over its unix socket.
    pub(super) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("redis-cli");
        command.arg("-s").arg(self.socket());
        if let Some(secret) = self.options.secret() {
            command.args(["-a", secret, "--no-auth-warning"]);
        }
        command.args(arguments);
        command
    }

    /// Every key, by SCAN.
    #[must_use]
    pub fn keys(&self) -> Vec<String> {
        let output = self.command(&["--scan"]).output().expect("redis-cli is installed");
        String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
    }

    /// Sends it a signal: `KILL` to crash it, `STOP` and `CONT` to freeze it for a while.
    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        self.process.as_ref().expect("the server runs").signal(signal);
    }

    /// Whether it was started and not killed.
    #[must_use]
    pub fn runs(&self) -> bool {
        self.process.is_some()
    }

    /// Ends it at once. What it held is gone.
    #[track_caller]
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Starts it again on its port, empty.
    #[track_caller]
    pub fn run(&mut self) {
        self.begin().unwrap_or_else(|told| panic!("the server does not begin again:\n{told}"));
    }

    #[track_caller]
    fn begin(&mut self) -> Result<(), String> {
        let folder = self.folder.path();
        let mut command = Command::new("redis-server");
        match &self.options.certificate {
            Some(certificate) => certificate.serve(&mut command, self.port, folder),
            None => drop(command.args(["--port", &self.port.to_string()])),
        }
        command.args(["--bind", "127.0.0.1"]);
        command.args(["--save", "", "--appendonly", "no", "--loglevel", "warning"]);
        command.arg("--dir").arg(folder).arg("--unixsocket").arg(self.socket());
        command.args(&self.options.arguments);
        let answers = || {
            let said = self.cli(&["ping"]);
            ["PONG", "NOAUTH", "LOADING", "MASTERDOWN"].iter().any(|word| said.contains(word))
        };
        self.process = Some(begun(Process::spawn(&mut command), answers)?);
        Ok(())
    }
}
