//! What a counter store does wrong when it takes and gives back slots, and when it corrects.

use std::sync::{Arc, Mutex};

use keygate::{
    key::KeyId,
    limit::Correction,
    memory::MemoryCounters,
    plan::{Limit, Partition},
    port::{Charge, CounterStore, Settlement, SlotId},
    record::ConsumerId,
};

use super::counters::CounterFault as F;

/// The slots that are held, as the decorator saw them taken.
#[derive(Debug, Default)]
pub(super) struct Held(Mutex<Vec<Slot>>);

#[derive(Debug)]
struct Slot {
    consumer: ConsumerId,
    key: KeyId,
    limits: Vec<Limit>,
    slot: SlotId,
}

impl Held {
    /// A charge was admitted.
    pub(super) fn keep(&self, charge: &Charge<'_>) {
        let Some(slot) = charge.slot else { return };
        let (consumer, limits) = (charge.consumer.clone(), charge.limits.to_vec());
        self.0.lock().unwrap().push(Slot { consumer, key: charge.key, limits, slot });
    }

    /// Any slot of this consumer.
    fn any_of(&self, consumer: &ConsumerId) -> Option<SlotId> {
        let mut held = self.0.lock().unwrap();
        let place = held.iter().position(|slot| slot.consumer == *consumer)?;
        Some(held.remove(place).slot)
    }

    /// Gives back what a consumer holds.
    pub(super) fn release_all(&self, consumer: &ConsumerId, counters: &MemoryCounters) {
        for held in self.0.lock().unwrap().iter().filter(|held| held.consumer == *consumer) {
            settle(
                counters,
                &Settlement {
                    consumer,
                    key: held.key,
                    limits: &held.limits,
                    correction: Correction::None,
                    slot: Some(held.slot),
                },
            );
        }
    }
}

/// Takes a slot for each unit of a charge that was admitted with one.
pub(super) fn take_by_weight(counters: &MemoryCounters, charge: &Charge<'_>) {
    let limits = slots_of(charge.limits);
    for number in 1..charge.cost.min(20) {
        let slot = Some(SlotId::new(u64::MAX, number));
        count(counters, &Charge { limits: &limits, cost: 1, slot, ..*charge });
    }
}

/// Takes the slots of a charge that was refused.
pub(super) fn take_anyway(counters: &MemoryCounters, charge: &Charge<'_>) {
    for limit in slots_of(charge.limits).iter() {
        count(counters, &Charge { limits: &Arc::from([limit.clone()]), ..*charge });
    }
}

/// Settles, wrongly.
pub(super) fn settle_with(
    fault: F,
    counters: &MemoryCounters,
    held: &Held,
    settlement: &Settlement<'_>,
) {
    let Settlement { consumer, limits, slot, .. } = *settlement;
    let correction = falsified(fault, counters, settlement);
    let slot = match fault {
        F::NeverReleases => None,
        F::CountsSlotsWithoutNames => slot.and_then(|_| held.any_of(consumer)),
        _ => slot,
    };
    let counts = |limit: &&Limit| {
        fault != F::SettlesTheConsumerOnly || limit.partition() == Partition::Consumer
    };
    let limits: Vec<_> = limits.iter().filter(counts).cloned().collect();
    let settlement = Settlement { limits: &limits, correction, slot, ..*settlement };
    settle(counters, &settlement);
    if fault == F::RefundsTwice {
        settle(counters, &settlement);
    }
}

fn falsified(fault: F, counters: &MemoryCounters, settlement: &Settlement<'_>) -> Correction {
    match (fault, settlement.correction) {
        (F::ForgetsExtra, Correction::Extra(_))
        | (F::ForgetsRefunds, Correction::Refund { .. }) => Correction::None,
        (F::ExtraIsOneMore, Correction::Extra(units)) => Correction::Extra(units + 1),
        (F::CutsExtraAtTheCapacity, Correction::Extra(units)) => {
            Correction::Extra(units.min(room(counters, settlement)))
        }
        (F::RefundsWhateverTheTime, Correction::Refund { units, .. }) => {
            Correction::Refund { units, after_micros: 0 }
        }
        (_, correction) => correction,
    }
}

/// What would fit all limits now.
fn room(counters: &MemoryCounters, settlement: &Settlement<'_>) -> u64 {
    let Settlement { consumer, key, limits, .. } = *settlement;
    let limits: Arc<_> = limits.iter().filter(|limit| !limit.is_concurrency()).cloned().collect();
    let charge = Charge { consumer, key, limits: &limits, cost: 0, slot: None };
    let readings = pollster::block_on(counters.charge(&charge)).unwrap();
    readings.iter().map(|reading| reading.remaining).min().unwrap()
}

fn slots_of(limits: &[Limit]) -> Arc<[Limit]> {
    limits.iter().filter(|limit| limit.is_concurrency()).cloned().collect()
}

fn count(counters: &MemoryCounters, charge: &Charge<'_>) {
    let _ = pollster::block_on(counters.charge(charge)).unwrap();
}

fn settle(counters: &MemoryCounters, settlement: &Settlement<'_>) {
    pollster::block_on(counters.settle(settlement));
}
