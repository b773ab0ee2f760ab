//! The only room that asks what time it is: of a stopwatch, never of a calendar.

use std::hash::{BuildHasher, RandomState};

use tokio::time::{Duration, Instant};

/// An instant that nobody lives to see.
const NEVER: Duration = Duration::from_secs(30 * 365 * 86_400);

/// Now, by the clock of the runtime.
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// The instant when so much time is over.
pub(crate) fn deadline_after(time: Duration) -> Instant {
    after(now(), time)
}

/// The instant when so much time is over that begins then.
pub(crate) fn after(begin: Instant, time: Duration) -> Instant {
    // Some platforms cannot name an instant that is very far away.
    begin.checked_add(time).unwrap_or_else(|| begin + NEVER)
}

/// A time around `pause`, from half of it to one and a half, so that replicas do not move in step.
pub(crate) fn jittered(pause: Duration) -> Duration {
    // A new state is keyed at random.
    let random = RandomState::new().hash_one(0_u8) % 1024;
    let random = u32::try_from(random).unwrap_or(512);
    pause.saturating_mul(512_u32.saturating_add(random)) / 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_stays_within_half_a_pause_and_varies() {
        let pause = Duration::from_millis(1000);
        let pauses: Vec<_> = (0..200).map(|_| jittered(pause)).collect();
        assert!(pauses.iter().all(|one| (500..=1500).contains(&one.as_millis())));
        assert!(pauses.iter().any(|one| *one < pause) && pauses.iter().any(|one| *one > pause));
    }
}
