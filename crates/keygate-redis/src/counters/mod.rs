//! Counters in Redis: one script decides and counts every limit of a charge, in one trip.
//!
//! The script runs where the owner's counters are, alone, by the clock of Redis: whatever the number of
//! replicas and whatever their clocks, each unit is given out once. All counters of an owner lie in one
//! value under one key, which always expires. A plan that mixes limits per consumer and per key has two
//! owners; their keys share a hash tag, and the script decides both.
//!
//! A plan may also limit how many requests are under way at once. Their slots lie apart, in sets, and are
//! taken by the same script call (see [`slots`]). What a request turns out to weigh, and that it is over, is
//! told later, by settlements that nobody waits for (see [`settle`]).
//!
//! Charges that meet at one owner are made together (see [`combining`]).
//!
//! Calendars are not for Lua: the caller sends the window of each quota, by what it believes the clock
//! of Redis to show. Where that is wrong, Redis answers with the instant that counts, and the charge is
//! sent again.

mod batch;
mod clock;
mod combining;
mod decided;
mod format;
mod held_slots;
mod part;
mod queues;
mod scripts;
mod seen;
mod settle;
mod slots;
#[cfg(test)]
mod tests;

use std::{fmt, num::NonZeroU64, sync::Arc, time::Duration};

use keygate::{
    clock::{Clock, SystemClock},
    limit::Readings,
    port::{Answer, Charge, CounterStore, Owner, Settlement, StoreError},
};
use redis::Cmd;
use tokio::{runtime::Handle, time::Instant};

