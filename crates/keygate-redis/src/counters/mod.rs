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
mod part;
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
    limit::{Level, Readings},
    port::{Answer, Charge, CounterStore, Owner, Settlement, StoreError},
};
use redis::Cmd;

use self::{
    format::{Few, Reply, Told, Verdict},
    part::Part,
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

/// By so much the clock of Redis may be misjudged: at the turn of a window that costs one more trip.
const CLOCK_TOLERANCE_MICROS: u64 = 1_000;

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
        let asked_at = SystemClock.now();
        let mut parts = Part::all(charge, &self.seen, &self.layout, self.clock.as_of(asked_at))?;
        let mut recall = false;
        for _ in 0..TRIES.saturating_add(charge.limits.len()) {
            let left = within.saturating_sub(begun.elapsed());
            let first_place = parts.first().map_or(0, Part::first_place);
            let call = self.call(&parts, charge.cost, recall);
            let reply: Vec<u8> = self.link.run(&self.charge, call, left).await?;
            let Reply { now, verdict } = Reply::read(&reply, first_place)?;
            self.clock.learn(asked_at, now);
            match verdict {
                Verdict::Decided { charged, told } => {
                    return conclude(charge, &parts, now, charged, told);
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

    fn call(&self, parts: &[Part<'_>], cost: u64, recall: bool) -> Cmd {
        let keys: Few<&str> = parts.iter().map(|part| part.known.key.as_str()).collect();
        let requests: Few<_> = parts.iter().map(|part| part.request(cost, recall)).collect();
        self.charge.by_hash(&keys, &requests)
    }

    async fn forget(&self, owner: Owner<'_>, within: Duration) -> Result<(), Fault> {
        let no_arguments: &[Vec<u8>] = &[];
        let key = self.layout.counters(owner);
        self.link.call(&self.reset, &[key], no_arguments, within).await
    }
}

fn conclude(
    charge: &Charge<'_>,
    parts: &[Part<'_>],
    now: Timestamp,
    charged: bool,
    mut told: Told<'_>,
) -> Result<Readings, Fault> {
    let mut levels: Few<(usize, Level)> = Few::new();
    for part in parts {
        part.conclude(&mut told, now, &mut levels)?;
    }
    levels.sort_by_key(|(place, _)| *place);
    let reading = |(_, level): &(usize, Level)| {
        level.reading(charge.cost, charged || level.fits(charge.cost))
    };
    Ok(levels.iter().map(reading).collect())
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

/// What the clock of Redis shows, as far as can be told from here.
#[derive(Debug, Default)]
struct RedisClock {
    /// Microseconds by which it is ahead of ours.
    ahead: AtomicI64,
}

impl RedisClock {
    /// When ours showed `own`.
    fn as_of(&self, own: Timestamp) -> Timestamp {
        Timestamp::from_micros(own.micros().saturating_add_signed(self.ahead.load(Relaxed)))
    }

    /// It showed `now` when it decided what was asked when ours showed `own`: the next call takes as long
    /// to get there.
    fn learn(&self, own: Timestamp, now: Timestamp) {
        let ahead = now.micros().wrapping_sub(own.micros()).cast_signed();
        // Written seldom: whoever reads it would wait for the processor that wrote it.
        if ahead.abs_diff(self.ahead.load(Relaxed)) > CLOCK_TOLERANCE_MICROS {
            self.ahead.store(ahead, Relaxed);
        }
    }
}
