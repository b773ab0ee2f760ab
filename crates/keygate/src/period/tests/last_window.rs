//! A period that remembers its last window answers like one that does not.

use std::{
    collections::hash_map::DefaultHasher,
    hash::{Hash, Hasher},
    thread,
};

use super::*;

/// Pseudo-random instants around `from`: mostly small steps, either way, and some large ones.
fn walk(from: Timestamp, seed: u64) -> impl Iterator<Item = Timestamp> {
    let mut state = seed | 1;
    let mut at = from.micros();
    std::iter::repeat_with(move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let step = (state >> 32) << (state >> 60);
        at = if state & (1 << 40) == 0 { at.saturating_add(step) } else { at.saturating_sub(step) };
        micros(at)
    })
}

proptest! {
    #[test]
    fn a_walk_through_time_finds_the_computed_windows((period, at) in any_case(), seed: u64) {
        for at in walk(at, seed).take(200) {
            prop_assert_eq!(period.window(at), computed(&period, at));
        }
    }
}

#[test]
fn several_threads_find_the_computed_windows() {
    let from = instant("2011-12-30T00:00:00Z");
    for unit in [Unit::Hour, Unit::Day, Unit::Month { anchor: AnchorDay::FIRST }] {
        let period = Period::new(unit, Tz::Pacific__Apia);
        thread::scope(|threads| {
            for seed in [1, 3, 7, 11] {
                let period = &period;
                threads.spawn(move || {
                    for at in walk(from, seed).take(20_000) {
                        assert_eq!(period.window(at), computed(period, at), "{period}");
                    }
                });
            }
        });
    }
}

#[test]
fn a_window_once_computed_is_remembered() {
    let period = Period::day();
    let window = period.window(instant("2024-02-29T12:00:00Z"));
    assert_eq!(period.last.find(window.start), Some(window));
    assert_eq!(period.last.find(window.end), None);
}

#[test]
fn a_period_moved_to_another_zone_forgets_its_window() {
    let at = instant("2024-07-01T23:00:00Z");
    let utc = Period::day();
    let before = utc.window(at);
    let paris = utc.in_zone(Tz::Europe__Paris);
    assert_ne!(paris.window(at), before);
    assert_eq!(paris.window(at), computed(&paris, at));
}

#[test]
fn a_remembered_window_does_not_tell_periods_apart() {
    let hash = |period: &Period| {
        let mut hasher = DefaultHasher::new();
        period.hash(&mut hasher);
        hasher.finish()
    };
    let (used, fresh) = (Period::day(), Period::day());
    let _ = used.window(instant("2024-02-29T12:00:00Z"));
    assert_eq!(used, fresh);
    assert_eq!(used.clone(), fresh);
    assert_eq!(hash(&used), hash(&fresh));
    assert_eq!(format!("{used:?}"), format!("{fresh:?}"));
    assert_ne!(used, Period::hour());
    assert_ne!(used, Period::day().in_zone(Tz::Europe__Paris));
}
