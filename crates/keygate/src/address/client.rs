use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
};

/// Where a request comes from, as far as that is proven.
///
/// An IPv4 address that is written as an IPv6 one (`::ffff:203.0.113.7`, RFC 4291, section 2.5.5.2)
/// is that IPv4 address. Displays as the address alone: `203.0.113.7`, `2001:db8:1:2::7`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientAddress(IpAddr);

impl ClientAddress {
    /// The address.
    #[must_use]
    pub fn ip(self) -> IpAddr {
        self.0
    }

    /// Whose counter a caller without a key uses: see [`AddressPartition`].
    #[must_use]
    pub fn partition(self) -> AddressPartition {
        AddressPartition(match self.0 {
            IpAddr::V4(_) => self.0,
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & SUBNET).into(),
        })
    }
}

/// All but the interface identifier (RFC 4291, section 2.5.1).
const SUBNET: u128 = u128::MAX << 64;

impl From<IpAddr> for ClientAddress {
    fn from(address: IpAddr) -> Self {
        Self(address.to_canonical())
    }
}

impl fmt::Display for ClientAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// The addresses that count as one client: an IPv4 address by itself, an IPv6 address with its whole
/// /64. That is the least a network hands to a customer (RFC 6177), who can take any of its 2⁶⁴
/// addresses for every request.
///
/// Displays as `203.0.113.7` and `2001:db8:1:2::/64`: at most 42 visible ASCII characters, which can
/// stand in the id of a consumer.
///
/// ```
/// use std::net::IpAddr;
/// use keygate::{address::ClientAddress, record::ConsumerId};
///
/// let client = ClientAddress::from("2001:db8:1:2::7".parse::<IpAddr>()?);
/// let consumer = ConsumerId::parse(&format!("ip:{}", client.partition()))?;
/// assert_eq!(consumer.as_str(), "ip:2001:db8:1:2::/64");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AddressPartition(IpAddr);

impl fmt::Display for AddressPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(address) => write!(f, "{address}"),
            IpAddr::V6(subnet) => write!(f, "{subnet}/64"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::record::ConsumerId;

    fn client(text: &str) -> ClientAddress {
        text.parse::<IpAddr>().unwrap().into()
    }

    #[test]
    fn an_ipv4_address_is_a_partition_of_its_own() {
        assert_eq!(client("203.0.113.7").partition().to_string(), "203.0.113.7");
        assert_ne!(client("203.0.113.7").partition(), client("203.0.113.8").partition());
    }

    #[test]
    fn ipv6_addresses_of_one_64_are_one_partition() {
        let partition = client("2001:db8:1:2:ffff:ffff:ffff:ffff").partition();
        assert_eq!(partition.to_string(), "2001:db8:1:2::/64");
        assert_eq!(client("2001:db8:1:2::7").partition(), partition);
        assert_ne!(client("2001:db8:1:3::7").partition(), partition);
    }

    #[test]
    fn ipv4_written_as_ipv6_is_ipv4() {
        assert_eq!(client("::ffff:1.2.3.4"), client("1.2.3.4"));
        assert_eq!(client("::ffff:1.2.3.4").to_string(), "1.2.3.4");
    }

    proptest! {
        #[test]
        fn every_partition_can_be_a_consumer(address: IpAddr) {
            let text = format!("ip:{}", ClientAddress::from(address).partition());
            prop_assert!(text.len() <= 45);
            prop_assert!(ConsumerId::parse(&text).is_ok());
        }
    }
}
