//! Lua scripts: sent by their hash, and in full to a node that does not know them yet.

use redis::{Cmd, ToRedisArgs, cmd};

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
    pub(crate) fn by_hash(&self, keys: &[String], args: &[impl ToRedisArgs]) -> Cmd {
        Self::call("EVALSHA", &self.hash, keys, args)
    }

    /// A call in full: `EVAL`, which also makes the node file it.
    pub(crate) fn in_full(&self, keys: &[String], args: &[impl ToRedisArgs]) -> Cmd {
        Self::call("EVAL", self.text, keys, args)
    }

    fn call(verb: &'static str, script: &str, keys: &[String], args: &[impl ToRedisArgs]) -> Cmd {
        let mut call = cmd(verb);
        call.arg(script).arg(keys.len()).arg(keys).arg(args);
        call
    }
}
