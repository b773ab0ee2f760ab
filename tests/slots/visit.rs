use std::{
    thread,
    time::{Duration, Instant},
};

use keygate_tests::{Answer, Random, Raw, now};
use serde_json::json;

use crate::SLOTS;

/// When a client goes away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Leaves {
    /// In the middle of its request.
    Asking,
    /// Before the head of the response.
    Waiting,
    /// In the middle of its body.
    Reading,
    /// After its body.
    Served,
    /// It was refused, and stays.
    Refused,
}

impl Leaves {
    /// Half of the clients read to the end.
    pub(crate) fn any(random: &mut Random) -> Self {
        match random.within(0..8) {
            0 => Self::Asking,
            1 => Self::Waiting,
            2 | 3 => Self::Reading,
            _ => Self::Served,
        }
    }
}

/// One request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Visit {
    pub(crate) leaves: Leaves,
    /// How long the export takes, at least.
    pub(crate) takes: Duration,
    pub(crate) rows: u64,
}

/// How it ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Visited {
    pub(crate) leaves: Leaves,
    /// Since when and until when the export was under way for certain.
    pub(crate) under_way: Option<(Instant, Instant)>,
}

/// Asks for an export that takes so long and has so many rows.
pub(crate) fn request(key: &str, takes: Duration, rows: u64) -> String {
    let millis = takes.as_millis();
    format!(
        "GET /v1/export?millis={millis}&units={rows} HTTP/1.1\r\nhost: test\r\nx-api-key: {key}\r\n\r\n"
    )
}

impl Visit {
    /// Sends the request, and goes away as it is to, unless it is refused.
    #[track_caller]
    pub(crate) fn make(self, raw: &mut Raw, key: &str, random: &mut Random) -> Visited {
        let text = request(key, self.takes, self.rows);
        if self.leaves == Leaves::Asking {
            let some = usize::try_from(random.within(0..text.len() as u64)).unwrap();
            raw.write(&text.as_bytes()[..some]);
            return self.ended(None);
        }
        let sent = now();
        raw.write(text);
        if self.leaves == Leaves::Waiting {
            // Half at once, when the gate has not decided; half somewhere in the work of the handler.
            let part = random.within(0..200).saturating_sub(100);
            thread::sleep(self.takes * u32::try_from(part).unwrap() / 100);
            return self.ended(None);
        }
        let answer = raw.answer_without_body().expect("a head");
        if answer.status != 200 {
            assert_refused(raw, answer);
            return Visited { leaves: Leaves::Refused, under_way: None };
        }
        let begun = now();
        assert!(answer.remaining("at-once").is_some_and(|left| left < SLOTS as u64), "{answer:?}");
        let chunks = if self.leaves == Leaves::Reading { random.within(0..4) } else { u64::MAX };
        let read = (0..chunks).map_while(|_| raw.chunk()).count();
        assert!(self.leaves == Leaves::Reading || read == 4, "{read} chunks");
        // It may have ended before we heard of it, but no sooner than it takes.
        self.ended(Some((begun, now().min(sent + self.takes))).filter(|(begun, end)| begun < end))
    }

    fn ended(self, under_way: Option<(Instant, Instant)>) -> Visited {
        Visited { leaves: self.leaves, under_way }
    }
}

#[track_caller]
fn assert_refused(raw: &mut Raw, head: Answer) {
    let length = head.field("content-length").expect("its length").parse().unwrap();
    let refused = Answer { body: raw.bytes(length), ..head };
    let problem = refused.refused(429, "too_many_concurrent");
    assert_eq!(problem["violated-policies"], json!(["at-once"]));
    assert_eq!((refused.retry_after(), refused.remaining("at-once")), (1, Some(0)));
}
