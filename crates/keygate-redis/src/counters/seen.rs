use std::sync::{Arc, Mutex, PoisonError};

use hashbrown::DefaultHashBuilder as Hasher;
use keygate::{clock::Timestamp, key::KeyId, port::Owner, record::ConsumerId};
use quick_cache::{Equivalent, UnitWeighter, sync::Cache};

use super::{
    format::{self, Asked, Counter, Few, Kind, Listed, MOST_LISTED, News},
    queues::Queues,
};
use crate::layout::Layout;

/// What this replica last saw of each owner's counters, and under which Redis key.
///
/// Within the life of a value its usage only grows, so whatever was ever seen is a lower bound of what
/// is used. A Redis that lost writes, in a fail-over, by eviction or a flush, is told.
#[derive(Debug)]
pub(super) struct Seen(Cache<OwnerId, Arc<Known>, UnitWeighter, Hasher>);

impl Seen {
    /// Remembers so many owners at most.
    pub(super) fn new(most: usize) -> Self {
        let weight = u64::try_from(most).unwrap_or(u64::MAX);
        Self(Cache::with(most, weight, UnitWeighter, Hasher::default(), Default::default()))
    }

    /// What is known of this owner. Forgotten meanwhile, what is added to it is lost.
    pub(super) fn of(&self, owner: Owner<'_>, layout: &Layout) -> Arc<Known> {
        let id = OwnerRef::from(owner);
        if let Some(known) = self.0.get(&id) {
            return known;
        }
        let known = Arc::new(Known::new(layout.counters(owner)));
        self.0.insert(OwnerId { consumer: id.consumer.clone(), key: id.key }, Arc::clone(&known));
        known
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct OwnerId {
    consumer: ConsumerId,
    key: Option<KeyId>,
}

/// Hashed as the id is.
#[derive(Hash)]
struct OwnerRef<'a> {
    consumer: &'a ConsumerId,
    key: Option<KeyId>,
}

impl<'a> From<Owner<'a>> for OwnerRef<'a> {
    fn from(owner: Owner<'a>) -> Self {
        match owner {
            Owner::Consumer(consumer) => Self { consumer, key: None },
            Owner::Key { consumer, key } => Self { consumer, key: Some(key) },
        }
    }
}

impl Equivalent<OwnerId> for OwnerRef<'_> {
    fn equivalent(&self, id: &OwnerId) -> bool {
        *self.consumer == id.consumer && self.key == id.key
    }
}

/// How much of an owner's counters was seen: which life of its value, and how many charges in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Sight {
    pub(super) epoch: u64,
    pub(super) charges: u64,
}

/// What is known of an owner when a charge is sent.
#[derive(Clone, Debug, Default)]
pub(super) struct View {
    pub(super) sight: Sight,
    /// That of the list of its value, where this lists every limit of the charge by its rule of now. Without
    /// one the charge speaks of a list of its own limits alone.
    pub(super) stamp: Option<u64>,
    /// How many limits are in that list.
    pub(super) listed: usize,
    /// Where the limits of the charge are in it.
    pub(super) places: Few<u8>,
}

impl View {
    /// Of a charge of so many limits, when nothing is known of the owner.
    pub(super) fn of_none(limits: usize) -> Self {
        let places = (0..limits).filter_map(|place| u8::try_from(place).ok()).collect();
        Self { sight: Sight::default(), stamp: None, listed: limits, places }
    }
}

/// One owner's Redis key, what was seen under it, and who waits to charge there.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) key: String,
    pub(super) queues: Queues,
    memory: Mutex<Memory>,
}

/// A value as last seen.
#[derive(Debug, Default)]
struct Memory {
    sight: Sight,
    stamp: u64,
    list: Vec<Listed>,
    counters: Few<Counter>,
}

impl Known {
    fn new(key: String) -> Self {
        Self { key, queues: Queues::default(), memory: Mutex::default() }
    }

