/// The digits of a checksum, in order of value.
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// The six characters that close a key: the CRC-32 of all before, in base62, big-endian.
#[must_use]
pub fn checksum(payload: &str) -> String {
    let mut value = crc32fast::hash(payload.as_bytes());
    let mut digits = Vec::new();
    for _ in 0..6 {
        digits.push(char::from(DIGITS[usize::try_from(value % 62).unwrap()]));
        value /= 62;
    }
    digits.into_iter().rev().collect()
}

/// A key of the right form that nobody issued. Its secret ends in `tail`.
#[must_use]
pub fn unknown_key(tail: &str) -> String {
    checked(format!("kg_test_{tail:0>32}"))
}

/// The same, of the form that keys have unless somebody says otherwise.
#[must_use]
pub fn unknown_live_key(tail: &str) -> String {
    checked(format!("kg_live_{tail:0>32}"))
}

fn checked(payload: String) -> String {
    let check = checksum(&payload);
    payload + &check
}
