//! Where Redis is, and how to get in: a URL, understood.

mod parse;

use std::{fmt, path::PathBuf, str::FromStr};

/// Where Redis is: one server, several behind Sentinel, or a Cluster.
///
/// | URL | means |
/// |---|---|
/// | `redis://user:password@host:6379/0` | one server; host, port and database may be left out |
/// | `redis+unix:///run/redis.sock?db=0&user=…&pass=…` | one server, by its unix socket (also `unix://`) |
/// | `redis+sentinel://user:password@host:26379,host2/master/0` | the master of that name, as the Sentinels say |
/// | `redis+cluster://user:password@host:6379,host2` | a Cluster; any of its nodes will do |
///
/// `rediss` instead of `redis` is TLS, for the Sentinels too; certificates are always checked, against
/// those of the operating system or [your own](Self::with_root_certificates). `valkey` and `valkeys`
/// mean the same. User and password are percent-encoded; they are those of the Redis servers. Sentinels
/// that want some have theirs in `?sentinel_user=…&sentinel_pass=…`.
///
/// Nothing that is printed shows user or password.
///
/// ```
/// use keygate_redis::Address;
///
/// let address = Address::parse("rediss+sentinel://:p%40ss@10.0.0.1,10.0.0.2/main")?;
/// assert_eq!(address.to_string(), "rediss+sentinel://10.0.0.1:26379,10.0.0.2:26379/main/0");
/// # Ok::<(), keygate_redis::AddressError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    pub(crate) form: Form,
    pub(crate) login: Login,
    pub(crate) database: u32,
    pub(crate) tls: bool,
    pub(crate) roots: Option<Vec<u8>>,
}

/// Which of the three forms, and who belongs to it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Form {
    Server(Host),
    Socket(PathBuf),
    Sentinel { sentinels: Vec<Host>, login: Login, master: String },
    Cluster(Vec<Host>),
}

/// A name or an IP address (a sixth version without its brackets), and a port.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Host {
    pub(crate) name: String,
    pub(crate) port: u16,
}

/// What to log in with, if anything.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Login {
    pub(crate) user: Option<String>,
    pub(crate) password: Option<String>,
}

/// What is wrong with the URL of a Redis. It never repeats any of its text: that may be a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// It does not begin as one of the forms does.
    #[error(
        "the URL of Redis must begin with redis://, redis+unix://, redis+sentinel:// or \
         redis+cluster:// (with TLS: rediss://, rediss+sentinel://, rediss+cluster://)"
    )]
    Scheme,
    /// User or password are not percent-encoded, or not UTF-8.
    #[error(
        "user and password in the URL of Redis must be percent-encoded UTF-8: @ is %40, : is %3A, \
         / is %2F, ? is %3F, # is %23, % is %25"
    )]
    Credentials,
    /// A host is missing, or is none.
    #[error(
        "a host in the URL of Redis must be a name, an IPv4 address, or an IPv6 address in [ ]"
    )]
    Host,
    /// A port is no number from 1 to 65535.
    #[error("a port in the URL of Redis must be a number from 1 to 65535")]
    Port,
    /// One server was meant, and several are named.
    #[error("redis:// takes one host; several belong to redis+sentinel:// or redis+cluster://")]
    SeveralHosts,
    /// The database is no number.
    #[error("the database in the URL of Redis must be a number from 0 on, as in redis://host/0")]
    Database,
    /// A Cluster was given a database other than 0.
    #[error("a Cluster has database 0 only: leave it out of redis+cluster://")]
    ClusterDatabase,
    /// Sentinel was given no name of a master.
    #[error("redis+sentinel:// needs the name of the master: redis+sentinel://host:26379/NAME")]
    Master,
    /// A unix socket was given no absolute path.
    #[error("redis+unix:// needs an absolute path: redis+unix:///run/redis.sock")]
    Path,
    /// A parameter after the question mark is none of those there are.
    #[error(
        "the URL of Redis knows the parameters db, user and pass for redis+unix://, sentinel_user \
         and sentinel_pass for redis+sentinel://, and no others"
    )]
    Parameter,
    /// Something follows a `#`.
    #[error(
        "nothing may follow a # in the URL of Redis: certificates are always checked, and one of \
         your own is trusted by giving its root certificate"
    )]
    Fragment,
    /// A root certificate is not PEM, or there is no TLS to use it for.
    #[error("the root certificates for Redis must be PEM text, and the URL one with rediss")]
    Certificate,
}

impl Address {
    /// Understands a URL.
    ///
    /// # Errors
    ///
    /// Says which part of it is wrong, and never what it is.
    pub fn parse(url: &str) -> Result<Self, AddressError> {
        parse::address(url)
    }

    /// Trusts these root certificates (PEM) instead of the operating system's.
    #[must_use]
    pub fn with_root_certificates(self, pem: impl Into<Vec<u8>>) -> Self {
        Self { roots: Some(pem.into()), ..self }
    }

    fn scheme(&self) -> &'static str {
        match (&self.form, self.tls) {
            (Form::Server(_), false) => "redis",
            (Form::Server(_), true) => "rediss",
            (Form::Socket(_), _) => "redis+unix",
            (Form::Sentinel { .. }, false) => "redis+sentinel",
            (Form::Sentinel { .. }, true) => "rediss+sentinel",
            (Form::Cluster(_), false) => "redis+cluster",
            (Form::Cluster(_), true) => "rediss+cluster",
        }
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(url: &str) -> Result<Self, AddressError> {
        Self::parse(url)
    }
}

/// As a URL without user and password.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://", self.scheme())?;
        let database = self.database;
        match &self.form {
            Form::Server(host) => write!(f, "{host}/{database}"),
            Form::Socket(path) => write!(f, "{}?db={database}", path.display()),
            Form::Sentinel { sentinels, master, .. } => {
                write!(f, "{}/{master}/{database}", Listed(sentinels))
            }
            Form::Cluster(nodes) => write!(f, "{}", Listed(nodes)),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self})")
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.name.contains(':') {
            write!(f, "[{}]:{}", self.name, self.port)
        } else {
            write!(f, "{}:{}", self.name, self.port)
        }
    }
}

struct Listed<'a>(&'a [Host]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, host) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{host}")?;
        }
        Ok(())
    }
}
