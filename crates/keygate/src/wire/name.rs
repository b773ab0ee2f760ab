/// The name of a header field that the gate sends.
///
/// A framework parses names into a type of its own. Its adapter does that once for
/// [`ALL`](Self::ALL) of them, and then goes by the [`place`](Self::place).
///
/// ```
/// use keygate::wire::FieldName;
///
/// assert_eq!(FieldName::RateLimit.as_str(), "ratelimit");
/// assert!(FieldName::ALL.iter().enumerate().all(|(place, name)| name.place() == place));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FieldName {
    /// What remains (draft-ietf-httpapi-ratelimit-headers).
    RateLimit,
    /// What the limits are (the same draft).
    RateLimitPolicy,
    /// The older custom of telling one limit.
    LegacyLimit,
    /// What remains of that limit.
    LegacyRemaining,
    /// When that limit has more.
    LegacyReset,
    /// Which fields a script of another origin may read (Fetch standard).
    ExposeHeaders,
    /// RFC 9110, section 8.3.
    ContentType,
    /// RFC 9110, section 10.2.3.
    RetryAfter,
    /// RFC 9110, section 11.6.1.
    WwwAuthenticate,
    /// The three of a gRPC status (the protocol of gRPC over HTTP2, and google.rpc.Status).
    GrpcStatus,
    /// Its message, percent-encoded.
    GrpcMessage,
    /// Its details, in base64.
    GrpcDetails,
}

impl FieldName {
    /// Every name.
    pub const ALL: [Self; 12] = [
        Self::RateLimit,
        Self::RateLimitPolicy,
        Self::LegacyLimit,
        Self::LegacyRemaining,
        Self::LegacyReset,
        Self::ExposeHeaders,
        Self::ContentType,
        Self::RetryAfter,
        Self::WwwAuthenticate,
        Self::GrpcStatus,
        Self::GrpcMessage,
        Self::GrpcDetails,
    ];

    /// Where it stands among [`ALL`](Self::ALL).
    #[must_use]
    pub const fn place(self) -> usize {
        self as usize
    }

    /// The name in lower case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RateLimit => "ratelimit",
            Self::RateLimitPolicy => "ratelimit-policy",
            Self::LegacyLimit => "x-ratelimit-limit",
            Self::LegacyRemaining => "x-ratelimit-remaining",
            Self::LegacyReset => "x-ratelimit-reset",
            Self::ExposeHeaders => "access-control-expose-headers",
            Self::ContentType => "content-type",
            Self::RetryAfter => "retry-after",
            Self::WwwAuthenticate => "www-authenticate",
            Self::GrpcStatus => "grpc-status",
            Self::GrpcMessage => "grpc-message",
            Self::GrpcDetails => "grpc-status-details-bin",
        }
    }
}
