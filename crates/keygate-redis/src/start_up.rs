//! What is looked at once, when a service starts: is this a Redis that counters can be trusted to?

use std::{error::Error, fmt, time::Duration};

use redis::{FromRedisValue, InfoDict, Value, cmd};

use crate::{
    address::AddressError,
    fault::{Fault, FaultKind},
    link::Link,
};

/// How long each question may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// The oldest Redis that does what is asked of it.
const OLDEST: Version = Version(6, 2);

/// Looks at the server, or at every master of a Cluster. An eviction policy that would forget counters is
/// only warned of: they may be meant to be forgotten.
///
/// # Errors
///
/// If Redis cannot be reached or logged in to, is older than 6.2, or is a replica.
pub(crate) async fn check(link: &Link) -> Result<(), ConnectError> {
    match link.query(cmd("INFO").arg("everything"), PATIENCE).await? {
        // What each node of a Cluster answered.
        Value::Map(answers) => answers.iter().try_for_each(|(_, answer)| look_at(answer)),
        answer => look_at(&answer),
    }
}

fn look_at(answer: &Value) -> Result<(), ConnectError> {
    let info = InfoDict::from_redis_value_ref(answer)
        .map_err(|_| Fault::Foreign("INFO is answered with something else".to_owned()))?;
    if let Some(version) = info.get::<String>("redis_version") {
        let enough = Version::read(&version).is_some_and(|version| version >= OLDEST);
        enough.then_some(()).ok_or(ConnectError(Cause::TooOld(version)))?;
    }
    if info.get::<String>("role").is_some_and(|role| role == "slave") {
        return Err(ConnectError(Cause::Replica));
    }
    let policy = info.get::<String>("maxmemory_policy").unwrap_or_default();
    if !["noeviction", ""].contains(&policy.as_str()) {
        tracing::warn!(
            policy,
            "Redis may evict counters and keys when its memory is full, which gives allowances back: \
             set maxmemory-policy to noeviction"
        );
    }
    Ok(())
}

/// Redis cannot be used as it is.
#[derive(Debug)]
pub struct ConnectError(Cause);

#[derive(Debug)]
enum Cause {
    Address(AddressError),
    Fault(Fault),
    TooOld(String),
    Replica,
    Prefix,
}

impl ConnectError {
    pub(crate) fn prefix() -> Self {
        Self(Cause::Prefix)
    }

    /// Whether the URL, the root certificates or the prefix are wrong.
    #[must_use]
    pub fn is_address(&self) -> bool {
        matches!(self.0, Cause::Address(_) | Cause::Prefix)
    }

    /// Whether nobody answered there.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        matches!(self.kind(), Some(FaultKind::Connection | FaultKind::Timeout))
    }

    /// Whether user or password were refused, or may not do what is needed.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        matches!(self.kind(), Some(FaultKind::Credentials | FaultKind::Permission))
    }

    /// Whether the server is too old.
    #[must_use]
    pub fn is_too_old(&self) -> bool {
        matches!(self.0, Cause::TooOld(_))
    }

    /// Whether the server is a replica, which does not count.
    #[must_use]
    pub fn is_replica(&self) -> bool {
        matches!(self.0, Cause::Replica)
    }

    fn kind(&self) -> Option<FaultKind> {
        if let Cause::Fault(fault) = &self.0 { Some(fault.kind()) } else { None }
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Cause::Address(error) => error.fmt(f),
            Cause::Prefix => {
                f.write_str("the prefix of Redis keys must have some text, and no { or }")
            }
            Cause::TooOld(version) => write!(f, "Redis is {version}, and must be 6.2 or newer"),
            Cause::Replica => f.write_str(
                "Redis is a replica, and cannot count: give the address of its master, or those of \
                 the Sentinels (redis+sentinel://)",
            ),
            Cause::Fault(fault) => match fault.kind() {
                FaultKind::Credentials => f.write_str(
                    "Redis refused user or password: put the right ones into its URL, \
                     percent-encoded, as in redis://user:password@host",
                ),
                FaultKind::Permission => write!(
                    f,
                    "Redis lets the user in, but not do what is needed: {fault}; allow it by ACL SETUSER"
                ),
                FaultKind::Foreign => fault.fmt(f),
                _ => write!(f, "Redis cannot be reached: {fault}"),
            },
        }
    }
}

