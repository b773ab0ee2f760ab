use std::{
    ffi::OsStr,
    net::SocketAddr,
    path::Path,
    process::Command,
    sync::{Mutex, MutexGuard, PoisonError},
};

use rustix::process::Signal;

use crate::{
    client::Client,
    command::Keygate,
    load::on_connections_to,
    process::{Ended, Process},
    program,
    redis::{RedisServer, free_port},
    server::{api, listening},
    time::PATIENCE,
};

/// An API over Redis, about to be started on a free port.
#[derive(Debug)]
pub struct Api {
    command: Command,
}

impl Api {
    /// `api_axum`, with the Redis at this URL.
    #[must_use]
    pub fn axum(redis: &str) -> Self {
        Self::of(program::api_axum(), redis)
    }

    /// `api_actix`, with the Redis at this URL.
    #[must_use]
    pub fn actix(redis: &str) -> Self {
        Self::of(program::api_actix(), redis)
    }

    /// The service of gRPC, with the Redis at this URL.
    #[must_use]
    pub fn grpc(redis: &str) -> Self {
        Self::of(program::grpc(), redis)
    }

    /// The exports, with the Redis at this URL.
    #[must_use]
    pub fn exports(redis: &str) -> Self {
        Self::of(program::exports(), redis)
    }

    fn of(program: &Path, redis: &str) -> Self {
        let mut command = api(program);
        command.env("KEYGATE_REDIS_URL", redis);
        Self { command }
    }

    /// With a deadline that no decision meets on any machine, however busy.
    #[must_use]
    pub fn patient(self) -> Self {
        self.env("KEYGATE_DEADLINE_MS", PATIENCE.as_millis().to_string())
    }

    /// With an environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Starts it, and waits until it ends by itself. It logs nothing: on a busy machine it may have to
    /// warn of a Redis that is slow, before its last words.
    #[must_use]
    #[track_caller]
    pub fn ended(mut self) -> Ended {
        Process::spawn(self.command.env("RUST_LOG", "off")).ended()
    }

    /// Starts it, and waits until it listens.
    #[must_use]
    #[track_caller]
    pub fn start(mut self) -> Replica {
        // Whenever it is started again, it listens where it did.
        self.command.env("KEYGATE_ADDR", format!("127.0.0.1:{}", free_port()));
        let (process, address) = started(self.command.arg("--json"));
        Replica { command: self.command, process, address }
    }
}

/// An API over Redis that listens. Killed on drop, by its id.
#[derive(Debug)]
pub struct Replica {
    command: Command,
    process: Process,
    address: SocketAddr,
}

impl Replica {
    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
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

    /// Ends it at once, with SIGKILL.
    #[track_caller]
    pub fn kill(&mut self) {
        self.process.end_by(Signal::KILL);
    }

    /// Starts it again where it listened, once it has ended.
    #[track_caller]
    pub fn run(&mut self) {
        (self.process, self.address) = started(&mut self.command);
    }
}

#[track_caller]
fn started(command: &mut Command) -> (Process, SocketAddr) {
    let mut process = Process::spawn(command);
    let told = serde_json::from_str(&process.line()).expect("the first line is JSON");
    (process, listening(&told))
}

/// Tests that load all cores take turns.
static TURN: Mutex<()> = Mutex::new(());

/// Three replicas of one API, the Redis that they share, and the command before it. A test program
/// has one at a time.
#[derive(Debug)]
pub struct Replicas {
    replicas: [Replica; 3],
    keygate: Keygate,
    redis: RedisServer,
    _turn: MutexGuard<'static, ()>,
}

impl Replicas {
    /// Of `api_axum`, with these plans in force.
    #[must_use]
    #[track_caller]
    pub fn start(plans: &str) -> Self {
        Self::of(Api::axum, plans)
    }

    /// Of this API, with these plans in force.
    #[must_use]
    #[track_caller]
    pub fn of(api: impl Fn(&str) -> Api, plans: &str) -> Self {
        // Whoever failed in its turn is told of by itself.
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let redis = RedisServer::start();
        let keygate = Keygate::at(&redis.url());
        keygate.apply(plans);
        let replicas = [(); 3].map(|()| api(&redis.url()).patient().start());
        Self { replicas, keygate, redis, _turn: turn }
    }

    /// The command before their store.
    #[must_use]
    pub fn keygate(&self) -> &Keygate {
        &self.keygate
    }

    /// Their store.
    #[must_use]
    pub fn redis(&self) -> &RedisServer {
        &self.redis
    }

    /// Where each listens.
    #[must_use]
    pub fn addresses(&self) -> [SocketAddr; 3] {
        self.replicas.each_ref().map(Replica::address)
    }

    /// Ends one at once, with SIGKILL.
    #[track_caller]
    pub fn kill(&mut self, replica: usize) {
        self.replicas[replica].kill();
    }

    /// A client of each.
    #[must_use]
    pub fn clients(&self) -> [Client; 3] {
        self.replicas.each_ref().map(Replica::client)
    }

    /// Runs `work` on so many threads for each replica at once, each thread with a connection of its
    /// own and its number, and gives all that they made.
    #[must_use]
    #[track_caller]
    pub fn on_threads<T: Send>(
        &self,
        each: usize,
        work: impl Fn(&mut Client, usize) -> Vec<T> + Sync,
    ) -> Vec<T> {
        on_connections_to(&self.addresses(), each, work)
    }
}
