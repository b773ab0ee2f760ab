//! A limit in Redis as a service writes it for itself: one rate, one key, one short script.

use redis::{
    Client, ErrorKind, IntoConnectionInfo, RedisResult, Script, aio::MultiplexedConnection, cmd,
    io::tcp::TcpSettings,
};

/// GCRA: what is kept is the instant at which the bucket is empty again.
///
/// ARGV: microseconds a unit, the burst.
pub const GCRA: &str = r"
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local interval, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local empty_at = tonumber(redis.call('GET', KEYS[1]) or now)
if empty_at < now then empty_at = now end
local next_empty_at = empty_at + interval
local spare = now + interval * burst - next_empty_at
if spare < 0 then
  return {0, 0, math.ceil(-spare / 1000)}
end
redis.call('SET', KEYS[1], string.format('%.0f', next_empty_at), 'PX', math.ceil((next_empty_at - now) / 1000))
return {1, math.floor(spare / interval), 0}
";

/// As much as keygate's plan gives, so that nothing is refused.
const INTERVAL_MICROS: u64 = 10_000;
const BURST: u64 = 900_000_000;

/// The script, and the one connection over which everybody calls it.
#[derive(Clone)]
pub struct ByHand {
    connection: MultiplexedConnection,
    hash: String,
}

/// What it decided.
#[derive(Clone, Copy, Debug)]
pub struct Checked {
    pub admitted: bool,
    pub remaining: u64,
    pub retry_millis: u64,
}

impl ByHand {
    pub async fn connect(url: &str) -> RedisResult<Self> {
        let mut connection = connect(url).await?;
        let hash = load(&mut connection, GCRA).await?;
        Ok(Self { connection, hash })
    }

    pub async fn check(&self, who: &str) -> RedisResult<Checked> {
        let mut call = cmd("EVALSHA");
        call.arg(&self.hash).arg(1).arg(Self::key(who)).arg(INTERVAL_MICROS).arg(BURST);
        let (admitted, remaining, retry_millis) =
            call.query_async(&mut self.connection.clone()).await?;
        Ok(Checked { admitted, remaining, retry_millis })
    }

    /// Where it counts.
    pub fn key(who: &str) -> String {
        format!("rate:{who}")
    }
}

/// A connection to be shared, which sends at once.
pub async fn connect(url: &str) -> RedisResult<MultiplexedConnection> {
    let info = url.into_connection_info()?;
    let client = Client::open(info.set_tcp_settings(TcpSettings::default().set_nodelay(true)))?;
    client.get_multiplexed_async_connection().await
}

/// Makes the server know a script, and says by what hash.
pub async fn load(connection: &mut MultiplexedConnection, script: &str) -> RedisResult<String> {
    let hash: String = cmd("SCRIPT").arg("LOAD").arg(script).query_async(connection).await?;
    match hash == Script::new(script).get_hash() {
        true => Ok(hash),
        false => Err((ErrorKind::Client, "a script is filed under another hash").into()),
    }
}
