use std::{fmt, net::IpAddr, str::FromStr};

use ipnet::IpNet;

/// A range of addresses in CIDR notation (RFC 4632, RFC 4291): `10.0.0.0/8`, `2001:db8::/32`. A bare
/// address is the range of that one.
///
/// IPv4 written as IPv6 is IPv4, here and in what is looked for. A range holds addresses of its own
/// family only: `::/0` is every IPv6 address and no IPv4 address.
///
/// ```
/// use keygate::address::AddressRange;
///
/// let office: AddressRange = "198.51.100.0/24".parse()?;
/// assert!(office.contains("198.51.100.7".parse()?));
/// assert!(office.contains("::ffff:198.51.100.7".parse()?));
///
/// let error = "198.51.100.7/24".parse::<AddressRange>().unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "`198.51.100.7/24` is an address inside a range; \
///      write `198.51.100.0/24` for the range or `198.51.100.7` for the address",
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AddressRange(IpNet);

impl AddressRange {
    /// Whether it holds this address.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }

    fn new(address: IpAddr, prefix: u8) -> Option<Self> {
        let mapped = address.is_ipv6() && address.to_canonical().is_ipv4();
        let net = match prefix.checked_sub(MAPPED_PREFIX) {
            Some(prefix) if mapped => IpNet::new(address.to_canonical(), prefix),
            _ => IpNet::new(address, prefix),
        };
        net.ok().map(Self)
    }
}

/// The bits that all IPv4 addresses written as IPv6 have in common: `::ffff:0:0/96`.
const MAPPED_PREFIX: u8 = 96;

impl FromStr for AddressRange {
    type Err = AddressRangeError;

    fn from_str(text: &str) -> Result<Self, AddressRangeError> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let no_address = |_| AddressRangeError::NoAddress { given: clip(text) };
        let address: IpAddr = address.parse().map_err(no_address)?;
        let Some(prefix) = prefix else {
            return Ok(Self(address.to_canonical().into()));
        };
        let range = prefix.parse().ok().and_then(|prefix| Self::new(address, prefix));
        let Some(Self(net)) = range else {
            let most = if address.is_ipv4() { 32 } else { 128 };
            return Err(AddressRangeError::Prefix { given: clip(text), most });
        };
        if net.addr() != net.network() {
            let (range, address) = (net.trunc().to_string(), net.addr());
            return Err(AddressRangeError::InsideRange { given: clip(text), range, address });
        }
        Ok(Self(net))
    }
}

/// Displays as it is written: an address, `/` and the length of the prefix; one address alone.
impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.prefix_len() == self.0.max_prefix_len() {
            fmt::Display::fmt(&self.0.addr(), f)
        } else {
            fmt::Display::fmt(&self.0, f)
        }
    }
}

impl fmt::Debug for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AddressRange({self})")
    }
}

/// Text that is no range of addresses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressRangeError {
    /// Neither an address nor a range: a host name, a port beside the address, nothing.
    #[error(
        "`{}` is no range of addresses; write one such as `10.0.0.0/8` or `2001:db8::/32`, \
         or an address such as `10.0.0.7`",
        .given.escape_debug()
    )]
    NoAddress {
        /// What was given.
        given: String,
    },
    /// What follows the slash is no length of a prefix.
    #[error(
        "`{}` has no length of a prefix after its `/`; write a number from 0 to {most}",
        .given.escape_debug()
    )]
    Prefix {
        /// What was given.
        given: String,
        /// The bits of such an address.
        most: u8,
    },
    /// Bits are set beyond the prefix, so that either the address or the length is a slip.
    #[error(
        "`{}` is an address inside a range; \
         write `{range}` for the range or `{address}` for the address",
        .given.escape_debug()
    )]
    InsideRange {
        /// What was given.
        given: String,
        /// The range around it.
        range: String,
        /// The address alone.
        address: IpAddr,
    },
}

fn clip(text: &str) -> String {
    /// Longer than any range that is one.
    const KEPT: usize = 64;
    text.chars().take(KEPT).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(text: &str) -> AddressRange {
        text.parse().unwrap()
    }

    fn holds(text: &str, address: &str) -> bool {
        range(text).contains(address.parse().unwrap())
    }

    #[test]
    fn a_bare_address_is_the_range_of_itself() {
        assert_eq!(range("10.0.0.7"), range("10.0.0.7/32"));
        assert_eq!(range("2001:db8::7"), range("2001:db8::7/128"));
        assert!(!holds("10.0.0.7", "10.0.0.8"));
    }

    #[test]
    fn the_edges_of_a_range_are_in_it_and_their_neighbours_are_not() {
        assert!(holds("10.16.0.0/12", "10.16.0.0") && holds("10.16.0.0/12", "10.31.255.255"));
        assert!(!holds("10.16.0.0/12", "10.15.255.255") && !holds("10.16.0.0/12", "10.32.0.0"));
        assert!(holds("2001:db8::/33", "2001:db8:7fff:ffff::1"));
        assert!(!holds("2001:db8::/33", "2001:db8:8000::"));
    }

    #[test]
    fn families_are_strangers() {
        assert!(holds("0.0.0.0/0", "203.0.113.7") && !holds("0.0.0.0/0", "2001:db8::7"));
        assert!(holds("::/0", "2001:db8::7") && !holds("::/0", "203.0.113.7"));
    }

    #[test]
    fn ipv4_written_as_ipv6_is_ipv4() {
        assert_eq!(range("::ffff:10.0.0.0/104"), range("10.0.0.0/8"));
        assert_eq!(range("::ffff:10.0.0.7"), range("10.0.0.7"));
        assert!(holds("10.0.0.0/8", "::ffff:10.1.2.3"));
    }

    #[test]
    fn a_range_displays_as_it_is_written() {
        for text in ["10.0.0.0/8", "10.0.0.7", "2001:db8::/32", "2001:db8::7", "0.0.0.0/0"] {
            assert_eq!(range(text).to_string(), text);
        }
    }

    #[test]
    fn what_is_no_address_is_told() {
        for text in
            ["", "/8", "localhost", "10.0.0.1:80", "10.0.0", "010.0.0.1", "[::1]", "10.0.0.1 "]
        {
            let error = text.parse::<AddressRange>().unwrap_err();
            assert!(matches!(error, AddressRangeError::NoAddress { .. }), "{text}: {error}");
            assert!(error.to_string().contains(&format!("`{text}`")), "{error}");
        }
    }

    #[test]
    fn a_wrong_prefix_is_told_with_the_right_ones() {
        for (text, most) in [
            ("10.0.0.0/33", 32),
            ("10.0.0.0/", 32),
            ("10.0.0.0/255.0.0.0", 32),
            ("::/129", 128),
            ("::/-1", 128),
        ] {
            let given = text.to_owned();
            assert_eq!(
                text.parse::<AddressRange>(),
                Err(AddressRangeError::Prefix { given, most })
            );
        }
    }

    #[test]
    fn a_long_text_is_told_by_its_start() {
        let error = "ä".repeat(1_000_000).parse::<AddressRange>().unwrap_err();
        assert!(error.to_string().len() < 300);
    }
}
