use std::sync::atomic::{AtomicU64, Ordering};

use crate::fault::FaultKind;

/// How the way to Redis is doing. The numbers count from the start of the program.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Health {
    pub(super) circuit: Circuit,
    pub(super) in_flight: usize,
    pub(super) calls: u64,
    pub(super) faults: Faults,
}

/// Whether Redis is being called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Circuit {
    /// It is.
    Closed,
    /// It is not, for it failed too often.
    Open,
    /// One call tries whether it answers again.
    HalfOpen,
}

impl Health {
    /// Whether Redis is being called.
    #[must_use]
    pub fn circuit(&self) -> Circuit {
        self.circuit
    }

    /// Calls under way.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Calls that were begun; those refused beforehand are faults only.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.calls
    }

    /// Faults of one kind.
    #[must_use]
    pub fn faults(&self, kind: FaultKind) -> u64 {
        self.faults.of(kind)
    }
}

/// Faults by kind.
#[derive(Debug, Default)]
pub(super) struct Faults([AtomicU64; FaultKind::ALL.len()]);

impl Faults {
    pub(super) fn count(&self, kind: FaultKind) {
        if let Some(count) = self.slot(kind) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn of(&self, kind: FaultKind) -> u64 {
        self.slot(kind).map_or(0, |count| count.load(Ordering::Relaxed))
    }

    fn slot(&self, kind: FaultKind) -> Option<&AtomicU64> {
        let place = FaultKind::ALL.iter().position(|&other| other == kind)?;
        self.0.get(place)
    }
}

impl Clone for Faults {
    fn clone(&self) -> Self {
        Self(self.0.each_ref().map(|count| AtomicU64::new(count.load(Ordering::Relaxed))))
    }
}
