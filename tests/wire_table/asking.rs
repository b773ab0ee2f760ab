//! Requests in terms of HTTP/1, each on a connection of its own.

use std::{net::SocketAddr, thread, time::Duration};

use keygate_tests::{Answer, PATIENCE, Raw, now};

use crate::{beside::Beside, row::Row, words::Words};

/// A request that is answered with this is what is asked next on a connection, to see how it goes on.
const NEXT: (&str, u16, &[u8]) = ("GET /healthz HTTP/1.1\r\nhost: test\r\n\r\n", 200, b"ok\n");

/// What a body is made of that comes late: requests, each of which would be answered otherwise than what is
/// asked next.
const SMUGGLED: &str = "GET /v1/nowhere HTTP/1.1\r\nhost: test\r\n\r\n";

/// Who sends the requests of one row.
pub(crate) struct Asking<'r> {
    pub(crate) address: SocketAddr,
    pub(crate) row: &'r Row,
    pub(crate) words: &'r Words,
}

/// A request that was admitted, and whose body has not ended: neither has what comes back.
pub(crate) struct Held(Raw);

impl Asking<'_> {
    /// The answer to the row's own request, and how its connection does not go on, if that is wrong.
    #[track_caller]
    pub(crate) fn ask(&self) -> (Option<Answer>, Option<String>) {
        let Row { send, headers, body, late_body, .. } = self.row;
        let late = late_body.map(|length| SMUGGLED.repeat(length.div_ceil(SMUGGLED.len())));
        let body = body.as_deref().unwrap_or_default();
        let length = late.as_ref().map_or(body.len(), String::len);
        let length = (length > 0).then(|| format!("content-length: {length}\r\n"));
        let mut raw = self.write(send, headers, &(length.unwrap_or_default() + "\r\n" + body));
        let answer = answer_to(send, &mut raw);
        let goes_on = |late: String| goes_on(raw, late).err();
        (answer, late.and_then(goes_on))
    }

    /// The same again, for as long as all slots are held: those that have ended are given back in a while.
    #[track_caller]
    pub(crate) fn ask_until_free(&self) -> (Option<Answer>, Option<String>) {
        let start = now();
        loop {
            let (answer, fault) = self.ask();
            if !answer.as_ref().is_some_and(|it| it.holds("too_many_concurrent")) {
                return (answer, fault);
            }
            assert!(now().duration_since(start) < PATIENCE, "{}: no slot is free", self.row.it);
            thread::sleep(Duration::from_millis(1));
        }
    }

    #[track_caller]
    pub(crate) fn ask_before(&self, beside: &Beside) {
        let (line, headers) = beside.of(self.row);
        let answer = answer_to(line, &mut self.write(line, headers, "\r\n"));
        assert!(answer.is_some(), "{}: nothing comes of `{line}`", self.row.it);
    }

    /// Asks, and says no more once the head of the answer is there.
    #[track_caller]
    pub(crate) fn hold(&self, beside: &Beside) -> Held {
        let (line, headers) = beside.of(self.row);
        let mut raw = self.write(line, headers, "transfer-encoding: chunked\r\n\r\n");
        let head = raw.answer_without_body();
        assert_eq!(head.as_ref().map(|it| it.status), Some(200), "{}: {head:?}", self.row.it);
        Held(raw)
    }

    fn write(&self, line: &str, headers: &[String], rest: &str) -> Raw {
        let version = if line.contains(" HTTP/") { "" } else { " HTTP/1.1" };
        let headers: String = headers.iter().map(|it| format!("{it}\r\n")).collect();
        let text = format!("{line}{version}\r\nhost: test\r\n{headers}{rest}");
        let mut raw = Raw::connect(self.address);
        raw.write(self.words.filled(&text));
        raw
    }
}

impl Held {
    /// Ends what was sent, and reads the rest of what comes back, which is nothing.
    #[track_caller]
    pub(crate) fn end(self) {
        let Self(mut raw) = self;
        raw.write("0\r\n\r\n");
        assert_eq!(raw.chunk(), None, "of an empty body comes nothing back");
    }
}

#[track_caller]
fn answer_to(line: &str, raw: &mut Raw) -> Option<Answer> {
    if line.starts_with("HEAD ") { raw.answer_without_body() } else { raw.answer() }
}

/// Sends a body for which nobody waited, and what is asked next.
///
/// # Errors
/// If the connection is neither closed nor good for what is asked next.
#[track_caller]
fn goes_on(mut raw: Raw, late: String) -> Result<(), String> {
    let (next, status, body) = NEXT;
    raw.write(late);
    raw.write(next);
    raw.finish();
    let Some(answer) = raw.answer() else { return Ok(()) };
    if (answer.status, answer.body.as_slice()) != (status, body) {
        return Err(format!("  what is asked next: {answer:?}"));
    }
    raw.answer().map_or(Ok(()), |answer| Err(format!("  what nobody asked: {answer:?}")))
}