    /// What is known to whoever charges these limits.
    pub(super) fn view(&self, asked: &[Asked<'_>], now: Timestamp) -> View {
        let memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let says = memory.says_something(now.micros());
        let sight = if says { memory.sight } else { Sight::default() };
        match memory.places(asked).filter(|_| says) {
            Some(places) => {
                View { sight, stamp: Some(memory.stamp), listed: memory.list.len(), places }
            }
            None => View { sight, ..View::of_none(asked.len()) },
        }
    }

    /// What was seen of a limit, if it was counted in the same units or the same window.
    pub(super) fn recall(&self, asked: &Asked<'_>) -> Counter {
        let memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let mut seen = memory.list.iter().zip(&memory.counters);
        let seen = seen.find(|(limit, _)| limit.is_of(asked) && limit.unit == asked.rule.unit);
        seen.map_or_else(Counter::default, |(_, counter)| *counter)
    }

    /// Remembers what was told in answer to a charge, unless something later is remembered: replies may
    /// overtake each other. What was never charged is not stored either.
    pub(super) fn remember(&self, view: &View, asked: &[Asked<'_>], news: News) {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        if news.sight.charges == 0 || news.sight < memory.sight {
            return;
        }
        match (news.list, view.stamp) {
            (Some((stamp, list)), _) => (memory.stamp, memory.list) = (stamp, list),
            (None, Some(stamp)) if stamp == memory.stamp => {}
            // Of a list that has been replaced meanwhile.
            (None, Some(_)) => return,
            (None, None) => {
                memory.stamp = format::stamp_of(asked);
                memory.list = asked.iter().map(Listed::from).collect();
            }
        }
        memory.sight = news.sight;
        memory.counters = news.counters;
    }
}

impl Memory {
    /// Where these limits are listed, if all are, by their rules of now.
    fn places(&self, asked: &[Asked<'_>]) -> Option<Few<u8>> {
        if self.list.len() > MOST_LISTED {
            return None;
        }
        let place = |(index, asked): (usize, &Asked<'_>)| {
            // A plan lists its limits in one order, so that of a charge is most often at hand.
            let at_hand = self.list.get(index).is_some_and(|limit| limit.is(asked));
            let place = match at_hand {
                true => index,
                false => self.list.iter().position(|limit| limit.is(asked))?,
            };
            u8::try_from(place).ok()
        };
        asked.iter().enumerate().map(place).collect()
    }

    fn says_something(&self, now: u64) -> bool {
        self.list.iter().zip(&self.counters).any(|(limit, counter)| match limit.kind {
            Kind::Rate => {
                let drained = now.saturating_sub(counter.at).saturating_mul(limit.flow);
                counter.level > drained
            }
            Kind::Quota => limit.flow > now,
        })
    }
}

#[cfg(test)]
mod tests {
    use keygate::{
        period::Period,
        plan::{Limit, Plan},
    };

    use super::*;

    #[test]
    fn replies_that_overtake_each_other_leave_the_latest() {
        const ROUNDS: u64 = 500;
        let plan = Plan::builder("test").limit(Limit::quota("daily", 10, Period::day()));
        let plan = plan.build().unwrap();
        let now = Timestamp::from_micros(0);
        let asked = [Asked::new(&plan.limits()[0], 0, now).unwrap()];
        for _ in 0..20 {
            let known = Known::new("acme".to_owned());
            let view = known.view(&asked, now);
            std::thread::scope(|scope| {
                for thread in 0..4 {
                    let (known, asked, view) = (&known, &asked, &view);
                    scope.spawn(move || {
                        for round in 0..ROUNDS {
                            let charges = 1 + round * 4 + thread;
                            let counters = Few::from_slice(&[Counter { at: 1, level: charges }]);
                            let sight = Sight { epoch: 1, charges };
                            known.remember(view, asked, News { sight, counters, list: None });
                        }
                    });
                }
            });
            let last = ROUNDS * 4;
            let view = known.view(&asked, Timestamp::from_micros(2));
            assert_eq!(view.sight, Sight { epoch: 1, charges: last });
            assert_eq!(known.recall(&asked[0]), Counter { at: 1, level: last });
        }
    }
}
