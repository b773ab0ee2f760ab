//! Base62 text: random characters, and a checksum in digits.

use zeroize::Zeroizing;

use super::entropy::EntropyError;

/// The digits in order of value.
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Digits of a checksum: 62⁶ > 2³².
pub(super) const CHECKSUM_LEN: usize = 6;

/// Bytes asked of the generator at a time: too few for 32 characters in 3 calls of a million.
const POOL: usize = 40;

/// Fills `text` with independent, equally likely base62 characters made from `source`.
///
/// # Errors
///
/// Those of `source`; and a whole pool without one usable byte, which a sound generator gives
/// once in 2²⁰⁰ calls, so that a broken one fails instead of hanging.
pub(super) fn fill(
    text: &mut [u8],
    mut source: impl FnMut(&mut [u8]) -> Result<(), EntropyError>,
) -> Result<(), EntropyError> {
    let mut pool = Zeroizing::new([0_u8; POOL]);
    let mut empty = text.iter_mut();
    while empty.len() > 0 {
        source(&mut *pool)?;
        let before = empty.len();
        // The characters come first in the zip: the other way round it would eat a slot at the end.
        for (char, slot) in pool.iter().filter_map(character).zip(empty.by_ref()) {
            *slot = char;
        }
        if empty.len() == before {
            return Err(EntropyError::STUCK);
        }
    }
    Ok(())
}

/// Whether every byte is a base62 character.
pub(super) fn is_base62(text: &[u8]) -> bool {
    // No early exit: a fixed length without branches becomes a few vector instructions.
    text.iter().fold(true, |all, byte| all & byte.is_ascii_alphanumeric())
}

/// The CRC-32 of `text` as exactly six digits, most significant first.
pub(super) fn checksum(text: &[u8]) -> [u8; CHECKSUM_LEN] {
    digits(crc32fast::hash(text))
}

fn digits(mut value: u32) -> [u8; CHECKSUM_LEN] {
    let mut digits = [b'0'; CHECKSUM_LEN];
    for digit in digits.iter_mut().rev() {
        let index = usize::try_from(value % 62).ok();
        let char = index.and_then(|index| ALPHABET.get(index));
        *digit = char.copied().unwrap_or(b'0');
        value /= 62;
    }
    digits
}

/// The character for a random byte, or none for the eight bytes that would favour some characters.
fn character(byte: &u8) -> Option<u8> {
    // Six bits are 64 values. The last two lie outside the alphabet, and the lookup rejects them.
    ALPHABET.get(usize::from(byte >> 2)).copied()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    /// Every byte value once, in an order that spreads the rejected ones, then over again.
    fn all_bytes(bytes: &mut [u8], position: &mut usize) {
        for byte in bytes {
            *byte = u8::try_from((*position * 167 + 13) % 256).unwrap();
            *position += 1;
        }
    }

    #[test]
    fn of_256_bytes_each_character_takes_four_and_eight_are_rejected() {
        let mut position = 0;
        let mut text = [0; 248];
        fill(&mut text, |bytes| {
            all_bytes(bytes, &mut position);
            Ok(())
        })
        .unwrap();

        let mut counts = HashMap::new();
        for char in text {
            *counts.entry(char).or_insert(0) += 1;
        }
        assert_eq!(counts.len(), 62);
        assert!(counts.values().all(|count| *count == 4), "{counts:?}");
        assert!(counts.keys().all(|char| ALPHABET.contains(char)));
        let rejected: Vec<u8> = (0..=255).filter(|byte| character(byte).is_none()).collect();
        assert_eq!(rejected, (248..=255).collect::<Vec<u8>>());
    }

    #[test]
    fn characters_keep_the_order_of_their_bytes_over_pool_boundaries() {
        let mut position = 0;
        let mut text = [0; 100];
        fill(&mut text, |bytes| {
            all_bytes(bytes, &mut position);
            Ok(())
        })
        .unwrap();

        let mut bytes = [0; 256];
        all_bytes(&mut bytes, &mut 0);
        let expected: Vec<u8> = bytes.iter().filter_map(character).take(100).collect();
        assert_eq!(text.to_vec(), expected);
    }

    #[test]
    fn a_generator_that_is_stuck_fails_instead_of_hanging() {
        let mut text = [0; 32];
        let stuck = fill(&mut text, |bytes| {
            bytes.fill(0xFF);
            Ok(())
        });
        assert_eq!(stuck, Err(EntropyError::STUCK));
    }

    #[test]
    fn a_failing_generator_is_reported() {
        let failure = EntropyError::from(getrandom::Error::UNSUPPORTED);
        assert_eq!(fill(&mut [0; 1], |_| Err(failure)), Err(failure));
    }

    #[test]
    fn the_alphabet_is_what_the_check_accepts() {
        for byte in 0..=255_u8 {
            assert_eq!(is_base62(&[byte]), ALPHABET.contains(&byte), "{byte}");
            assert_eq!(is_base62(&[b'a', byte, b'z']), ALPHABET.contains(&byte));
        }
    }

    /// Recompute: `divmod` by 62 over `zlib.crc32(b"123456789")` and the bounds in Python.
    #[test]
    fn six_digits_hold_every_checksum() {
        assert_eq!(&digits(0), b"000000");
        assert_eq!(&digits(61), b"00000z");
        assert_eq!(&digits(62), b"000010");
        assert_eq!(&digits(u32::MAX), b"4gfFC3");
        assert_eq!(&checksum(b"123456789"), b"3jZRME");
    }
}
