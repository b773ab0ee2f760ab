//! WebSockets (RFC 6455): keys among the subprotocols of a handshake, and what closes a connection.

use super::{RequestHead, Wire, fields::whole_seconds, reply::micros};
use crate::verdict::Rejection;

pub(super) const PROTOCOL: &str = "sec-websocket-protocol";
const UPGRADE: &str = "upgrade";
const WEBSOCKET: &[u8] = b"websocket";

/// What this connection did, or was to do, is not allowed (RFC 6455, section 7.4.1).
const POLICY_VIOLATION: u16 = 1008;

/// Later it may be ("Try Again Later", in the registry of close codes at IANA).
const TRY_AGAIN_LATER: u16 = 1013;

/// How to close a WebSocket whose message was refused: code and reason of a close frame.
///
/// ```
/// # use keygate::verdict::{Admission, Rejection};
/// # struct Socket;
/// # impl Socket { async fn close(&mut self, code: u16, reason: String) {} }
/// async fn receive(admission: &Admission, socket: &mut Socket, message: &str) {
///     if let Err(rejection) = admission.charge(1).await {
///         let close = rejection.close();
///         return socket.close(close.code, close.reason).await;
///     }
///     // ...
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Close {
    /// 1013 if the same message may be sent again later, and 1008 if it is not allowed.
    pub code: u16,
    /// The reason's [code](crate::verdict::Reason::code), and how many seconds to wait:
    /// `quota_exhausted; retry-after=43200`. Always short enough for a close frame, which has room for
    /// 123 bytes.
    pub reason: String,
}

impl Close {
    pub(crate) fn of(rejection: &Rejection) -> Self {
        let word = rejection.reason().code();
        let Some(wait) = rejection.retry_after() else {
            return Self { code: POLICY_VIOLATION, reason: word.to_owned() };
        };
        let seconds = whole_seconds(micros(wait)).max(1);
        Self { code: TRY_AGAIN_LATER, reason: format!("{word}; retry-after={seconds}") }
    }
}

impl Wire {
    /// What follows our prefix, in a handshake that may show a key there.
    pub(super) fn keys_among_subprotocols<'r>(
        &self,
        request: &'r impl RequestHead,
    ) -> impl Iterator<Item = &'r [u8]> {
        self.key_prefix(request).into_iter().flat_map(move |prefix| {
            let offered = elements(request, PROTOCOL);
            offered.filter_map(move |it| it.strip_prefix(prefix.as_bytes()))
        })
    }

    /// The other subprotocols, where a key is among them.
    pub(super) fn other_subprotocols(&self, request: &impl RequestHead) -> Option<String> {
        let prefix = self.key_prefix(request)?;
        let is_key = |it: &[u8]| it.starts_with(prefix.as_bytes());
        if !elements(request, PROTOCOL).any(is_key) {
            return None;
        }
        let others = elements(request, PROTOCOL).filter(|it| !is_key(it));
        // What is not ASCII is no subprotocol, and not every framework takes it for a header.
        let others = others.filter(|it| it.is_ascii());
        let others: Vec<&str> = others.filter_map(|it| str::from_utf8(it).ok()).collect();
        Some(others.join(", "))
    }

    fn key_prefix(&self, request: &impl RequestHead) -> Option<&str> {
        self.subprotocol.as_deref().filter(|_| asks_for_websocket(request))
    }
}

/// Whether a request is a client's opening handshake (RFC 6455, section 4.1).
fn asks_for_websocket(request: &impl RequestHead) -> bool {
    request.method() == "GET"
        && elements(request, UPGRADE).any(|it| it.eq_ignore_ascii_case(WEBSOCKET))
}

/// The elements of a list, in however many lines (RFC 9110, section 5.6.1).
fn elements<'r>(
    request: &'r impl RequestHead,
    header: &'static str,
) -> impl Iterator<Item = &'r [u8]> {
    let lines = request.headers().filter(move |(name, _)| *name == header);
    lines
        .flat_map(|(_, line)| line.split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|element| !element.is_empty())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        limit::Reading,
        plan::Plans,
        requirement::Requirement,
        verdict::{Counted, Reason, Refusal},
        wire::Manner,
    };

    /// The room for a reason (RFC 6455, section 5.5): 125 bytes, two of them the code.
    const MOST_BYTES: usize = 123;

    fn close(refusal: Box<Refusal>) -> Close {
        let (requirement, wire) = (Arc::new(Requirement::default()), Arc::new(Wire::default()));
        let close = Rejection::new(refusal, requirement, wire, Manner::default()).close();
        assert!(close.reason.len() <= MOST_BYTES, "{close:?}");
        close
    }

    fn exhausted(retry_micros: Option<u64>) -> Box<Refusal> {
        let plans = r#"[plans.free]
            limits = [{ name = "daily", quota = 1000, per = "day" }]"#;
        let plans = Plans::from_toml(plans).unwrap();
        let plan = plans.iter().next().unwrap();
        let reading = Reading {
            within: false,
            remaining: 0,
            reset_micros: 1,
            retry_micros,
            window_seconds: 2,
        };
        Refusal::of_charge(Counted::new(Arc::clone(plan.charged(None)), [reading].into()))
    }

    #[test]
    fn what_is_not_allowed_violates_the_policy() {
        for reason in [
            Reason::MissingKey,
            Reason::UnknownKey,
            Reason::DisabledKey,
            Reason::RevokedKey,
            Reason::ExpiredKey,
            Reason::KeyNotYetValid,
            Reason::InsufficientScope,
            Reason::CostExceedsLimit,
        ] {
            let close = close(reason.into());
            assert_eq!((close.code, &*close.reason), (1008, reason.code()));
        }
        let never = close(exhausted(None));
        assert_eq!((never.code, &*never.reason), (1008, "quota_exhausted"));
    }

    #[test]
    fn what_is_allowed_later_may_be_tried_again() {
        let unavailable =
            [Reason::LimiterUnavailable, Reason::KeysUnavailable, Reason::PlanUnavailable];
        for reason in unavailable {
            let close = close(reason.into());
            let expected = format!("{}; retry-after=1", reason.code());
            assert_eq!((close.code, close.reason), (1013, expected));
        }
    }

    #[test]
    fn a_wait_is_told_in_whole_seconds_rounded_up() {
        for (micros, told) in [(0, "1"), (1, "1"), (1_000_000, "1"), (1_000_001, "2")] {
            let close = close(exhausted(Some(micros)));
            assert_eq!(close.reason, format!("quota_exhausted; retry-after={told}"));
        }
        assert_eq!(close(exhausted(Some(u64::MAX))).code, 1013);
    }
}
