use std::{net::IpAddr, str::FromStr};

use super::{AddressRange, AddressRangeError, ClientAddress, HopSyntax, hop::hops};

/// The proxies whose word is taken for whom they serve, by their addresses. Nobody by default.
///
/// Trust only proxies of your own that append to the header, or set it: of a proxy that hands on
/// what it was sent, clients choose their address. Name them as narrowly as you can. A client whose
/// own address is among the trusted ones is believed like a proxy.
///
/// Reads from text with commas or white space between the ranges.
///
/// ```
/// use keygate::address::TrustedProxies;
///
/// let trusted: TrustedProxies = "10.0.0.0/8, 2001:db8::7".parse()?;
/// assert!(trusted.trusts("10.1.2.3".parse()?));
/// assert!(!trusted.trusts("203.0.113.7".parse()?));
///
/// let error = "10.0.0.0/8, balancer".parse::<TrustedProxies>().unwrap_err();
/// assert!(error.to_string().starts_with("`balancer` is no range of addresses; write one such as"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies {
    ranges: Box<[AddressRange]>,
}

/// The most hops that are looked at for one request. Chains of proxies are short; longer ones are
/// made up.
const MAX_HOPS: usize = 32;

impl TrustedProxies {
    /// Reads ranges, one each.
    ///
    /// # Errors
    /// If an entry is no range of addresses; the error names it.
    pub fn parse<T: AsRef<str>>(
        entries: impl IntoIterator<Item = T>,
    ) -> Result<Self, AddressRangeError> {
        let ranges: Result<Box<[_]>, _> =
            entries.into_iter().map(|entry| entry.as_ref().parse()).collect();
        Ok(Self { ranges: ranges? })
    }

    /// Whether one of them has this address.
    #[must_use]
    pub fn trusts(&self, address: IpAddr) -> bool {
        self.ranges.iter().any(|range| range.contains(address))
    }

    /// The client of a request that came from `peer`, the other end of the connection. `lines` are the
    /// values of the header that the proxies write, in order.
    ///
    /// Where a hop is no address, such as `unknown`, the client is the nearest trusted proxy: whoever
    /// sent it the request, it is all that is proven. The same holds after 32 hops, and for a
    /// hop of more than a kilobyte. Where all are trusted, the client is the farthest.
    pub fn client<'h>(
        &self,
        peer: IpAddr,
        lines: impl IntoIterator<Item = &'h [u8], IntoIter: DoubleEndedIterator>,
        syntax: HopSyntax,
    ) -> ClientAddress {
        let mut hops = lines.into_iter().rev().flat_map(|line| hops(line, syntax)).take(MAX_HOPS);
        let mut proven = peer;
        while self.trusts(proven)
            && let Some(Some(address)) = hops.next()
        {
            proven = address;
        }
        proven.into()
    }
}

impl FromStr for TrustedProxies {
    type Err = AddressRangeError;

    fn from_str(text: &str) -> Result<Self, AddressRangeError> {
        let is_between = |it: char| it == ',' || it.is_whitespace();
        Self::parse(text.split(is_between).filter(|entry| !entry.is_empty()))
    }
}

