//! The same refusals for gRPC, over the same HTTP
//! (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>).

use base64::{Engine, prelude::BASE64_STANDARD_NO_PAD};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::{
    FieldName, Reply, Wire, details,
    reply::{Row, micros},
};
use crate::verdict::Rejection;

const GRPC: &str = "application/grpc";
const EXPOSED: &str = "grpc-status, grpc-message, grpc-status-details-bin";

/// What stays as it is in a `grpc-message`: all of ASCII but control characters and `%`.
const ESCAPED_IN_MESSAGE: &AsciiSet = &CONTROLS.add(b'%');

/// The kinds of gRPC, told apart by the content type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GrpcDialect {
    /// gRPC over HTTP/2.
    Http2,
    /// What browsers speak
    /// (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-WEB.md>).
    Web,
    /// The same as base64.
    WebText,
}

impl GrpcDialect {
    /// What this content type speaks, whatever it encodes messages with. `None` if it is no gRPC.
    pub(super) fn of(content_type: &[u8]) -> Option<Self> {
        // Most are none, and their first bytes tell.
        let start = content_type.trim_ascii_start().get(..GRPC.len())?;
        if !start.eq_ignore_ascii_case(GRPC.as_bytes()) {
            return None;
        }
        let kind = content_type.split(|byte| b"+;".contains(byte)).next()?.trim_ascii();
        let dialects = [
            (GRPC, Self::Http2),
            ("application/grpc-web", Self::Web),
            ("application/grpc-web-text", Self::WebText),
        ];
        let is = |name: &str| kind.eq_ignore_ascii_case(name.as_bytes());
        dialects.into_iter().find_map(|(name, dialect)| is(name).then_some(dialect))
    }

    /// Whether a response with such a head is yet to say, with its trailers, how it ends.
    ///
    /// In gRPC-Web that stands within the body, which is not read. A response that is no gRPC has no other
    /// word than its head, whatever the request claims to speak: or a client could have any answer counted
    /// as one that ended without a code, and so has failed.
    pub(super) fn awaits_trailers<'h>(
        self,
        status: u16,
        header: impl Fn(FieldName) -> Option<&'h [u8]>,
    ) -> bool {
        self == Self::Http2
            && status == 200
            && header(FieldName::GrpcStatus).is_none()
            && header(FieldName::ContentType).and_then(Self::of) == Some(Self::Http2)
    }

    fn content_type(self) -> &'static str {
        match self {
            Self::Http2 => GRPC,
            Self::Web => "application/grpc-web+proto",
            Self::WebText => "application/grpc-web-text+proto",
        }
    }
}

/// A status code (<https://github.com/grpc/grpc/blob/master/doc/statuscodes.md>).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct GrpcCode(u8);

impl GrpcCode {
    pub(super) const INVALID_ARGUMENT: Self = Self(3);
    pub(super) const PERMISSION_DENIED: Self = Self(7);
    pub(super) const RESOURCE_EXHAUSTED: Self = Self(8);
    pub(super) const UNAVAILABLE: Self = Self(14);
    pub(super) const UNAUTHENTICATED: Self = Self(16);

    pub(super) const fn number(self) -> u8 {
        self.0
    }
}

/// A refusal as a gRPC status, in plain values: for handlers that end a stream with it.
///
/// ```
/// # use keygate::verdict::{Admission, Rejection};
/// # use tonic::{Code, Status};
/// fn refused(rejection: &Rejection) -> Status {
///     let it = rejection.grpc_status();
///     Status::with_details(Code::from_i32(it.code), it.message, it.details.into())
/// }
///
/// async fn next_message(admission: &Admission) -> Result<(), Status> {
///     admission.charge(1).await.map_err(|rejection| refused(&rejection))?;
///     // ...
///     Ok(())
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GrpcStatus {
    /// The number of the status code, such as 8 for `RESOURCE_EXHAUSTED`.
    pub code: i32,
    /// What people read.
    pub message: String,
    /// What programs read: a `google.rpc.Status` with an `ErrorInfo` (the reason, in the domain
    /// `keygate`) and, where there is a wait, a `RetryInfo`.
    pub details: Vec<u8>,
}

