use std::{ffi::OsStr, process::Command};

use keygate_tests::{RedisOptions, RedisServer};
use serde_json::Value;

use super::Ran;

/// One quota for the consumer, one rate for each key, and a limit of one operation.
const PLANS: &str = r#"# of the tests
[plans.free]
scopes = ["search:*", "orders:read"]
limits = [
  { name = "daily", quota = 100, per = "day", zone = "ZONE" },
  { name = "burst", rate = "20/day", partition = "key" },
  { name = "export", quota = 5, per = "month", operations = ["export"], zone = "ZONE" },
]

[plans.pro]
scopes = ["*"]
limits = [{ name = "daily", quota = 1000, per = "day", zone = "ZONE" }]
"#;

/// Where an operator sits: the program, before a store.
pub(crate) struct Desk {
    pub(crate) redis: RedisServer,
    environment: Vec<(&'static str, String)>,
}

impl Desk {
    /// Before an empty store.
    #[track_caller]
    pub(crate) fn empty() -> Self {
        Self::before(RedisOptions::default())
    }

    #[track_caller]
    pub(crate) fn before(options: RedisOptions) -> Self {
        let redis = options.start();
        let environment = vec![("KEYGATE_STORE", redis.url())];
        Self { redis, environment }
    }

    /// Before a store with [`PLANS`].
    #[track_caller]
    pub(crate) fn with_plans() -> Self {
        let desk = Self::empty();
        desk.fed(&plans(), ["plans", "apply", "-"]).done();
        desk
    }

    /// With this in its environment, too.
    pub(crate) fn set(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.environment.push((name, value.into()));
        self
    }

    /// Runs the program.
    #[track_caller]
    pub(crate) fn run<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Ran {
        self.fed("", arguments)
    }

    /// Runs the program with this input.
    #[track_caller]
    pub(crate) fn fed<A: AsRef<OsStr>>(
        &self,
        input: &str,
        arguments: impl IntoIterator<Item = A>,
    ) -> Ran {
        Ran::of(&mut self.command(arguments), input)
    }

    /// The program, not yet run.
    pub(crate) fn command<A: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = A>,
    ) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_keygate"));
        command.env_clear().envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.args(arguments);
        command
    }

    /// Issues a key on the plan `free`: its JSON form.
    #[track_caller]
    pub(crate) fn issue(&self, consumer: &str) -> Value {
        let scopes = ["--scope", "search:*", "--scope", "orders:read"];
        let key = ["keys", "issue", "--consumer", consumer, "--plan", "free", "--json"];
        self.run(key.into_iter().chain(scopes)).json()
    }
}

fn plans() -> String {
    PLANS.replace("ZONE", keygate_tests::calm_zone())
}
