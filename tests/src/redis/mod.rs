//! Redis servers of a test's own, on free ports, with everything they write in a folder of theirs.

mod server;

pub use self::server::{RedisOptions, RedisServer, free_port};
