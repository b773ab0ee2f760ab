use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
    str::FromStr,
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
/// stand in the id of a consumer. Reads as that, or as any address of the partition.
///
/// ```
/// use keygate::address::AddressPartition;
///
/// let partition: AddressPartition = "2001:db8:1:2::7".parse()?;
/// assert_eq!(partition.to_string(), "2001:db8:1:2::/64");
/// assert_eq!("2001:db8:1:2::/64".parse(), Ok(partition));
/// # Ok::<(), keygate::address::AddressPartitionError>(())
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

impl FromStr for AddressPartition {
    type Err = AddressPartitionError;

    fn from_str(text: &str) -> Result<Self, AddressPartitionError> {
        let network = text.strip_suffix("/64");
        let address = network.unwrap_or(text).parse::<IpAddr>().ok();
        let partition = |address| ClientAddress::from(address).partition();
        let found = address.map(partition).filter(|it| network.is_none() || it.0.is_ipv6());
        found.ok_or_else(|| AddressPartitionError { given: text.chars().take(64).collect() })
    }
}

/// A text that is neither an address nor the /64 of one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{}` is no address; write one such as 203.0.113.7, 2001:db8:1:2::7 or 2001:db8:1:2::/64",
    .given.escape_debug()
)]
pub struct AddressPartitionError {
    given: String,
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

    #[test]
    fn what_is_no_address_is_told() {
        for bad in
            ["", "acme", "203.0.113", "203.0.113.7/64", "::ffff:1.2.3.4/64", "::/63", "::/64/64"]
        {
            let error = bad.parse::<AddressPartition>().unwrap_err().to_string();
            assert!(error.starts_with(&format!("`{bad}` is no address; write one")), "{error}");
        }
    }

    proptest! {
        #[test]
        fn every_partition_can_be_a_consumer_and_reads_as_it_is_written(address: IpAddr) {
            let partition = ClientAddress::from(address).partition();
            let visitor = ConsumerId::visitor(partition);
            prop_assert!(visitor.as_str().len() <= 45);
            prop_assert_eq!(ConsumerId::parse(visitor.as_str()), Ok(visitor));
            prop_assert_eq!(partition.to_string().parse(), Ok(partition));
            prop_assert_eq!(address.to_string().parse(), Ok(partition));
        }
    }
}
