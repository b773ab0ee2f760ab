use std::time::{Duration, Instant, SystemTime};

/// How long anything may take before a test fails instead of hanging.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The time of a stopwatch.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the harness measures the program from outside")]
pub fn now() -> Instant {
    Instant::now()
}

/// A time zone whose midnight is hours away, so that no daily window ends during a test.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the harness measures the program from outside")]
pub fn calm_zone() -> &'static str {
    let today =
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() % 86_400;
    if (3_600..82_800).contains(&today) { "UTC" } else { "Asia/Tokyo" }
}
