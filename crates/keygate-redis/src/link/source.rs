//! How a connection is made, for each of the three forms.

use std::{sync::Arc, time::Duration};

use deadpool_redis::{Connection, Pool, sentinel};
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo,
    ProtocolVersion, RedisConnectionInfo, RedisResult, TlsCertificates, TlsMode,
    cluster::ClusterClient,
    io::tcp::{TcpSettings, socket2::TcpKeepalive},
    sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType},
};
use tokio::{sync::Mutex, time::timeout};

use super::{held::Held, subscription::PushSource};
use crate::{
    address::{Address, AddressError, Form, Host, Login},
    fault::Fault,
};

/// How long one attempt may take to reach one server, and to log in there.
const ONE_SERVER: Duration = Duration::from_secs(1);

/// How long an attempt may take in all: Sentinels to ask, or nodes to try, before the one that answers.
const IN_ALL: Duration = Duration::from_secs(5);

/// Every call has its own deadline; those that redis-rs adds by itself must not come first.
const NEVER: Duration = Duration::from_secs(3600);

/// Waiting calls that the connection takes in before it makes them queue.
const BUFFERED: usize = 1024;

/// How often a Cluster sends a command on: after MOVED and ASK at once, else after a pause. None of
/// these was carried out; what may have been is never sent again (see `node`).
const HOPS: u32 = 16;
const SHORTEST_PAUSE_MILLIS: u64 = 1;
const LONGEST_PAUSE_MILLIS: u64 = 50;

/// What makes connections.
///
/// One server and Sentinel through a pool of the user's own, or through redis-rs itself, which takes
/// settings that deadpool's managers do not: TCP_NODELAY with Sentinel, no resending with a Cluster.
pub(crate) enum Source {
    Pool(Pool),
    SentinelPool(sentinel::Pool),
    Server(Client),
    Sentinel(Mutex<SentinelClient>),
    Cluster(ClusterClient),
}

impl Source {
    /// A connection, logged in; or why there is none.
    pub(super) async fn connect(&self, told: Told) -> Result<Held, Fault> {
        match timeout(IN_ALL, self.connected(told)).await {
            Ok(connected) => connected,
            Err(elapsed) => Err(Fault::Connection(Arc::new(elapsed))),
        }
    }

    async fn connected(&self, told: Told) -> Result<Held, Fault> {
        let no_connection = |error| Fault::Connection(Arc::new(error));
        Ok(match self {
            Self::Pool(pool) => {
                let pooled = pool.get().await.map_err(|error| Fault::Connection(pooled(error)))?;
                Held::patient(Connection::take(pooled), NEVER)
            }
            Self::SentinelPool(pool) => {
                let pooled = pool.get().await.map_err(|error| Fault::Connection(pooled(error)))?;
                Held::patient(sentinel::Connection::take(pooled), NEVER)
            }
            Self::Server(client) => {
                let settings = settings(told);
                let made = client.get_multiplexed_async_connection_with_config(&settings).await;
                Held::Server(made.map_err(no_connection)?)
            }
            Self::Sentinel(client) => {
                let (settings, mut client) = (settings(told), client.lock().await);
                let made = client.get_async_connection_with_config(&settings).await;
                Held::Server(made.map_err(no_connection)?)
            }
            Self::Cluster(client) => {
                Held::cluster(client.get_async_generic_connection().await.map_err(no_connection)?)
            }
        })
    }
}

/// Called when a connection breaks, even if nobody uses it just then.
pub(super) type Told = Box<dyn Fn() + Send + Sync>;

impl From<Pool> for Source {
    fn from(pool: Pool) -> Self {
        Self::Pool(pool)
    }
}

impl From<sentinel::Pool> for Source {
    fn from(pool: sentinel::Pool) -> Self {
        Self::SentinelPool(pool)
    }
}

impl TryFrom<&Address> for Source {
    type Error = AddressError;

    fn try_from(address: &Address) -> Result<Self, AddressError> {
        made(address, made_from)
    }
}

impl TryFrom<&Address> for PushSource {
    type Error = AddressError;

    fn try_from(address: &Address) -> Result<Self, AddressError> {
        made(address, listening_to)
    }
}

fn made<T>(
    address: &Address,
    make: impl FnOnce(&Address) -> RedisResult<T>,
) -> Result<T, AddressError> {
    if address.tls {
        choose_cryptography();
    } else if address.roots.is_some() {
        return Err(AddressError::Certificate);
    }
    // All else was looked at when the URL was.
    make(address).map_err(|_| AddressError::Certificate)
}

fn made_from(address: &Address) -> RedisResult<Source> {
    Ok(match &address.form {
        Form::Server(host) => Source::Server(opened(at(host, address.tls), address)?),
        Form::Socket(path) => Source::Server(opened(ConnectionAddr::Unix(path.clone()), address)?),
        Form::Sentinel { sentinels, login, master } => {
            Source::Sentinel(Mutex::new(sentinel_client(address, sentinels, login, master)?))
        }
        Form::Cluster(nodes) => {
            let nodes = nodes.iter().map(|node| server(at(node, address.tls), address));
            Source::Cluster(cluster_client(address, nodes.collect::<RedisResult<Vec<_>>>()?)?)
        }
    })
}

