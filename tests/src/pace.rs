use std::time::{Duration, Instant};

use crate::{client::Client, time::now};

/// One call of a load on a rate, by a stopwatch.
#[derive(Clone, Copy, Debug)]
pub struct Timed {
    sent: Instant,
    answered: Instant,
    admitted: bool,
}

impl Timed {
    /// Calls with this key, one after the other until this instant.
    #[must_use]
    #[track_caller]
    pub fn until(end: Instant, client: &mut Client, key: &str) -> Vec<Self> {
        let next = || Some(now()).filter(|sent| *sent < end);
        let timed = |sent| {
            let status = client.get("/v1/echo", key).status;
            assert!([200, 429].contains(&status), "{status}");
            Self { sent, answered: now(), admitted: status == 200 }
        };
        std::iter::from_fn(next).map(timed).collect()
    }
}

/// Asserts that as many of these calls were admitted as a rate of so much a second with this burst
/// may admit, and says how many.
///
/// A burst of 100 refilled by 50 a second is a bucket of 100 units that drains all the time. The
/// most: the burst, and what drained from the first call sent to the last one answered. The least: a
/// call is refused when more than 99 units are in the bucket. So before the first refusal at least
/// 100 calls were admitted, and from then until the last refusal as many as drained, but for one.
/// Calls are decided between being sent and answered, which gives the ends of both spans.
#[track_caller]
pub fn assert_paced(calls: &[Timed], rate: u128, burst: u128) {
    let admitted = calls.iter().filter(|it| it.admitted).count() as u128;
    let drained = |span: Duration| rate * span.as_micros() / 1_000_000;

    let first_sent = calls.iter().map(|it| it.sent).min().expect("calls");
    let last_answered = calls.iter().map(|it| it.answered).max().expect("calls");
    let took = last_answered.duration_since(first_sent);
    let most = burst + drained(took) + 1;
    assert!(admitted <= most, "{admitted} of {} calls, at most {most}", calls.len());

    let refused = || calls.iter().filter(|it| !it.admitted);
    let first_refused = refused().map(|it| it.answered).min().expect("more calls than the burst");
    let last_refused = refused().map(|it| it.sent).max().expect("one that was refused");
    let refusing = last_refused.saturating_duration_since(first_refused);
    let least = (burst + drained(refusing)).saturating_sub(1);
    assert!(admitted >= least, "{admitted} of {} calls, at least {least}", calls.len());
    println!("{admitted} of {} calls in {took:.2?}, between {least} and {most}", calls.len());
}