impl From<Vec<AddressRange>> for TrustedProxies {
    fn from(ranges: Vec<AddressRange>) -> Self {
        Self { ranges: ranges.into() }
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    const SYNTAXES: [HopSyntax; 2] = [HopSyntax::List, HopSyntax::Parameters];

    fn ours() -> TrustedProxies {
        "10.0.0.0/8 2001:db8:ffff::/48".parse().unwrap()
    }

    fn from_peer(peer: &str, lines: &[&str]) -> String {
        let lines = lines.iter().map(|line| line.as_bytes());
        ours().client(peer.parse().unwrap(), lines, HopSyntax::List).to_string()
    }

    #[track_caller]
    fn client(lines: &[&str], expected: &str) {
        assert_eq!(from_peer("10.0.0.1", lines), expected, "{lines:?}");
    }

    #[test]
    fn a_peer_that_is_not_trusted_is_the_client_whatever_it_sends() {
        assert_eq!(from_peer("203.0.113.9", &["1.2.3.4, 10.0.0.1"]), "203.0.113.9");
    }

    #[test]
    fn by_default_nobody_is_trusted() {
        let nobody = TrustedProxies::default();
        for peer in ["127.0.0.1", "10.0.0.1", "::1"] {
            let peer = peer.parse().unwrap();
            let lines: [&[u8]; 1] = [b"1.2.3.4"];
            assert_eq!(nobody.client(peer, lines, HopSyntax::List), peer.into());
        }
        assert_eq!("".parse(), Ok(nobody));
    }

    #[test]
    fn the_client_is_the_first_from_the_right_that_is_not_trusted() {
        client(&["1.2.3.4, 203.0.113.7"], "203.0.113.7");
        client(&["1.2.3.4, 203.0.113.7, 10.0.0.3, 2001:db8:ffff::7"], "203.0.113.7");
        client(&["1.2.3.4, 203.0.113.7, ::ffff:10.0.0.3"], "203.0.113.7");
    }

    #[test]
    fn later_lines_are_further_right() {
        client(&["1.2.3.4", "203.0.113.7", "10.0.0.3"], "203.0.113.7");
        client(&["203.0.113.7, 10.0.0.2", "10.0.0.3"], "203.0.113.7");
    }

    #[test]
    fn a_peer_of_both_families_is_trusted_by_its_ipv4_range() {
        assert_eq!(from_peer("::ffff:10.0.0.1", &["203.0.113.7"]), "203.0.113.7");
        assert_eq!(from_peer("::ffff:203.0.113.9", &["1.2.3.4"]), "203.0.113.9");
    }

    #[test]
    fn where_all_are_trusted_the_client_is_the_farthest() {
        client(&["10.0.0.4, 10.0.0.3", "10.0.0.2"], "10.0.0.4");
        client(&[], "10.0.0.1");
    }

    #[test]
    fn what_is_no_address_ends_the_proof() {
        client(&["203.0.113.7, unknown"], "10.0.0.1");
        client(&["203.0.113.7, garbage, 10.0.0.3"], "10.0.0.3");
        client(&["203.0.113.7,, 10.0.0.3"], "10.0.0.3");
        client(&["203.0.113.7", "", "10.0.0.3"], "10.0.0.3");
    }

    #[test]
    fn no_more_than_32_hops_are_looked_at() {
        let chain = |proxies: usize| format!("203.0.113.7{}", ", 10.0.0.3".repeat(proxies));
        client(&[&chain(31)], "203.0.113.7");
        client(&[&chain(32)], "10.0.0.3");
        let line = format!("203.0.113.7, 10.0.0.9{}", ", 10.0.0.3".repeat(31));
        client(&[&line], "10.0.0.9");
    }

    #[test]
    fn a_huge_header_is_read_no_further_than_it_must() {
        let huge = [",", "\"", "\\", " ", "10.0.0.3,", "for=\"", "\u{e9}", "for=10.0.0.3;"]
            .map(|piece| piece.repeat(1_048_576 / piece.len()));
        for (text, syntax) in huge.iter().flat_map(|text| SYNTAXES.map(|it| (text, it))) {
            let answer = ours().client(
                "10.0.0.1".parse().unwrap(),
                std::iter::repeat_n(text.as_bytes(), 100),
                syntax,
            );
            assert!(ours().trusts(answer.ip()));
        }
    }

    #[test]
    fn the_entry_at_fault_is_named() {
        let error = TrustedProxies::parse(["10.0.0.0/8", "10.0.0.0/40"]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`10.0.0.0/40` has no length of a prefix after its `/`; write a number from 0 to 32",
        );
    }

    /// Bytes that mean something here, and any others.
    fn hostile() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            Just(b"for=".to_vec()),
            Just(b"10.0.0.3".to_vec()),
            Just(b"6.6.6.6".to_vec()),
            Just(b"[::1]:80".to_vec()),
            "[,;=\" \\\\\\[\\]:_]{1,3}".prop_map(String::into_bytes),
            vec(any::<u8>(), 0..4),
        ];
        vec(piece, 0..24).prop_map(|pieces| pieces.concat())
    }

    /// What a proxy of ours appends, and how it is read.
    fn written(address: IpAddr, syntax: HopSyntax) -> String {
        match (syntax, address) {
            (HopSyntax::List, _) => address.to_string(),
            (HopSyntax::Parameters, IpAddr::V4(_)) => format!("for={address};proto=https"),
            (HopSyntax::Parameters, IpAddr::V6(_)) => {
                format!("proto=https;for=\"[{address}]:4711\";host=\"a,\\\",b\"")
            }
        }
    }

    proptest! {
        #[test]
        fn nothing_on_the_left_changes_who_the_client_is(
            address: IpAddr,
            before in vec(hostile(), 0..4),
            same_line in hostile(),
            own_line: bool,
            proxies in 0_usize..3,
        ) {
            prop_assume!(!ours().trusts(address));
            for syntax in SYNTAXES {
                let mut last = written(address, syntax);
                for _ in 0..proxies {
                    last = format!("{last}, {}", written("10.0.0.3".parse().unwrap(), syntax));
                }
                let mut lines = before.clone();
                if own_line {
                    lines.extend([same_line.clone(), last.into_bytes()]);
                } else {
                    lines.push([&same_line[..], b", ", last.as_bytes()].concat());
                }
                let lines = lines.iter().map(Vec::as_slice);
                let answer = ours().client("10.0.0.1".parse().unwrap(), lines, syntax);
                prop_assert_eq!(answer, ClientAddress::from(address));
            }
        }

        #[test]
        fn any_bytes_are_read_without_panic(peer: IpAddr, lines in vec(hostile(), 0..4)) {
            let all = TrustedProxies::parse(["0.0.0.0/0", "::/0"]).unwrap();
            for syntax in SYNTAXES {
                all.client(peer, lines.iter().map(Vec::as_slice), syntax);
            }
        }
    }
}