impl Error for ConnectError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.0 {
            Cause::Address(error) => error.source(),
            Cause::Fault(fault) => fault.source(),
            Cause::TooOld(_) | Cause::Replica | Cause::Prefix => None,
        }
    }
}

impl From<AddressError> for ConnectError {
    fn from(error: AddressError) -> Self {
        Self(Cause::Address(error))
    }
}

impl From<Fault> for ConnectError {
    fn from(fault: Fault) -> Self {
        Self(Cause::Fault(fault))
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Version(u32, u32);

impl Version {
    fn read(text: &str) -> Option<Self> {
        let mut numbers = text.split('.').map(str::parse);
        Some(Self(numbers.next()?.ok()?, numbers.next()?.ok()?))
    }
}

#[cfg(test)]
mod tests {
    use keygate_tests::{RedisCluster, RedisOptions, RedisSentinel, RedisServer, free_port};

    use super::*;
    use crate::{address::Address, fake};

    async fn checked(url: &str) -> Result<(), ConnectError> {
        check(&Link::to(&Address::parse(url)?)?).await
    }

    #[tokio::test]
    async fn one_server_a_master_behind_sentinel_and_a_cluster_will_do() {
        checked(&RedisServer::start().url()).await.unwrap();
        checked(&RedisSentinel::of(0, RedisOptions::default()).url()).await.unwrap();
        checked(&RedisCluster::of(3, 0, RedisOptions::default()).url()).await.unwrap();
    }

    #[tokio::test]
    async fn nobody_there_is_unreachable() {
        let url = format!("redis://127.0.0.1:{}", free_port());
        let error = checked(&url).await.unwrap_err();
        assert!(error.is_unreachable(), "{error}");
    }

    #[tokio::test]
    async fn a_wrong_password_is_refused_and_not_repeated() {
        let server = RedisOptions::default().password("right").start();
        let cluster = RedisCluster::of(3, 0, RedisOptions::default().password("right"));
        let sentinel = RedisSentinel::of(0, RedisOptions::default().password("right"));
        for url in [server.url(), cluster.url(), sentinel.url()] {
            for wrong in [url.replace(":right@", ":hush@"), url.replace(":right@", "")] {
                let error = checked(&wrong).await.unwrap_err();
                let printed = format!("{error} {error:?}");
                assert!(error.is_refused(), "{wrong}: {printed}");
                assert!(!printed.contains("hush"), "{printed}");
            }
        }
    }

    #[tokio::test]
    async fn what_a_user_may_not_do_is_told() {
        let server = RedisOptions::default().user("weak", "pass", "~* +@all -info").start();
        let url = format!("redis://weak:pass@127.0.0.1:{}", server.port());
        let error = checked(&url).await.unwrap_err();
        assert!(error.is_refused() && error.to_string().contains("info"), "{error}");
    }

    #[tokio::test]
    async fn a_replica_is_told_apart() {
        let master = RedisServer::start();
        let follow = format!("127.0.0.1 {}", master.port());
        let replica = RedisOptions::default().set("replicaof", follow).start();
        let error = checked(&replica.url()).await.unwrap_err();
        assert!(error.is_replica(), "{error}");
    }

    #[tokio::test]
    async fn an_old_server_is_told_with_its_version() {
        let info = "redis_version:6.0.16\r\nrole:master\r\n";
        let answer = move |_: &str, _| Some(format!("${}\r\n{info}\r\n", info.len()));
        let port = fake::server(answer).await;
        let error = checked(&format!("redis://127.0.0.1:{port}")).await.unwrap_err();
        assert!(error.is_too_old() && error.to_string().contains("6.0.16"), "{error}");
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        let enough = |text| Version::read(text).is_some_and(|version| version >= OLDEST);
        assert!(enough("6.2.0") && enough("10.0") && enough("7.0.15"));
        assert!(!enough("6.0.16") && !enough("5.9") && !enough("none"));
    }
}
