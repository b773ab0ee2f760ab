use keygate::{
    clock::Timestamp,
    limit::{Level, Readings, Rule, State},
    port::Charge,
};

use super::{
    format::{Few, Told},
    part::Part,
    slots::Found,
};
use crate::fault::Fault;

/// What the counters are told to be, after a charge or without it.
pub(super) struct Decided<'a> {
    /// Whether the charge was made.
    pub(super) charged: bool,
    now: Timestamp,
    /// In the order of the limits.
    counted: Few<Counted<'a>>,
}

/// What is counted of one limit.
#[derive(Debug)]
pub(super) struct Counted<'a> {
    /// Where the limit stands in the charge.
    pub(super) place: usize,
    pub(super) rule: &'a Rule,
    pub(super) state: State,
}

impl<'a> Decided<'a> {
    /// Of what was told of the owners at this instant, and found of the sets of slots. `fits` says that
    /// the owners had room for the charge.
    pub(super) fn new(
        charge: &Charge<'a>,
        parts: &[Part<'a>],
        now: Timestamp,
        fits: bool,
        mut told: Told<'_>,
        found: Option<Found>,
    ) -> Result<Self, Fault> {
        let mut counted = Few::new();
        for part in parts {
            part.conclude(&mut told, now, &mut counted)?;
        }
        let charged = fits && found.as_ref().is_none_or(|found| found.free);
        if let Some(found) = found {
            // Who names no slot takes none, but is told what is left beside it.
            let beside = u64::from(charged && charge.cost > 0 && !found.taken);
            let counting = charge.limits.iter().enumerate().filter(|(_, it)| it.is_concurrency());
            counted.extend(counting.zip(found.held).map(|((place, limit), held)| {
                let used = held.saturating_add(beside);
                Counted { place, rule: limit.rule(), state: State { used, ..State::default() } }
            }));
        }
        counted.sort_by_key(|counted| counted.place);
        Ok(Self { charged, now, counted })
    }

    /// What to tell about a charge of `cost`.
    pub(super) fn readings(&self, cost: u64) -> Readings {
        let reading = |level: Level| level.reading(cost, self.charged || level.fits(cost));
        self.levels_before(0).map(reading).collect()
    }

    /// The levels of quotas and rates as they were before the last `units` of the charge, at the same instant.
    pub(super) fn levels_before(&self, units: u64) -> impl Iterator<Item = Level> {
        self.counted.iter().map(move |Counted { rule, state, .. }| {
            rule.level(State { used: state.used.saturating_sub(units), ..*state }, self.now)
        })
    }
}