/// The status of a response in terms of HTTP.
///
/// A gRPC service answers 200 whatever happens. Where it fails before it sends a message, its code
/// stands in the head and says more. The codes are mapped as by `google/rpc/code.proto`; 500 for a
/// code that is unknown. Where it succeeds, or fails later, the code comes after the body: nothing
/// but 200 is known of the head then.
pub(super) fn answered_status(status: u16, code: Option<&[u8]>) -> u16 {
    code.filter(|_| status == 200).map_or(status, http_status)
}

/// The same once the body has ended. Where it ended without a code the client knows of none, either, and
/// takes it for `UNKNOWN`.
pub(super) fn ended_status(code: Option<&[u8]>) -> u16 {
    http_status(code.unwrap_or_default())
}

fn http_status(code: &[u8]) -> u16 {
    match code {
        b"0" => 200,                // OK
        b"1" => 499,                // CANCELLED: the client closed the request
        b"3" | b"9" | b"11" => 400, // INVALID_ARGUMENT, FAILED_PRECONDITION, OUT_OF_RANGE
        b"4" => 504,                // DEADLINE_EXCEEDED
        b"5" => 404,                // NOT_FOUND
        b"6" | b"10" => 409,        // ALREADY_EXISTS, ABORTED
        b"7" => 403,                // PERMISSION_DENIED
        b"8" => 429,                // RESOURCE_EXHAUSTED
        b"12" => 501,               // UNIMPLEMENTED
        b"14" => 503,               // UNAVAILABLE
        b"16" => 401,               // UNAUTHENTICATED
        _ => 500,
    }
}

impl GrpcStatus {
    pub(crate) fn of(rejection: &Rejection) -> Self {
        let row = Row::of(rejection.reason());
        let message = rejection.detail().unwrap_or(row.detail);
        let reason = rejection.reason().code().to_ascii_uppercase();
        let wait = rejection.retry_after().map(micros);
        let details = details::status(row.grpc, message, &reason, wait);
        Self { code: row.grpc.number().into(), message: message.to_owned(), details }
    }
}

impl Wire {
    /// A refusal in trailers-only form: a head that ends the response. The body is empty, and a
    /// framework has to know that before it asks the body.
    ///
    /// Waits are told in the details, exact to the microsecond, and not as `Retry-After`, which no
    /// client of gRPC reads.
    pub(super) fn grpc_reply(&self, dialect: GrpcDialect, rejection: &Rejection) -> Reply {
        let status = GrpcStatus::of(rejection);
        let mut headers = self.fields(rejection.counted(), rejection.manner());
        if rejection.manner().cross_origin {
            headers.push((FieldName::ExposeHeaders, EXPOSED.to_owned().into()));
        }
        headers.push((FieldName::ContentType, dialect.content_type().to_owned().into()));
        headers.push((FieldName::GrpcStatus, status.code.to_string().into()));
        headers.push((FieldName::GrpcMessage, escaped(&status.message).into()));
        headers
            .push((FieldName::GrpcDetails, BASE64_STANDARD_NO_PAD.encode(status.details).into()));
        Reply { status: 200, headers, body: String::new() }
    }
}

