//! Counters in Redis: one script decides and counts every limit of a charge, in one trip.
//!
//! The script runs where the owner's counters are, alone, by the clock of Redis: whatever the number of
//! replicas and whatever their clocks, each unit is given out once. All counters of an owner lie in one
//! value under one key, which always expires. A plan that mixes limits per consumer and per key has two
//! owners; their keys share a hash tag, and the script decides both.
//!
//! Calendars are not for Lua: the caller sends the window of each quota, by what it believes the clock
//! of Redis to show. Where that is wrong, Redis answers with the instant that counts, and the charge is
//! sent again.

mod format;
mod seen;
#[cfg(test)]
mod tests;

use std::{
    fmt,
    num::NonZeroU64,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering::Relaxed},
    },
    time::Duration,
};

use keygate::{
    clock::{Clock, SystemClock, Timestamp},
    limit::Readings,
    plan::{Limit, Partition},
    port::{Answer, Charge, CounterStore, Owner, Settlement, StoreError},
};

use self::{
    format::{Asked, Reply, Value, Verdict},
    seen::Seen,
};
use crate::{
    clock::now, fault::Fault, guard::Guard, layout::Layout, link::Link, script::Script,
    watch::Watcher,
};

/// How often a charge is sent again with other windows, or with what was seen; and once more for each
/// limit. Once is the rule.
const TRIES: usize = 4;

/// A reset is nobody's request.
const RESET_WITHIN: Duration = Duration::from_secs(2);

/// How many owners a replica remembers the counters of.
const REMEMBERED: usize = 65_536;

/// The counters of all replicas.
pub(crate) struct RedisCounters {
    link: Arc<Link>,
    layout: Layout,
    charge: Script,
    reset: Script,
    guard: Arc<Guard>,
    watcher: Option<Watcher>,
    clock: RedisClock,
    seen: Seen,
}

impl RedisCounters {
    /// Counters over this link. The watcher tells how many replicas there are.
    pub(crate) fn new(
        link: Arc<Link>,
        layout: Layout,
        guard: Arc<Guard>,
        watcher: Option<Watcher>,
    ) -> Self {
        Self {
            link,
            layout,
            charge: Script::new(include_str!("charge.lua")),
            reset: Script::new(include_str!("reset.lua")),
            guard,
            watcher,
            clock: RedisClock::default(),
            seen: Seen::new(REMEMBERED),
        }
    }

    async fn count(&self, charge: &Charge<'_>, within: Duration) -> Result<Readings, Fault> {
        let begun = now();
        let mut parts = self.parts(charge)?;
        let keys: Vec<String> = parts.iter().map(|part| part.owner.clone()).collect();
        let mut recall = false;
        for _ in 0..TRIES.saturating_add(charge.limits.len()) {
            let requests: Vec<_> =
                parts.iter().map(|part| part.request(charge.cost, recall)).collect();
            let left = within.saturating_sub(begun.elapsed());
            let reply: Vec<u8> = self.link.call(&self.charge, &keys, &requests, left).await?;
            let Reply { now, verdict } = Reply::read(&reply)?;
            self.clock.learn(now);
            match verdict {
                Verdict::Decided { charged, values } => {
                    return self.conclude(charge, parts, now, charged, values);
                }
                Verdict::Behind => recall = true,
                Verdict::Window { owner, limit, at } => {
                    if let Some(part) = parts.get_mut(owner) {
                        part.name(limit, at);
                    }
                    parts.iter_mut().try_for_each(|part| part.ask_again(now))?;
                }
            }
        }
        Err(Fault::Foreign("the clock of Redis does not stand still".into()))
    }

