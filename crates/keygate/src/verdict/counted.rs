use std::sync::Arc;

use super::Reason;
use crate::{
    limit::{Kind, Reading, Readings},
    plan::{Charged, Limit},
};

/// Limits and what each said.
#[derive(Clone, Debug, Default)]
pub struct Counted {
    charged: Option<Arc<Charged>>,
    readings: Readings,
}

impl Counted {
    pub(crate) fn new(charged: Arc<Charged>, readings: Readings) -> Self {
        Self { charged: (!charged.is_empty()).then_some(charged), readings }
    }

    /// Each limit with its reading, in the order of the plan. Empty when nothing was counted.
    pub fn iter(&self) -> impl Iterator<Item = (&Limit, &Reading)> {
        self.limits().iter().zip(&self.readings)
    }

    pub(crate) fn limits(&self) -> &[Limit] {
        self.charged.as_deref().map_or(&[], |charged| charged)
    }

    /// What was charged, if anything was.
    pub(crate) fn charged(&self) -> Option<&Charged> {
        self.charged.as_deref()
    }

    pub(crate) fn readings(&self) -> &[Reading] {
        &self.readings
    }

    /// Whether there is nothing to tell.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.readings.is_empty()
    }

    pub(crate) fn fits(&self) -> bool {
        self.readings.iter().all(|reading| reading.within)
    }

    pub(crate) fn failed(&self) -> impl Iterator<Item = (&Limit, &Reading)> {
        self.iter().filter(|(_, reading)| !reading.within)
    }

    /// Why a charge that did not fit is refused: what lasts longest says most.
    pub(crate) fn reason(&self) -> Reason {
        let failed = |kind| self.failed().any(|(limit, _)| limit.rule().kind() == kind);
        if failed(Kind::Quota) {
            Reason::QuotaExhausted
        } else if failed(Kind::Rate) {
            Reason::RateLimited
        } else {
            Reason::TooManyConcurrent
        }
    }
}