fn escaped(message: &str) -> String {
    utf8_percent_encode(message, ESCAPED_IN_MESSAGE).to_string()
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use http::{HeaderMap, HeaderName, HeaderValue};
    use tonic::{Code, Status};
    use tonic_types::StatusExt;

    use super::*;
    use crate::{
        limit::Reading,
        plan::Plans,
        requirement::Requirement,
        verdict::{Counted, Reason, Refusal},
        wire::{Fields, Manner},
    };

    fn reply(dialect: GrpcDialect, refusal: Box<Refusal>, cross_origin: bool) -> Reply {
        let wire = Arc::new(Wire::default());
        let requirement = Arc::new(Requirement::default());
        let manner = Manner { cross_origin, grpc: Some(dialect) };
        Rejection::new(refusal, requirement, wire, manner).reply()
    }

    fn values(fields: &Fields, name: FieldName) -> Vec<&str> {
        fields.iter().filter(|(it, _)| *it == name).map(|(_, value)| &**value).collect()
    }

    /// The refusal as a client of another make reads it.
    fn read(refusal: Box<Refusal>) -> Status {
        let reply = reply(GrpcDialect::Http2, refusal, false);
        assert_eq!((reply.status, &*reply.body), (200, ""));
        let headers: HeaderMap = reply
            .headers
            .iter()
            .map(|(name, value)| {
                (HeaderName::from_static(name.as_str()), HeaderValue::from_str(value).unwrap())
            })
            .collect();
        Status::from_header_map(&headers).unwrap()
    }

    /// A charge that two limits refuse, to be tried again after these waits.
    fn exhausted(waits: [Option<u64>; 2]) -> Box<Refusal> {
        let plans = r#"
            [plans.free]
            limits = [
                { name = "burst", rate = "10/s", burst = 20 },
                { name = "daily", quota = 1000, per = "day" },
            ]
        "#;
        let plans = Plans::from_toml(plans).unwrap();
        let plan = plans.iter().next().unwrap();
        let reading = |retry_micros| Reading {
            within: false,
            remaining: 0,
            reset_micros: 1,
            retry_micros,
            window_seconds: 2,
        };
        let readings = waits.map(reading).to_vec();
        Refusal::of_charge(Counted::new(Arc::clone(plan.charged(None)), readings))
    }

    fn wait(status: &Status) -> Option<Duration> {
        status.get_details_retry_info().and_then(|info| info.retry_delay)
    }

    #[test]
    fn every_status_of_http_has_its_code() {
        for (reason, code) in [
            (Reason::MissingKey, Code::Unauthenticated),
            (Reason::MalformedKey, Code::Unauthenticated),
            (Reason::UnknownKey, Code::Unauthenticated),
            (Reason::DisabledKey, Code::Unauthenticated),
            (Reason::RevokedKey, Code::Unauthenticated),
            (Reason::ExpiredKey, Code::Unauthenticated),
            (Reason::KeyNotYetValid, Code::Unauthenticated),
            (Reason::AmbiguousCredential, Code::InvalidArgument),
            (Reason::InsufficientScope, Code::PermissionDenied),
            (Reason::RateLimited, Code::ResourceExhausted),
            (Reason::QuotaExhausted, Code::ResourceExhausted),
            (Reason::TooManyConcurrent, Code::ResourceExhausted),
            (Reason::CostExceedsLimit, Code::ResourceExhausted),
            (Reason::LimiterUnavailable, Code::Unavailable),
            (Reason::KeysUnavailable, Code::Unavailable),
            (Reason::PlanUnavailable, Code::Unavailable),
        ] {
            let status = read(reason.into());
            assert_eq!(status.code(), code, "{reason:?}");
            let back = http_status(i32::from(status.code()).to_string().as_bytes());
            assert_eq!(back, Row::of(reason).status, "{reason:?}");
        }
    }

    #[test]
    fn a_program_reads_the_reason() {
        let status = read(Reason::UnknownKey.into());
        assert_eq!(status.message(), "There is no such key.");
        let info = status.get_details_error_info().unwrap();
        assert_eq!((&*info.reason, &*info.domain), ("UNKNOWN_KEY", "keygate"));
        assert!(info.metadata.is_empty());
        assert_eq!(wait(&status), None);
    }

    #[test]
    fn the_wait_is_exact_to_the_microsecond() {
        let status = read(exhausted([Some(1), Some(40_211_000_007)]));
        assert_eq!(status.get_details_error_info().unwrap().reason, "QUOTA_EXHAUSTED");
        assert_eq!(wait(&status), Some(Duration::from_micros(40_211_000_007)));
        let status = read(exhausted([Some(5), Some(300)]));
        assert_eq!(wait(&status), Some(Duration::from_micros(300)));
    }

    #[test]
    fn what_never_fits_has_no_wait() {
        assert_eq!(wait(&read(exhausted([Some(1), None]))), None);
        assert_eq!(wait(&read(Reason::CostExceedsLimit.into())), None);
    }

    #[test]
    fn the_longest_wait_is_still_a_duration() {
        let status = read(exhausted([Some(u64::MAX), Some(1)]));
        assert_eq!(wait(&status).unwrap().as_secs(), 315_576_000_000);
    }

    #[test]
    fn a_store_out_of_reach_is_asked_again_in_a_second() {
        assert_eq!(wait(&read(Reason::KeysUnavailable.into())), Some(Duration::from_secs(1)));
    }

    #[test]
    fn a_counted_refusal_tells_its_limits_too() {
        let reply = reply(GrpcDialect::Http2, exhausted([Some(1), Some(1)]), false);
        let told = r#""burst";r=0;t=1, "daily";r=0;t=1"#;
        assert_eq!(values(&reply.headers, FieldName::RateLimit), [told]);
        assert!(values(&reply.headers, FieldName::RetryAfter).is_empty());
        assert!(values(&reply.headers, FieldName::ExposeHeaders).is_empty());
    }

    #[test]
    fn a_script_of_another_origin_may_read_the_status() {
        let reply = reply(GrpcDialect::Web, Reason::UnknownKey.into(), true);
        assert_eq!(values(&reply.headers, FieldName::ExposeHeaders), [EXPOSED]);
    }

    #[test]
    fn a_message_is_escaped_as_the_protocol_says() {
        assert_eq!(escaped("a b~!\"#"), "a b~!\"#");
        assert_eq!(escaped("100 %\n\u{7f}ü€"), "100 %25%0A%7F%C3%BC%E2%82%AC");
    }

    #[test]
    fn a_refusal_speaks_the_dialect_of_the_request() {
        for (asked, answered) in [
            ("application/grpc", "application/grpc"),
            ("application/grpc+proto", "application/grpc"),
            ("application/grpc+json", "application/grpc"),
            ("Application/gRPC; charset=utf-8", "application/grpc"),
            ("application/grpc ;a=b", "application/grpc"),
            ("application/grpc-web", "application/grpc-web+proto"),
            ("application/grpc-web+proto", "application/grpc-web+proto"),
            ("application/grpc-web-text+proto", "application/grpc-web-text+proto"),
        ] {
            let dialect = GrpcDialect::of(asked.as_bytes()).unwrap();
            let reply = reply(dialect, Reason::UnknownKey.into(), false);
            assert_eq!(values(&reply.headers, FieldName::ContentType), [answered], "{asked}");
        }
    }

    #[test]
    fn other_content_types_are_no_grpc() {
        for text in
            ["", "application/json", "application/grpcx", "grpc", "application/grpc-webtext"]
        {
            assert_eq!(GrpcDialect::of(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn a_code_in_the_head_says_more_than_200() {
        for (code, status) in [
            ("0", 200),
            ("1", 499),
            ("2", 500),
            ("3", 400),
            ("4", 504),
            ("5", 404),
            ("6", 409),
            ("7", 403),
            ("8", 429),
            ("9", 400),
            ("10", 409),
            ("11", 400),
            ("12", 501),
            ("13", 500),
            ("14", 503),
            ("15", 500),
            ("16", 401),
            ("17", 500),
            ("", 500),
            ("00", 500),
            ("\u{e9}", 500),
        ] {
            assert_eq!(answered_status(200, Some(code.as_bytes())), status, "{code}");
        }
    }

    #[test]
    fn trailers_without_a_code_are_no_success() {
        for (code, status) in [(Some("0"), 200), (Some("5"), 404), (Some(""), 500), (None, 500)] {
            assert_eq!(ended_status(code.map(str::as_bytes)), status, "{code:?}");
        }
    }

    #[test]
    fn only_what_is_grpc_on_both_ways_is_awaited() {
        let awaits = |asked: GrpcDialect, answered: &'static str| {
            let answered = |name| (name == FieldName::ContentType).then_some(answered.as_bytes());
            asked.awaits_trailers(200, answered)
        };
        assert!(awaits(GrpcDialect::Http2, "application/grpc"));
        assert!(awaits(GrpcDialect::Http2, "application/grpc+proto"));
        assert!(!awaits(GrpcDialect::Http2, "application/grpc-web"));
        assert!(!awaits(GrpcDialect::Http2, "application/json"));
        assert!(!awaits(GrpcDialect::Web, "application/grpc-web+proto"));
        assert!(!awaits(GrpcDialect::WebText, "application/grpc"));
    }

    #[test]
    fn a_status_other_than_200_stands() {
        assert_eq!(answered_status(502, Some(b"0")), 502);
        assert_eq!(answered_status(200, None), 200);
    }
}