    /// The owners at hand, the consumer first.
    fn parts<'a>(&self, charge: &Charge<'a>) -> Result<Vec<Part<'a>>, Fault> {
        let now = self.clock.now();
        let mut parts = Vec::with_capacity(2);
        for partition in [Partition::Consumer, Partition::Key] {
            let counts = |limit: &&Limit| limit.partition() == partition;
            let limits = charge.limits.iter().filter(counts);
            let asked: Vec<_> =
                limits.map(|limit| Asked::new(limit, now)).collect::<Result<_, _>>()?;
            if !asked.is_empty() {
                let owner = match partition {
                    Partition::Key => self.layout.key_counters(charge.consumer, charge.key),
                    _ => self.layout.consumer_counters(charge.consumer),
                };
                let seen = self.seen.recall(&owner, now);
                parts.push(Part { owner, partition, asked, named: Vec::new(), seen });
            }
        }
        Ok(parts)
    }

    fn conclude(
        &self,
        charge: &Charge<'_>,
        parts: Vec<Part<'_>>,
        now: Timestamp,
        charged: bool,
        mut values: &[u8],
    ) -> Result<Readings, Fault> {
        let mut levels: [Vec<_>; 2] = Default::default();
        for part in parts {
            let (value, rest) = Value::read(values)?;
            values = rest;
            let states = value.states(&part.asked)?.into_iter().zip(&part.asked);
            let of_part = states.map(|(state, asked)| asked.limit.rule().level(state, now));
            let [consumer, key] = &mut levels;
            (if part.partition == Partition::Key { key } else { consumer }).extend(of_part);
            self.seen.remember(&part.owner, &value);
        }
        let [mut consumer, mut key] = levels.map(Vec::into_iter);
        let readings = charge.limits.iter().map(|limit| {
            let level = match limit.partition() {
                Partition::Key => key.next(),
                _ => consumer.next(),
            }?;
            Some(level.reading(charge.cost, charged || level.fits(charge.cost)))
        });
        readings
            .collect::<Option<_>>()
            .ok_or_else(|| Fault::Foreign("a reply without every limit".into()))
    }

    async fn forget(&self, owner: Owner<'_>, within: Duration) -> Result<(), Fault> {
        let key = match owner {
            Owner::Consumer(consumer) => self.layout.consumer_counters(consumer),
            Owner::Key { consumer, key } => self.layout.key_counters(consumer, key),
        };
        let no_arguments: &[Vec<u8>] = &[];
        self.link.call(&self.reset, &[key], no_arguments, within).await
    }
}

impl CounterStore for RedisCounters {
    fn charge<'a>(&'a self, charge: &'a Charge<'a>) -> Answer<'a, Result<Readings, StoreError>> {
        Answer::later(async move { Ok(self.guard.run(|within| self.count(charge, within)).await?) })
    }

    fn settle(&self, _settlement: &Settlement<'_>) -> Answer<'static, ()> {
        tracing::error!("nothing is settled in Redis yet");
        Answer::ready(())
    }

    fn reset<'a>(&'a self, owner: Owner<'a>) -> Answer<'a, Result<(), StoreError>> {
        Answer::later(async move { Ok(self.forget(owner, RESET_WITHIN).await?) })
    }

    fn replicas(&self) -> NonZeroU64 {
        self.watcher.as_ref().map_or(NonZeroU64::MIN, |watcher| watcher.replicas().into())
    }
}

impl fmt::Debug for RedisCounters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisCounters").field("guard", &self.guard).finish_non_exhaustive()
    }
}

/// The limits of a charge that one owner counts.
struct Part<'a> {
    owner: String,
    partition: Partition,
    asked: Vec<Asked<'a>>,
    named: Vec<(usize, Timestamp)>,
    seen: Option<Arc<[u8]>>,
}

impl Part<'_> {
    fn request(&self, cost: u64, recall: bool) -> Vec<u8> {
        let seen = self.seen.as_deref().and_then(|bytes| Value::read(bytes).ok());
        format::request(cost, &self.asked, seen.as_ref().map(|(value, _)| value), recall)
    }

    /// Redis named the instant whose window it wants for a limit. Where its clock stepped back over
    /// several turns it names one limit after the other.
    fn name(&mut self, limit: usize, at: Timestamp) {
        self.named.retain(|(named, _)| *named != limit);
        self.named.push((limit, at));
    }

    /// Asks for the windows of now, but for those of the limits that were named.
    fn ask_again(&mut self, now: Timestamp) -> Result<(), Fault> {
        for (index, asked) in self.asked.iter_mut().enumerate() {
            let named = self.named.iter().find(|(limit, _)| *limit == index);
            *asked = Asked::new(asked.limit, named.map_or(now, |(_, at)| *at))?;
        }
        Ok(())
    }
}

/// What the clock of Redis shows, as far as can be told from here.
#[derive(Debug, Default)]
struct RedisClock {
    /// Microseconds by which it is ahead of ours.
    ahead: AtomicI64,
}

impl RedisClock {
    fn now(&self) -> Timestamp {
        let own = SystemClock.now().micros();
        Timestamp::from_micros(own.saturating_add_signed(self.ahead.load(Relaxed)))
    }

    fn learn(&self, now: Timestamp) {
        let own = SystemClock.now().micros();
        self.ahead.store(now.micros().wrapping_sub(own).cast_signed(), Relaxed);
    }
}
