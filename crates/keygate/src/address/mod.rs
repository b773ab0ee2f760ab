//! The address of a client, also behind trusted proxies.
//!
//! Every proxy that forwards a request appends the address it took the request from, so a header
//! reads from left to right as the request travelled. Anybody can send such a header, and a proxy
//! appends to what it is sent: only the right end is known to be true. So it is read from the right.
//! It begins with the peer, whose address the connection proves. As long as the last proven address
//! is that of a [trusted proxy](TrustedProxies), the hop to the left of it is its word, and proven
//! too. The first address that is no trusted proxy's is the client; what stands to the left of it is
//! hearsay.
//!
//! ```
//! use std::net::IpAddr;
//! use keygate::address::{HopSyntax, TrustedProxies};
//!
//! let trusted: TrustedProxies = "10.0.0.0/8, 2001:db8:ffff::/48".parse()?;
//! let peer: IpAddr = "10.0.0.7".parse()?;
//! // The client claims to be 1.2.3.4; our edge at 10.0.0.3 saw it at 203.0.113.7.
//! let lines: [&[u8]; 1] = [b"1.2.3.4, 203.0.113.7, 10.0.0.3"];
//!
//! let client = trusted.client(peer, lines, HopSyntax::List);
//! assert_eq!(client.to_string(), "203.0.113.7");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod client;
mod hop;
mod proxies;
mod range;

pub use self::{
    client::{AddressPartition, AddressPartitionError, ClientAddress},
    hop::HopSyntax,
    proxies::TrustedProxies,
    range::{AddressRange, AddressRangeError},
};
