use std::{net::Ipv6Addr, path::PathBuf};

use percent_encoding::percent_decode_str;

use super::{Address, AddressError, Form, Host, Login};

const PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;

pub(super) fn address(url: &str) -> Result<Address, AddressError> {
    let (scheme, rest) = url.split_once("://").ok_or(AddressError::Scheme)?;
    let (tls, kind) = Kind::of(&scheme.to_ascii_lowercase()).ok_or(AddressError::Scheme)?;
    if matches!(kind, Kind::Socket) {
        return socket(rest);
    }
    let Parts { user_info, hosts, path, query } = Parts::of(rest)?;
    let login = user_info.map_or(Ok(Login::default()), login)?;
    let (form, database) = match kind {
        Kind::Cluster => (Form::Cluster(listed(hosts, PORT)?), cluster_database(path)?),
        Kind::Sentinel => sentinel(hosts, path, query)?,
        Kind::Server | Kind::Socket => (Form::Server(single(hosts)?), database(path)?),
    };
    if query.is_some() && !matches!(kind, Kind::Sentinel) {
        return Err(AddressError::Parameter);
    }
    Ok(Address { form, login, database, tls, roots: None })
}

enum Kind {
    Server,
    Socket,
    Sentinel,
    Cluster,
}

impl Kind {
    fn of(scheme: &str) -> Option<(bool, Self)> {
        let (base, suffix) = scheme.split_once('+').unwrap_or((scheme, ""));
        let tls = match base {
            "redis" | "valkey" => false,
            "rediss" | "valkeys" => true,
            "unix" if suffix.is_empty() => return Some((false, Self::Socket)),
            _ => return None,
        };
        match (suffix, tls) {
            ("", _) => Some((tls, Self::Server)),
            ("unix", false) => Some((tls, Self::Socket)),
            ("sentinel", _) => Some((tls, Self::Sentinel)),
            ("cluster", _) => Some((tls, Self::Cluster)),
            _ => None,
        }
    }
}

/// What lies between the marks of a URL: `user_info@hosts/path?query`.
struct Parts<'a> {
    user_info: Option<&'a str>,
    hosts: &'a str,
    path: &'a str,
    query: Option<&'a str>,
}

impl<'a> Parts<'a> {
    fn of(rest: &'a str) -> Result<Self, AddressError> {
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at(end);
        if rest.contains('@') {
            // What ended the hosts was part of a password.
            return Err(AddressError::Credentials);
        }
        if rest.contains('#') {
            return Err(AddressError::Fragment);
        }
        let (path, query) = split(rest);
        let (user_info, hosts) = match authority.rsplit_once('@') {
            Some((user_info, hosts)) => (Some(user_info), hosts),
            None => (None, authority),
        };
        let path = path.strip_prefix('/').unwrap_or(path).trim_end_matches('/');
        Ok(Self { user_info, hosts, path, query })
    }
}

fn split(text: &str) -> (&str, Option<&str>) {
    match text.split_once('?') {
        Some((path, "")) => (path, None),
        Some((path, query)) => (path, Some(query)),
        None => (text, None),
    }
}

fn login(user_info: &str) -> Result<Login, AddressError> {
    let (user, password) = match user_info.split_once(':') {
        Some((user, password)) => (user, Some(password)),
        None => (user_info, None),
    };
    if user_info.contains('@') || password.is_some_and(|password| password.contains(':')) {
        return Err(AddressError::Credentials);
    }
    Ok(Login { user: filled(user)?, password: password.map_or(Ok(None), filled)? })
}

fn filled(encoded: &str) -> Result<Option<String>, AddressError> {
    let text = decoded(encoded)?;
    Ok(if text.is_empty() { None } else { Some(text) })
}

fn decoded(encoded: &str) -> Result<String, AddressError> {
    let text = percent_decode_str(encoded).decode_utf8();
    Ok(text.map_err(|_| AddressError::Credentials)?.into_owned())
}

fn single(hosts: &str) -> Result<Host, AddressError> {
    if hosts.contains(',') {
        return Err(AddressError::SeveralHosts);
    }
    host(if hosts.is_empty() { "127.0.0.1" } else { hosts }, PORT)
}

fn listed(hosts: &str, port: u16) -> Result<Vec<Host>, AddressError> {
    hosts.split(',').map(|text| host(text, port)).collect()
}

fn host(text: &str, default_port: u16) -> Result<Host, AddressError> {
    let (name, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (name, port) = rest.split_once(']').ok_or(AddressError::Host)?;
            name.parse::<Ipv6Addr>().map_err(|_| AddressError::Host)?;
            (name, port)
        }
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:".contains(&byte);
    if name.is_empty() || !name.bytes().all(allowed) {
        return Err(AddressError::Host);
    }
    let port = match port.strip_prefix(':') {
        Some(port) => port.parse().ok().filter(|&port| port > 0).ok_or(AddressError::Port)?,
        None if port.is_empty() => default_port,
        None => return Err(AddressError::Host),
    };
    Ok(Host { name: name.to_owned(), port })
}

fn database(path: &str) -> Result<u32, AddressError> {
    if path.is_empty() { Ok(0) } else { path.parse().map_err(|_| AddressError::Database) }
}

fn cluster_database(path: &str) -> Result<u32, AddressError> {
    match database(path)? {
        0 => Ok(0),
        _ => Err(AddressError::ClusterDatabase),
    }
}

