//! Lua scripts: sent by their hash, and in full to a node that does not know them yet.

use redis::{Arg, Cmd, ToRedisArgs, cmd};

/// A script, with the hash that Redis files it under.
#[derive(Debug)]
pub(crate) struct Script {
    text: &'static str,
    hash: String,
}

impl Script {
    pub(crate) fn new(text: &'static str) -> Self {
        let hash = redis::Script::new(text).get_hash().to_owned();
        Self { text, hash }
    }

    /// A call by hash: `EVALSHA`.
    pub(crate) fn by_hash(&self, keys: &[impl ToRedisArgs], args: &[impl ToRedisArgs]) -> Cmd {
        // Room for what a decision says of one owner.
        let mut call = Cmd::with_capacity(5, 512);
        call.arg("EVALSHA").arg(&self.hash).arg(keys.len()).arg(keys).arg(args);
        call
    }

    /// The same call in full: `EVAL`, which also makes the node file the script.
    pub(crate) fn in_full(&self, by_hash: &Cmd) -> Cmd {
        let mut call = cmd("EVAL");
        call.arg(self.text);
        for arg in by_hash.args_iter().skip(2) {
            if let Arg::Simple(arg) = arg {
                call.arg(arg);
            }
        }
        call
    }
}
