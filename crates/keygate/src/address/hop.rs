//! One hop of a request, as a proxy wrote it down.
//!
//! Lines are cut from the right, by bytes. So nothing that a client sends, which stands further left
//! than what proxies append, has a say in how their hops are read: not a quote that it opens, not a
//! byte that is no text.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// How proxies write down the hops of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum HopSyntax {
    /// Addresses with commas between them: `203.0.113.7, 10.0.0.3`.
    #[default]
    List,
    /// Elements of parameters (RFC 7239, section 4), of which `for` tells the address:
    /// `for=203.0.113.7;proto=https, for="[2001:db8::7]:4711"`.
    Parameters,
}

/// The longest hop that is read, in bytes. An element may tell the host as well, of up to 253.
const MAX_HOP_BYTES: usize = 1024;

/// The hops of one line, the nearest first; `None` for what is no address. An element that is empty
/// is none either: nobody vouches for what stands to the left of it.
pub(super) fn hops(line: &[u8], syntax: HopSyntax) -> impl Iterator<Item = Option<IpAddr>> {
    let mut rest = Some(line);
    std::iter::from_fn(move || {
        let cut = cut_last(rest?, b',', syntax);
        rest = cut.and_then(|(rest, _)| rest);
        Some(cut.and_then(|(_, hop)| address(hop.trim_ascii(), syntax)))
    })
}

/// What stands to the left of the last separator, if there is one, and what to the right. `None` if
/// the right one is longer than a hop may be.
fn cut_last(text: &[u8], separator: u8, syntax: HopSyntax) -> Option<(Option<&[u8]>, &[u8])> {
    let mut in_quotes = false;
    for (index, &byte) in text.iter().enumerate().rev().take(MAX_HOP_BYTES + 1) {
        let (left, right) = text.split_at_checked(index)?;
        if byte == separator && !in_quotes {
            return Some((Some(left), right.get(1..)?));
        }
        if byte == b'"' && syntax == HopSyntax::Parameters {
            // From the right, the first quote closes a string, and one that is escaped opens none.
            in_quotes = !in_quotes || is_escaped(left);
        }
    }
    (text.len() <= MAX_HOP_BYTES).then_some((None, text))
}

/// Whether what follows `before` is escaped: by an odd number of backslashes (RFC 9110, section
/// 5.6.4).
fn is_escaped(before: &[u8]) -> bool {
    let backslashes = before.iter().rev().take(MAX_HOP_BYTES).take_while(|&&byte| byte == b'\\');
    backslashes.count() % 2 == 1
}

fn address(hop: &[u8], syntax: HopSyntax) -> Option<IpAddr> {
    match syntax {
        HopSyntax::List => node(hop),
        HopSyntax::Parameters => node(unquoted(sole_for(hop)?)?),
    }
}

/// The value of the parameter `for`. No parameter may stand twice in an element.
fn sole_for(element: &[u8]) -> Option<&[u8]> {
    let (mut rest, mut found) = (Some(element), None);
    while let Some(text) = rest {
        let (left, pair) = cut_last(text, b';', HopSyntax::Parameters)?;
        rest = left;
        let pair = pair.trim_ascii();
        let Some((name, value)) = pair.split_at_checked(b"for=".len()) else { continue };
        if name.eq_ignore_ascii_case(b"for=") && found.replace(value).is_some() {
            return None;
        }
    }
    found
}

/// A token as it is, a quoted string without its quotes. No address needs an escape, so what has one
/// is none.
fn unquoted(value: &[u8]) -> Option<&[u8]> {
    match value.strip_prefix(b"\"") {
        Some(rest) => rest.strip_suffix(b"\""),
        None => Some(value),
    }
}

/// An address, whether or not a port follows it (RFC 7239, section 6). IPv6 may do without its
/// brackets. `unknown` and obfuscated names are no address.
fn node(text: &[u8]) -> Option<IpAddr> {
    let text = str::from_utf8(text).ok()?;
    let address: IpAddr = if let Some(bracketed) = text.strip_prefix('[') {
        let (address, port) = bracketed.split_once(']')?;
        if !port.is_empty() && !port.strip_prefix(':').is_some_and(is_port) {
            return None;
        }
        address.parse::<Ipv6Addr>().ok()?.into()
    } else if text.bytes().filter(|&byte| byte == b':').count() == 1 {
        let (address, _) = text.split_once(':').filter(|(_, port)| is_port(port))?;
        address.parse::<Ipv4Addr>().ok()?.into()
    } else {
        text.parse().ok()?
    };
    Some(address.to_canonical())
}