fn sentinel(hosts: &str, path: &str, query: Option<&str>) -> Result<(Form, u32), AddressError> {
    let (master, path) = path.split_once('/').unwrap_or((path, ""));
    let master = decoded(master).map_err(|_| AddressError::Master)?;
    if master.is_empty() {
        return Err(AddressError::Master);
    }
    let mut login = Login::default();
    for (name, value) in parameters(query) {
        match name {
            "sentinel_user" => login.user = filled(value)?,
            "sentinel_pass" => login.password = filled(value)?,
            _ => return Err(AddressError::Parameter),
        }
    }
    let sentinels = listed(hosts, SENTINEL_PORT)?;
    Ok((Form::Sentinel { sentinels, login, master }, database(path)?))
}

fn socket(rest: &str) -> Result<Address, AddressError> {
    let (path, query) = split(rest);
    let path = PathBuf::from(decoded(path).map_err(|_| AddressError::Path)?);
    if !path.is_absolute() {
        return Err(AddressError::Path);
    }
    let (mut login, mut number) = (Login::default(), 0);
    for (name, value) in parameters(query) {
        match name {
            "db" => number = database(value)?,
            "user" => login.user = filled(value)?,
            "pass" => login.password = filled(value)?,
            _ => return Err(AddressError::Parameter),
        }
    }
    Ok(Address { form: Form::Socket(path), login, database: number, tls: false, roots: None })
}

fn parameters(query: Option<&str>) -> impl Iterator<Item = (&str, &str)> {
    let pairs = query.into_iter().flat_map(|query| query.split('&'));
    pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(url: &str) -> String {
        address(url).unwrap().to_string()
    }

    #[test]
    fn every_form_is_understood() {
        for (url, means) in [
            ("redis://localhost", "redis://localhost:6379/0"),
            ("redis://", "redis://127.0.0.1:6379/0"),
            ("rediss://u:p@cache.example:6380/3", "rediss://cache.example:6380/3"),
            ("valkeys://10.0.0.1/", "rediss://10.0.0.1:6379/0"),
            ("redis://[::1]:7000/1", "redis://[::1]:7000/1"),
            ("redis+unix:///run/redis.sock?db=2", "redis+unix:///run/redis.sock?db=2"),
            ("unix:///run/my%20redis.sock", "redis+unix:///run/my redis.sock?db=0"),
            ("redis+sentinel://a,b:26380/main", "redis+sentinel://a:26379,b:26380/main/0"),
            ("rediss+sentinel://u:p@a/main/4", "rediss+sentinel://a:26379/main/4"),
            ("redis+cluster://a:7000,b,[::1]", "redis+cluster://a:7000,b:6379,[::1]:6379"),
            ("REDISS+CLUSTER://a/0", "rediss+cluster://a:6379"),
        ] {
            assert_eq!(shown(url), means, "{url}");
        }
    }

    #[test]
    fn each_mistake_is_named() {
        for (url, mistake) in [
            ("localhost:6379", AddressError::Scheme),
            ("http://localhost", AddressError::Scheme),
            ("rediss+unix:///run/redis.sock", AddressError::Scheme),
            ("redis://u:p@ss@host", AddressError::Credentials),
            ("redis://u:pa/ss@host", AddressError::Credentials),
            ("redis://u:pa:ss@host", AddressError::Credentials),
            ("redis://u:%ff@host", AddressError::Credentials),
            ("redis://ho st", AddressError::Host),
            ("redis://[::1", AddressError::Host),
            ("redis+cluster://a,,b", AddressError::Host),
            ("redis+cluster://", AddressError::Host),
            ("redis://host:0", AddressError::Port),
            ("redis://host:65536", AddressError::Port),
            ("redis://a,b", AddressError::SeveralHosts),
            ("redis://host/x", AddressError::Database),
            ("redis://host/-1", AddressError::Database),
            ("redis+cluster://host/1", AddressError::ClusterDatabase),
            ("redis+sentinel://host", AddressError::Master),
            ("redis+sentinel://host//0", AddressError::Master),
            ("unix://redis.sock", AddressError::Path),
            ("redis://host?db=1", AddressError::Parameter),
            ("redis+sentinel://host/main?user=me", AddressError::Parameter),
            ("rediss://host/#insecure", AddressError::Fragment),
        ] {
            assert_eq!(address(url).err(), Some(mistake), "{url}");
        }
    }

    #[test]
    fn credentials_are_decoded_for_servers_and_sentinels_apart() {
        let url = "redis+sentinel://me%40home:p%3Aw@a/main?sentinel_user=watch&sentinel_pass=s%26t";
        let address = address(url).unwrap();
        let login = |user: &str, password: &str| Login {
            user: Some(user.to_owned()),
            password: Some(password.to_owned()),
        };
        assert!(address.login == login("me@home", "p:w"));
        let Form::Sentinel { login: sentinel, .. } = &address.form else { panic!("a sentinel") };
        assert!(*sentinel == login("watch", "s&t"));
    }

    #[test]
    fn nothing_printed_tells_a_password() {
        for url in [
            "redis://user:hush@host/1",
            "redis+unix:///run/redis.sock?user=user&pass=hush",
            "redis+sentinel://user:hush@host/main?sentinel_user=user&sentinel_pass=hush",
            "redis+cluster://user:hush@host",
        ] {
            let address = address(url).unwrap();
            let printed = format!("{address} {address:?}");
            assert!(!printed.contains("hush") && !printed.contains("user"), "{printed}");
        }
        let mistaken = address("redis://user:hush/@host").unwrap_err();
        assert!(!format!("{mistaken} {mistaken:?}").contains("hush"));
    }
}
