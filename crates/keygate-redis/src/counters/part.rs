use std::sync::Arc;

use keygate::{
    clock::Timestamp,
    key::KeyId,
    plan::{Limit, Partition},
    port::{Charge, Owner},
    record::ConsumerId,
};

use super::{
    decided::Counted,
    format::{self, Asked, Few, Told},
    seen::{Known, Seen, View},
};
use crate::{fault::Fault, layout::Layout};

/// Who counts the limits of a charge, slots aside.
#[derive(Clone, Debug)]
pub(super) struct Owners {
    consumer: Option<Arc<Known>>,
    key: Option<Arc<Known>>,
}

impl Owners {
    pub(super) fn of(charge: &Charge<'_>, seen: &Seen, layout: &Layout) -> Self {
        let known = |partition| {
            let counts = charge.limits.iter().any(|limit| is_counted_by(limit, partition));
            counts.then(|| seen.of(owner(charge.consumer, charge.key, partition), layout))
        };
        Self { consumer: known(Partition::Consumer), key: known(Partition::Key) }
    }

    /// Charges of the same limits that have this owner in common have all of them in common.
    pub(super) fn narrowest(&self) -> Option<&Arc<Known>> {
        self.key.as_ref().or(self.consumer.as_ref())
    }
}

fn is_counted_by(limit: &Limit, partition: Partition) -> bool {
    limit.partition() == partition && !limit.is_concurrency()
}

/// The limits of a charge that one owner counts.
pub(super) struct Part<'a> {
    pub(super) known: &'a Known,
    asked: Few<Asked<'a>>,
    /// The windows that Redis asked for, by limit.
    named: Vec<(usize, Timestamp)>,
    view: View,
}

impl<'a> Part<'a> {
    /// Those of a charge, the consumer's first.
    pub(super) fn all(
        charge: &Charge<'a>,
        owners: &'a Owners,
        now: Timestamp,
    ) -> Result<Vec<Self>, Fault> {
        let mut parts = Vec::with_capacity(1);
        let owners = [(Partition::Consumer, &owners.consumer), (Partition::Key, &owners.key)];
        for (partition, known) in owners {
            let Some(known) = known else { continue };
            let limits = charge.limits.iter().enumerate();
            let mut asked: Few<_> = limits
                .filter(|(_, limit)| is_counted_by(limit, partition))
                .map(|(place, limit)| Asked::new(limit, place, now))
                .collect::<Result<_, _>>()?;
            asked.sort_by_key(|asked| asked.rule.kind);
            let view = known.view(&asked, now);
            parts.push(Self { known, asked, named: Vec::new(), view });
        }
        Ok(parts)
    }

    pub(super) fn request(&self, cost: u64, recall: bool) -> Vec<u8> {
        let recalled: Few<_> = match recall {
            true => self.asked.iter().map(|asked| self.known.recall(asked)).collect(),
            false => Few::new(),
        };
        format::request(cost, &self.asked, &self.view, &recalled)
    }

    /// Redis named the instant whose window it wants for a limit. Where its clock stepped back over
    /// several turns it names one limit after the other.
    pub(super) fn name(&mut self, limit: usize, at: Timestamp) {
        self.named.retain(|(named, _)| *named != limit);
        self.named.push((limit, at));
    }

    /// Asks for the windows of now, but for those of the limits that were named.
    pub(super) fn ask_again(&mut self, now: Timestamp) -> Result<(), Fault> {
        for (index, asked) in self.asked.iter_mut().enumerate() {
            let named = self.named.iter().find(|(limit, _)| *limit == index);
            *asked = Asked::new(asked.limit, asked.place, named.map_or(now, |(_, at)| *at))?;
        }
        self.view = self.known.view(&self.asked, now);
        Ok(())
    }

    /// The place of the first limit among the counters that are told in short.
    pub(super) fn first_place(&self) -> u8 {
        self.view.places.first().copied().unwrap_or(0)
    }

    /// Takes what was told of this owner, and remembers it. Adds what is counted of each limit.
    pub(super) fn conclude(
        &self,
        told: &mut Told<'_>,
        now: Timestamp,
        counted: &mut Few<Counted<'a>>,
    ) -> Result<(), Fault> {
        let news = told.next(&self.view, now)?;
        for (index, asked) in self.asked.iter().enumerate() {
            let place = match &news.list {
                Some((_, list)) => list.iter().position(|limit| limit.is_of(asked)),
                None => self.view.places.get(index).copied().map(usize::from),
            };
            let counter = place.and_then(|place| news.counters.get(place)).copied();
            let counter =
                counter.ok_or_else(|| Fault::Foreign("a reply without a limit".into()))?;
            let (place, rule, state) = (asked.place, asked.limit.rule(), asked.state(counter));
            counted.push(Counted { place, rule, state });
        }
        self.known.remember(&self.view, &self.asked, news);
        Ok(())
    }
}

/// Who counts limits of this partition.
pub(super) fn owner(consumer: &ConsumerId, key: KeyId, partition: Partition) -> Owner<'_> {
    match partition {
        Partition::Key => Owner::Key { consumer, key },
        _ => Owner::Consumer(consumer),
    }
}
