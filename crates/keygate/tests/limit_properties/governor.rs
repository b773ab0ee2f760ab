//! The same decisions as the crate governor, which computes them in nanoseconds and by other means.

use std::{num::NonZeroU32, time::Duration};

use governor::{
    Quota, RateLimiter,
    clock::{Clock, FakeRelativeClock},
};
use keygate::limit::{Rate, Rule};

use super::Counter;

/// Any start will do for ours, as governor counts from its own.
const START: u64 = 1_767_225_600_000_000;

/// The generator of Knuth's MMIX.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005);
        self.0 = self.0.wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

#[derive(Debug, Default)]
struct Tally {
    admitted: u32,
    refused: u32,
    never: u32,
}

#[test]
fn governor_decides_the_same() {
    let mut tally = Tally::default();
    for (seed, interval) in
        [1, 3, 10, 250, 1_000, 20_000, 1_000_000, 60_000_000].into_iter().enumerate()
    {
        for burst in [1, 2, 3, 7, 20, 1_000] {
            compare(interval, burst, seed as u64, &mut tally);
        }
    }
    println!("{tally:?}");
    assert!(tally.admitted > 5_000 && tally.refused > 5_000 && tally.never > 500, "{tally:?}");
}

/// One unit per `interval` microseconds, so that both can say it without a remainder.
fn compare(interval: u64, burst: u32, seed: u64, tally: &mut Tally) {
    let clock = FakeRelativeClock::default();
    let quota = Quota::with_period(Duration::from_micros(interval)).unwrap();
    let quota = quota.allow_burst(NonZeroU32::new(burst).unwrap());
    let peer = RateLimiter::direct_with_clock(quota, clock.clone());
    let mut ours = Counter::new(Rule::Rate(Rate::new(1, interval, burst.into()).unwrap()));
    let (mut random, mut now) = (Random(seed), START);
    for step in 0..500 {
        let span = match random.below(4) {
            0 => 0,
            1 => random.below(interval * u64::from(burst) + 2),
            _ => random.below(2 * interval + 1),
        };
        now += span;
        clock.advance(Duration::from_micros(span));
        let cost = match random.below(8) {
            0 => u64::from(burst) + random.below(2),
            1..=3 => 1 + random.below(burst.into()),
            _ => 1,
        };
        let reading = ours.charge(now, cost);
        let place =
            format!("every {interval} µs, burst {burst}, seed {seed}, step {step}: {reading:?}");
        match peer.check_n(NonZeroU32::new(cost.try_into().unwrap()).unwrap()) {
            Ok(Ok(())) => {
                assert!(reading.within, "{place}");
                tally.admitted += 1;
            }
            Ok(Err(until)) => {
                assert!(!reading.within, "{place}");
                let wait = until.wait_time_from(clock.now());
                assert_eq!(reading.retry_micros.map(Duration::from_micros), Some(wait), "{place}");
                tally.refused += 1;
            }
            Err(_) => {
                assert_eq!((reading.within, reading.retry_micros), (false, None), "{place}");
                tally.never += 1;
            }
        }
    }
}
