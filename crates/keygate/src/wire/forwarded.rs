//! The headers in which proxies tell whom they serve.

use smallvec::SmallVec;

use super::{RequestHead, Wire};
use crate::address::{ClientAddress, HopSyntax};

/// Which header the trusted proxies write. The other one is never looked at: a proxy that does not
/// write it hands on what the client put there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProxyHeader {
    /// `X-Forwarded-For`: a list of addresses. What nearly every proxy writes.
    #[default]
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

impl ProxyHeader {
    fn name(self) -> &'static str {
        match self {
            Self::XForwardedFor => "x-forwarded-for",
            Self::Forwarded => "forwarded",
        }
    }

    fn syntax(self) -> HopSyntax {
        match self {
            Self::XForwardedFor => HopSyntax::List,
            Self::Forwarded => HopSyntax::Parameters,
        }
    }
}

impl Wire {
    /// The address of the client, from the other end of the connection on. `None` if that is not
    /// known: then nothing proves that a proxy is at work.
    pub(crate) fn client_address(&self, request: &impl RequestHead) -> Option<ClientAddress> {
        let peer = request.peer()?;
        // Collected, for an adapter shows its lines from the first on only.
        let lines: SmallVec<[&[u8]; 4]> = if self.trusted_proxies.trusts(peer) {
            let name = self.proxy_header.name();
            request.headers().filter(|(it, _)| *it == name).map(|(_, line)| line).collect()
        } else {
            SmallVec::new()
        };
        Some(self.trusted_proxies.client(peer, lines, self.proxy_header.syntax()))
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::verdict::Caller;

    const PROXY: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1)));

    struct Head(Option<IpAddr>, &'static [(&'static str, &'static str)]);

    impl RequestHead for Head {
        fn method(&self) -> &str {
            "GET"
        }

        fn path(&self) -> &str {
            "/"
        }

        fn query(&self) -> Option<&str> {
            None
        }

        fn headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
            self.1.iter().map(|(name, value)| (*name, value.as_bytes()))
        }

        fn caller(&self) -> Option<&Caller> {
            None
        }

        fn peer(&self) -> Option<IpAddr> {
            self.0
        }
    }

    fn behind_proxies() -> Wire {
        Wire::default().trusted_proxies("10.0.0.0/8".parse().unwrap())
    }

    fn client(wire: &Wire, peer: Option<IpAddr>) -> Option<String> {
        let head = Head(
            peer,
            &[
                ("x-forwarded-for", "198.51.100.1"),
                ("forwarded", "for=192.0.2.1"),
                ("x-api-key", "192.0.2.2"),
                ("x-forwarded-for", "198.51.100.2, 10.0.0.3"),
                ("forwarded", "for=192.0.2.3, for=10.0.0.3"),
            ],
        );
        wire.client_address(&head).map(|client| client.to_string())
    }

    #[test]
    fn the_header_that_was_chosen_is_read_and_no_other() {
        let wire = behind_proxies();
        assert_eq!(client(&wire, PROXY).as_deref(), Some("198.51.100.2"));
        let wire = wire.proxy_header(ProxyHeader::Forwarded);
        assert_eq!(client(&wire, PROXY).as_deref(), Some("192.0.2.3"));
    }

    #[test]
    fn by_default_the_peer_is_the_client() {
        assert_eq!(client(&Wire::default(), PROXY).as_deref(), Some("10.0.0.1"));
    }

    #[test]
    fn without_a_peer_there_is_no_client_address() {
        assert_eq!(client(&behind_proxies(), None), None);
    }
}