/// A number, or a name that a proxy gave it.
fn is_port(text: &str) -> bool {
    let obfuscated = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    match text.strip_prefix('_') {
        Some(name) => !name.is_empty() && name.bytes().all(obfuscated),
        None => text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &[u8], syntax: HopSyntax) -> Vec<Option<String>> {
        hops(line, syntax).map(|hop| hop.map(|address| address.to_string())).collect()
    }

    #[track_caller]
    fn list(line: &str, expected: &[Option<&str>]) {
        assert_eq!(read(line.as_bytes(), HopSyntax::List), owned(expected), "{line}");
    }

    #[track_caller]
    fn parameters(line: &str, expected: &[Option<&str>]) {
        assert_eq!(read(line.as_bytes(), HopSyntax::Parameters), owned(expected), "{line}");
    }

    fn owned(hops: &[Option<&str>]) -> Vec<Option<String>> {
        hops.iter().map(|hop| hop.map(str::to_owned)).collect()
    }

    #[test]
    fn a_list_is_read_from_the_right() {
        list(
            "1.2.3.4,  2001:db8::7 ,10.0.0.3",
            &[Some("10.0.0.3"), Some("2001:db8::7"), Some("1.2.3.4")],
        );
    }

    #[test]
    fn ports_are_dropped() {
        for (text, address) in [
            ("1.2.3.4:80", "1.2.3.4"),
            ("[::1]:80", "::1"),
            ("[::1]", "::1"),
            ("[::1]:_x9", "::1"),
            ("1.2.3.4:_a.b-c_d", "1.2.3.4"),
            ("[::ffff:1.2.3.4]:80", "1.2.3.4"),
        ] {
            list(text, &[Some(address)]);
        }
    }

    #[test]
    fn what_is_no_address_is_a_hop_that_tells_nothing() {
        for text in [
            "",
            " ",
            "unknown",
            "_x",
            "example.com",
            "1.2.3",
            "1.2.3.4.5",
            "01.2.3.4",
            "1.2.3.4:",
            "1.2.3.4:65536",
            "1.2.3.4:+80",
            "1.2.3.4:_",
            "1.2.3.4:80:80",
            "[1.2.3.4]",
            "[::1",
            "[::1]80",
            "[::1]:",
            "::1]",
            "fe80::1%eth0",
            "\"1.2.3.4\"",
            "1.2.3.4 5",
            "unix:",
        ] {
            list(text, &[None]);
        }
    }

    #[test]
    fn an_empty_element_is_a_hop_that_tells_nothing() {
        list(",,1.2.3.4,", &[None, Some("1.2.3.4"), None, None]);
        parameters(" ,for=1.2.3.4", &[Some("1.2.3.4"), None]);
    }

    #[test]
    fn the_examples_of_rfc_7239_are_read() {
        parameters("for=192.0.2.60;proto=http;by=203.0.113.43", &[Some("192.0.2.60")]);
        parameters("For=\"[2001:db8:cafe::17]:4711\"", &[Some("2001:db8:cafe::17")]);
        parameters(
            "for=192.0.2.43, for=198.51.100.17",
            &[Some("198.51.100.17"), Some("192.0.2.43")],
        );
        parameters("for=_hidden, for=_SEVKISEK, for=unknown", &[None, None, None]);
    }

    #[test]
    fn commas_and_semicolons_in_quotes_separate_nothing() {
        parameters(r#"for=1.2.3.4;host="a,for=6.6.6.6;for=7.7.7.7""#, &[Some("1.2.3.4")]);
        parameters(
            r#"for=5.6.7.8, host="\",for=6.6.6.6";for=1.2.3.4"#,
            &[Some("1.2.3.4"), Some("5.6.7.8")],
        );
        parameters(
            r#"for=5.6.7.8,host="\\",for=1.2.3.4"#,
            &[Some("1.2.3.4"), None, Some("5.6.7.8")],
        );
    }

    #[test]
    fn a_quote_that_stays_open_on_the_left_changes_nothing_on_the_right() {
        for left in [r#"for=""#, r#"""#, r#"host="\"#, r#"for="x"", "#] {
            let line = format!("{left}, for=1.2.3.4;host=\"a,b\"");
            let first = hops(line.as_bytes(), HopSyntax::Parameters).next().unwrap();
            assert_eq!(first, Some("1.2.3.4".parse().unwrap()), "{line}");
        }
    }

    #[test]
    fn an_element_without_one_clear_address_tells_nothing() {
        for text in [
            "proto=https",
            "for",
            "for=",
            "for=\"\"",
            "for=\"",
            "for=\"1.2.3.4",
            "for =1.2.3.4",
            "for=1.2.3.4;for=1.2.3.4",
            "xfor=1.2.3.4",
            "for=\"1.2.3.\\4\"",
            "1.2.3.4",
        ] {
            parameters(text, &[None]);
        }
    }

    #[test]
    fn a_hop_of_a_kilobyte_is_read_and_a_longer_one_is_not() {
        let spaces = " ".repeat(MAX_HOP_BYTES - "1.2.3.4".len());
        list(&format!("9.9.9.9,{spaces}1.2.3.4"), &[Some("1.2.3.4"), Some("9.9.9.9")]);
        list(&format!("9.9.9.9, {spaces}1.2.3.4"), &[None]);
        list(&format!("{spaces}1.2.3.4"), &[Some("1.2.3.4")]);
        list(&format!(" {spaces}1.2.3.4"), &[None]);
    }
}
