//! How an example API over Redis looks at requests: `KEYGATE_VISITORS` names the plan of callers without a key,
//! `KEYGATE_TRUSTED_PROXIES` the proxies whose word is taken for their addresses (`10.0.0.0/8, 2001:db8::7`),
//! `KEYGATE_PROXY_HEADER` the header that these write (`x-forwarded-for`, or `forwarded`), and
//! `KEYGATE_SUBPROTOCOL` what a key follows among the subprotocols of a WebSocket.

use std::env;

use keygate::{
    gate::GateBuilder,
    plan::Name,
    wire::{ProxyHeader, Wire},
};
use keygate_redis::RedisStore;

use super::environment::Result;

/// A gate over the store that looks at requests as the environment tells.
pub(crate) fn gate(store: &RedisStore) -> Result<GateBuilder> {
    let gate = store.gate().wire(wire()?);
    let Ok(visitors) = env::var("KEYGATE_VISITORS") else { return Ok(gate) };
    let visitors = Name::parse(&visitors).map_err(|error| format!("KEYGATE_VISITORS: {error}"))?;
    Ok(gate.anonymous(visitors.as_str()))
}

fn wire() -> Result<Wire> {
    let mut wire = Wire::default().proxy_header(proxy_header()?);
    if let Ok(trusted) = env::var("KEYGATE_TRUSTED_PROXIES") {
        let trusted =
            trusted.parse().map_err(|error| format!("KEYGATE_TRUSTED_PROXIES: {error}"))?;
        wire = wire.trusted_proxies(trusted);
    }
    if let Ok(prefix) = env::var("KEYGATE_SUBPROTOCOL") {
        wire =
            wire.subprotocol(&prefix).map_err(|error| format!("KEYGATE_SUBPROTOCOL: {error}"))?;
    }
    Ok(wire)
}

fn proxy_header() -> Result<ProxyHeader> {
    match env::var("KEYGATE_PROXY_HEADER").as_deref() {
        Err(_) => Ok(ProxyHeader::default()),
        Ok("x-forwarded-for") => Ok(ProxyHeader::XForwardedFor),
        Ok("forwarded") => Ok(ProxyHeader::Forwarded),
        Ok(other) => {
            let told =
                format!("KEYGATE_PROXY_HEADER is `{other}`; try x-forwarded-for or forwarded");
            Err(told.into())
        }
    }
}
