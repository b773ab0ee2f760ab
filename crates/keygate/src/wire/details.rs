//! What a gRPC status tells to programs: the messages of `google/rpc/status.proto` and
//! `google/rpc/error_details.proto`, of which five fields are needed.
//!
//! Written by hand: the encoding (<https://protobuf.dev/programming-guides/encoding>) of numbers and
//! texts is two functions, and derived messages would make every user compile a second parser of
//! Rust.

use super::grpc::GrpcCode;

/// A `google.rpc.Status` with an `ErrorInfo`, and a `RetryInfo` where there is a wait, in
/// microseconds.
pub(super) fn status(
    code: GrpcCode,
    message: &str,
    reason: &str,
    wait_micros: Option<u64>,
) -> Vec<u8> {
    let error_info = Message::default().text(1, reason).text(2, DOMAIN);
    let status = Message::default()
        .number(1, code.number().into())
        .text(2, message)
        .message(3, &any("ErrorInfo", &error_info));
    let Some(micros) = wait_micros else {
        return status.0;
    };
    let retry_info = Message::default().message(1, &duration(micros));
    status.message(3, &any("RetryInfo", &retry_info)).0
}

/// Whose words the reasons are.
const DOMAIN: &str = "keygate";

/// The longest `google.protobuf.Duration`: about 10,000 years.
const MAX_SECONDS: u64 = 315_576_000_000;

fn duration(micros: u64) -> Message {
    let (seconds, rest) = (micros / 1_000_000, micros % 1_000_000);
    Message::default().number(1, seconds.min(MAX_SECONDS)).number(2, rest * 1_000)
}

/// A message behind its type's name: `google.protobuf.Any`.
fn any(name: &str, message: &Message) -> Message {
    Message::default()
        .text(1, &format!("type.googleapis.com/google.rpc.{name}"))
        .message(2, message)
}

/// A message in the making, field by field.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    /// A number that is not negative. Zero is what a reader takes a missing field for.
    fn number(mut self, field: u64, value: u64) -> Self {
        const VARINT: u64 = 0;
        if value != 0 {
            self.varint(field << 3 | VARINT);
            self.varint(value);
        }
        self
    }

    fn text(self, field: u64, text: &str) -> Self {
        self.bytes(field, text.as_bytes())
    }

    fn message(self, field: u64, message: &Self) -> Self {
        self.bytes(field, &message.0)
    }

    fn bytes(mut self, field: u64, bytes: &[u8]) -> Self {
        const LEN: u64 = 2;
        self.varint(field << 3 | LEN);
        self.varint(bytes.len().try_into().unwrap_or(u64::MAX));
        self.0.extend_from_slice(bytes);
        self
    }

    /// Seven bits a byte, the lowest first; all bytes but the last have the highest bit set.
    fn varint(&mut self, mut value: u64) {
        while value > 0x7F {
            let [low, ..] = value.to_le_bytes();
            self.0.push(low | 0x80);
            value >>= 7;
        }
        let [last, ..] = value.to_le_bytes();
        self.0.push(last);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_encoding_are_met() {
        assert_eq!(Message::default().number(1, 150).0, b"\x08\x96\x01");
        assert_eq!(Message::default().text(2, "testing").0, b"\x12\x07testing");
        let inner = Message::default().number(1, 150);
        assert_eq!(Message::default().message(3, &inner).0, b"\x1a\x03\x08\x96\x01");
    }

    #[test]
    fn numbers_take_seven_bits_a_byte() {
        for (number, bytes) in [
            (1, &b"\x01"[..]),
            (127, b"\x7f"),
            (128, b"\x80\x01"),
            (16_383, b"\xff\x7f"),
            (16_384, b"\x80\x80\x01"),
            (u64::MAX, b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
        ] {
            let message = Message::default().number(1, number);
            assert_eq!(message.0.strip_prefix(b"\x08"), Some(bytes), "{number}");
        }
    }

    #[test]
    fn a_zero_is_left_out() {
        assert!(Message::default().number(1, 0).0.is_empty());
    }
}
