use super::{Level, Readings};

/// Decides a charge of `cost` over several limits at once, all or nothing.
///
/// If the charge fits every level, each is charged; otherwise none is. The charge was made iff
/// every reading says `within`; the caller then stores [`Level::state`] of each. Readings tell what
/// remains after the decision, in the order of `levels`, and every limit that failed says so.
///
/// ```
/// use keygate::{clock::Timestamp, limit::{Rate, Rule, State, decide}};
///
/// let now = Timestamp::from_micros(0);
/// let wide = Rule::Rate(Rate::new(1, 1_000_000, 10)?);
/// let narrow = Rule::Rate(Rate::new(1, 1_000_000, 2)?);
/// let mut levels = [wide.level(State::default(), now), narrow.level(State::default(), now)];
///
/// let readings = decide(&mut levels, 3);
/// assert!(readings[0].within && !readings[1].within);
/// assert_eq!(readings[0].remaining, 10); // what the narrow one refused cost the wide one nothing
/// # Ok::<(), keygate::limit::RuleError>(())
/// ```
#[must_use]
pub fn decide(levels: &mut [Level], cost: u64) -> Readings {
    if levels.iter().all(|level| level.fits(cost)) {
        for level in levels.iter_mut() {
            level.charge(cost);
        }
        return levels.iter().map(|level| level.reading(cost, true)).collect();
    }
    levels.iter().map(|level| level.reading(cost, level.fits(cost))).collect()
}