use self::{
    clock::RedisClock,
    combining::Turn,
    decided::Decided,
    format::{Few, Reply, Told, Verdict},
    held_slots::HeldSlots,
    part::{Owners, Part},
    scripts::{CHARGE, CORRECT, RESET, TAKE},
    seen::Seen,
    settle::Settling,
    slots::{Found, Wanted},
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

/// A slot that is leased for no time is not held.
const SHORTEST_LEASE: Duration = Duration::from_millis(100);

/// How many owners a replica remembers the counters of.
const REMEMBERED: usize = 65_536;

/// The counters of all replicas. A charge that is under way holds on to them.
pub(crate) struct RedisCounters(Arc<Counting>);

struct Counting {
    link: Arc<Link>,
    layout: Layout,
    charge: Script,
    take: Script,
    reset: Script,
    lease: Duration,
    held: HeldSlots,
    settling: Settling,
    guard: Arc<Guard>,
    watcher: Option<Watcher>,
    clock: Arc<RedisClock>,
    seen: Seen,
    /// That of the tasks that serve who waits.
    runtime: Handle,
}

impl RedisCounters {
    /// Counters over this link, whose slots are leased for so long. The watcher tells how many replicas
    /// there are. Must be called within a tokio runtime.
    pub(crate) fn new(
        link: Arc<Link>,
        layout: Layout,
        guard: Arc<Guard>,
        watcher: Option<Watcher>,
        lease: Duration,
    ) -> Self {
        let (clock, runtime) = (Arc::<RedisClock>::default(), Handle::current());
        let lease = lease.max(SHORTEST_LEASE);
        Self(Arc::new(Counting {
            held: HeldSlots::new(&link, lease, &runtime),
            settling: Settling::new(
                &link,
                layout.clone(),
                Arc::clone(&clock),
                Script::new(CORRECT),
                &runtime,
            ),
            link,
            layout,
            charge: Script::new(CHARGE),
            take: Script::new(TAKE),
            reset: Script::new(RESET),
            lease,
            guard,
            watcher,
            clock,
            seen: Seen::new(REMEMBERED),
            runtime,
        }))
    }

    /// What settles requests.
    pub(crate) fn settling(&self) -> &Settling {
        &self.0.settling
    }
}

impl Counting {
    async fn count(
        self: &Arc<Self>,
        charge: &Charge<'_>,
        deadline: Instant,
    ) -> Result<Readings, Fault> {
        let owners = Owners::of(charge, &self.seen, &self.layout);
        let lead = match Turn::of(self, &owners, charge, deadline) {
            Turn::First(lead) => Some(lead),
            Turn::Together(wait) => match wait.answer().await {
                Ok(Ok(answer)) => return answer,
                // Whoever was to send it has ended, and did not.
                Ok(Err(_)) if now() < deadline => None,
                _ => return Err(Fault::Timeout),
            },
            Turn::Alone => None,
        };
        let decided = self.decide(charge, &owners, deadline).await;
        // Others need not wait for what this one is told.
        drop(lead);
        Ok(decided?.readings(charge.cost))
    }

    /// Sends a charge until the counters are told.
    async fn decide<'c>(
        &self,
        charge: &Charge<'c>,
        owners: &'c Owners,
        deadline: Instant,
    ) -> Result<Decided<'c>, Fault> {
        let asked_at = SystemClock.now();
        let mut parts = Part::all(charge, owners, self.clock.as_of(asked_at))?;
        let wanted = Wanted::of(charge, &self.layout, self.lease);
        let mut recall = false;
        for _ in 0..TRIES.saturating_add(charge.limits.len()) {
            let first_place = parts.first().map_or(0, Part::first_place);
            let (script, call) = self.call(&parts, wanted.as_ref(), charge.cost, recall);
            let reply: Vec<u8> = self.link.run(script, &call, deadline).await?;
            let (found, rest) = Found::before(&reply, wanted.as_ref())?;
            if let (Some(wanted), Some(Found { taken: true, .. })) = (&wanted, &found) {
                self.held.add(wanted, charge.slot);
            }
            if parts.is_empty() {
                let (now, told) = (self.clock.as_of(asked_at), Told::of_nobody());
                return Decided::new(charge, &parts, now, true, told, found);
            }
            let Reply { now, verdict } = Reply::read(rest, first_place)?;
            self.clock.learn(asked_at, now);
            match verdict {
                Verdict::Decided { charged, told } => {
                    return Decided::new(charge, &parts, now, charged, told, found);
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

    fn call(
        &self,
        parts: &[Part<'_>],
        wanted: Option<&Wanted>,
        cost: u64,
        recall: bool,
    ) -> (&Script, Cmd) {
        let mut keys: Few<&str> = parts.iter().map(|part| part.known.key.as_str()).collect();
        let mut requests: Few<_> = parts.iter().map(|part| part.request(cost, recall)).collect();
        let script = match wanted {
            Some(wanted) => {
                keys.extend(wanted.sets.iter().map(String::as_str));
                requests.push(wanted.packed.clone());
                &self.take
            }
            None => &self.charge,
        };
        (script, script.by_hash(&keys, &requests))
    }

    async fn forget(&self, owner: Owner<'_>, within: Duration) -> Result<(), Fault> {
        let no_arguments: &[Vec<u8>] = &[];
        let key = self.layout.counters(owner);
        self.link.call(&self.reset, &[key], no_arguments, within).await
    }
}

impl CounterStore for RedisCounters {
    fn charge(&self, charge: &Charge<'_>) -> Answer<'static, Result<Readings, StoreError>> {
        let Charge { consumer, key, limits, cost, slot } = *charge;
        let (it, consumer, limits) = (Arc::clone(&self.0), consumer.clone(), Arc::clone(limits));
        Answer::later(async move {
            let charge = Charge { consumer: &consumer, key, limits: &limits, cost, slot };
            Ok(it.guard.run(|deadline| it.count(&charge, deadline)).await?)
        })
    }

    fn settle(&self, settlement: &Settlement<'_>) -> Answer<'static, ()> {
        if let Some(slot) = settlement.slot {
            self.0.held.remove(slot);
        }
        self.0.settling.send(settlement)
    }

    fn reset<'a>(&'a self, owner: Owner<'a>) -> Answer<'a, Result<(), StoreError>> {
        Answer::later(async move { Ok(self.0.forget(owner, RESET_WITHIN).await?) })
    }

    fn replicas(&self) -> NonZeroU64 {
        self.0.watcher.as_ref().map_or(NonZeroU64::MIN, |watcher| watcher.replicas().into())
    }
}

impl fmt::Debug for RedisCounters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisCounters").field("guard", &self.0.guard).finish_non_exhaustive()
    }
}