fn listening_to(address: &Address) -> RedisResult<PushSource> {
    let one = |addr| Ok(PushSource::Nodes(vec![opened(addr, address)?]));
    match &address.form {
        Form::Server(host) => one(at(host, address.tls)),
        Form::Socket(path) => one(ConnectionAddr::Unix(path.clone())),
        Form::Sentinel { sentinels, login, master } => {
            let client = sentinel_client(address, sentinels, login, master)?;
            Ok(PushSource::Sentinel(Box::new(Mutex::new(client))))
        }
        Form::Cluster(nodes) => {
            let nodes = nodes.iter().map(|node| opened(at(node, address.tls), address));
            Ok(PushSource::Nodes(nodes.collect::<RedisResult<_>>()?))
        }
    }
}

fn server(addr: ConnectionAddr, address: &Address) -> RedisResult<ConnectionInfo> {
    let login = settings_of(&address.login, address.database);
    let info = IntoConnectionInfo::into_connection_info(addr)?;
    Ok(info.set_redis_settings(login).set_tcp_settings(tcp()))
}

fn opened(addr: ConnectionAddr, address: &Address) -> RedisResult<Client> {
    let info = server(addr, address)?;
    match certificates(address) {
        Some(certificates) => Client::build_with_tls(info, certificates),
        None => Client::open(info),
    }
}

fn sentinel_client(
    address: &Address,
    sentinels: &[Host],
    login: &Login,
    master: &str,
) -> RedisResult<SentinelClient> {
    let hosts: Vec<_> = sentinels.iter().map(|host| at(host, address.tls)).collect();
    let mut builder = SentinelClientBuilder::new(hosts, master, SentinelServerType::Master)?
        .set_client_to_redis_db(i64::from(address.database))
        .set_client_to_redis_protocol(ProtocolVersion::RESP3)
        .set_client_to_redis_tcp_settings(tcp())
        .set_client_to_sentinel_tcp_settings(tcp());
    if address.tls {
        builder = builder.set_client_to_redis_tls_mode(TlsMode::Secure);
    }
    if let Some(certificates) = certificates(address) {
        builder = builder
            .set_client_to_redis_certificates(certificates.clone())
            .set_client_to_sentinel_certificates(certificates);
    }
    with_logins(builder, &address.login, login).build()
}

fn with_logins(
    mut builder: SentinelClientBuilder,
    servers: &Login,
    sentinels: &Login,
) -> SentinelClientBuilder {
    if let Some(user) = &servers.user {
        builder = builder.set_client_to_redis_username(user);
    }
    if let Some(password) = &servers.password {
        builder = builder.set_client_to_redis_password(password);
    }
    if let Some(user) = &sentinels.user {
        builder = builder.set_client_to_sentinel_username(user);
    }
    if let Some(password) = &sentinels.password {
        builder = builder.set_client_to_sentinel_password(password);
    }
    builder
}

fn cluster_client(address: &Address, nodes: Vec<ConnectionInfo>) -> RedisResult<ClusterClient> {
    let mut builder = ClusterClient::builder(nodes)
        .connection_timeout(ONE_SERVER)
        .overall_response_timeout(None)
        .retries(HOPS)
        .min_retry_wait(SHORTEST_PAUSE_MILLIS)
        .max_retry_wait(LONGEST_PAUSE_MILLIS)
        .retry_wait_formula(1, 2)
        .tcp_settings(tcp());
    if let Some(certificates) = certificates(address) {
        builder = builder.certs(certificates);
    }
    builder.build()
}

fn at(host: &Host, tls: bool) -> ConnectionAddr {
    let (host, port) = (host.name.clone(), host.port);
    if tls {
        ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
    } else {
        ConnectionAddr::Tcp(host, port)
    }
}

/// RESP3 tells of a connection that broke while nobody used it.
fn settings_of(login: &Login, database: u32) -> RedisConnectionInfo {
    let mut settings = RedisConnectionInfo::default()
        .set_db(i64::from(database))
        .set_protocol(ProtocolVersion::RESP3);
    if let Some(user) = &login.user {
        settings = settings.set_username(user);
    }
    if let Some(password) = &login.password {
        settings = settings.set_password(password);
    }
    settings
}

fn settings(told: Told) -> AsyncConnectionConfig {
    AsyncConnectionConfig::new()
        .set_connection_timeout(Some(ONE_SERVER))
        .set_response_timeout(None)
        .set_pipeline_buffer_size(BUFFERED)
        .set_push_sender(move |push: redis::PushInfo| {
            if push.kind == redis::PushKind::Disconnection {
                told();
            }
            Ok::<(), redis::aio::SendError>(())
        })
}

fn tcp() -> TcpSettings {
    let alive = TcpKeepalive::new()
        .with_time(Duration::from_secs(15))
        .with_interval(Duration::from_secs(5))
        .with_retries(3);
    TcpSettings::default().set_nodelay(true).set_keepalive(alive)
}

fn certificates(address: &Address) -> Option<TlsCertificates> {
    let root_cert = address.roots.clone();
    root_cert.map(|root_cert| TlsCertificates { client_tls: None, root_cert: Some(root_cert) })
}

/// Unless the program has chosen, rustls must be told which cryptography to use: where a second one
/// is compiled in, it would panic rather than choose.
fn choose_cryptography() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // Somebody else may be first, which is as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
}

/// The error of redis-rs under that of the pool, if there is one: it is what faults are told by.
fn pooled(error: deadpool_redis::PoolError) -> Arc<dyn std::error::Error + Send + Sync> {
    match error {
        deadpool_redis::PoolError::Backend(error) => Arc::new(error),
        other => Arc::new(other),
    }
}
