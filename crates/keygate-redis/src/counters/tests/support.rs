use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use futures_util::future::join_all;
use keygate::{
    clock::{Clock, SystemClock, Timestamp},
    key::KeyId,
    limit::{Correction, Readings},
    period::{AnchorDay, Period},
    plan::{Limit, LimitBuilder, Plan, PlanBuilder},
    port::{Charge, CounterStore, Owner, Settlement, StoreError},
    record::ConsumerId,
};
use keygate_tests::{PATIENCE, RedisServer};
use tokio::{
    runtime::Handle,
    task::JoinHandle,
    time::{sleep, timeout},
};

use crate::{
    counters::{
        Counting, RedisCounters,
        scripts::{CHARGE, CORRECT, TAKE},
        settle::Settling,
    },
    guard::{Bounds, Guard},
    layout::Layout,
    script::Script,
    testing::link_to,
};

/// Long enough for a machine that does much else.
const DEADLINE: Duration = Duration::from_secs(5);

/// How long slots are leased.
pub(super) const LEASE: Duration = Duration::from_secs(30);

const TIME: &str = "local time = redis.call('TIME')\nlocal now = time[1] * 1000000 + time[2]";
const STEPPED: &str = "local now = tonumber(redis.call('GET', 'now'))";

/// A replica of its own connection and memory.
pub(super) fn replica(server: &RedisServer) -> RedisCounters {
    replica_at(&server.url())
}

/// The same, of any form of Redis.
pub(super) fn replica_at(url: &str) -> RedisCounters {
    leasing(url, LEASE)
}

/// The same, with another lease of slots.
pub(super) fn leasing(url: &str, lease: Duration) -> RedisCounters {
    with_bounds(url, lease, DEADLINE)
}

/// A replica that waits no longer than that for a decision.
pub(super) fn impatient(server: &RedisServer, deadline: Duration) -> RedisCounters {
    with_bounds(&server.url(), LEASE, deadline)
}

fn with_bounds(url: &str, lease: Duration, deadline: Duration) -> RedisCounters {
    let guard = Guard::new(Bounds { deadline, ..Bounds::default() });
    RedisCounters::new(link_to(url), Layout::new("keygate"), Arc::new(guard), None, lease)
}

/// Whether a counter of another plan still says something.
const KEPT: &str = "and kept(limit) * 1000 > now then";

/// A replica whose script takes the time from the key `now`, and is the same otherwise.
pub(super) fn stepped_replica(server: &RedisServer) -> RedisCounters {
    with_script(server, &[(TIME, STEPPED)])
}

/// A stepped replica that forgets nothing, as the arithmetic by itself does not.
pub(super) fn unforgetting_replica(server: &RedisServer) -> RedisCounters {
    with_script(server, &[(TIME, STEPPED), (KEPT, "then")])
}

fn with_script(server: &RedisServer, changes: &[(&str, &str)]) -> RedisCounters {
    let changed = |script: &str| {
        let mut text = script.to_owned();
        for (from, to) in changes {
            assert_eq!(text.matches(from).count(), 1, "{from}");
            text = text.replace(from, to);
        }
        Script::new(text.leak())
    };
    let replica = Arc::into_inner(replica(server).0).unwrap();
    let clock = Arc::clone(&replica.clock);
    let (layout, runtime) = (replica.layout.clone(), Handle::current());
    RedisCounters(Arc::new(Counting {
        charge: changed(CHARGE),
        take: changed(TAKE),
        settling: Settling::new(&replica.link, layout, clock, changed(CORRECT), &runtime),
        ..replica
    }))
}

/// Sets the clock of [`stepped_replica`].
pub(super) async fn set_clock(replica: &RedisCounters, now: Timestamp) {
    let mut set = redis::cmd("SET");
    set.arg("now").arg(now.micros());
    replica.0.link.query::<()>(&set, DEADLINE).await.unwrap();
    // Of the window that was right a moment ago. Exactly, however small the step.
    let ahead = now.micros().wrapping_sub(SystemClock.now().micros()).cast_signed();
    replica.0.clock.ahead.store(ahead, Relaxed);
}

pub(super) fn limits(builders: impl IntoIterator<Item = LimitBuilder>) -> Arc<[Limit]> {
    let plan = builders.into_iter().fold(Plan::builder("test"), PlanBuilder::limit);
    Arc::clone(plan.build().unwrap().limits())
}

/// How a charge ended.
pub(super) type Charged = Result<Readings, StoreError>;

/// A consumer with one key.
#[derive(Clone, Debug)]
pub(super) struct Customer {
    pub(super) consumer: ConsumerId,
    pub(super) key: KeyId,
}

impl Customer {
    pub(super) fn new(consumer: &str) -> Self {
        Self { consumer: consumer.parse().unwrap(), key: KeyId::random().unwrap() }
    }

    pub(super) async fn charge(
        &self,
        replica: &RedisCounters,
        limits: &Arc<[Limit]>,
        cost: u64,
    ) -> Charged {
        let charge = Charge { consumer: &self.consumer, key: self.key, limits, cost, slot: None };
        replica.charge(&charge).await
    }

    pub(super) async fn settle(
        &self,
        replica: &RedisCounters,
        limits: &[Limit],
        correction: Correction,
    ) {
        let (consumer, key, slot) = (&self.consumer, self.key, None);
        replica.settle(&Settlement { consumer, key, limits, correction, slot }).await;
    }

    pub(super) async fn remaining(
        &self,
        replica: &RedisCounters,
        limits: &Arc<[Limit]>,
    ) -> Vec<u64> {
        let readings = self.charge(replica, limits, 0).await.unwrap();
        readings.iter().map(|reading| reading.remaining).collect()
    }
}

/// Nothing outlives the month, the longest window, and the void that a reset leaves.
#[track_caller]
pub(super) fn assert_everything_expires(server: &RedisServer) {
    crate::testing::assert_everything_expires(server, Duration::from_secs(32 * 86_400 + 60));
}

/// How often the server carried out a command since its figures were reset.
pub(super) fn calls(server: &RedisServer, command: &str) -> u64 {
    let stats = server.cli(&["info", "commandstats"]);
    let line = stats.lines().find(|line| line.starts_with(&format!("cmdstat_{command}:")));
    let calls = line.and_then(|line| line.split_once("calls=")?.1.split_once(','));
    calls.map_or(0, |(calls, _)| calls.parse().unwrap())
}

pub(super) fn monthly(name: &str, amount: u64) -> LimitBuilder {
    Limit::quota(name, amount, Period::month(AnchorDay::FIRST))
}

pub(super) fn is_admitted(readings: &Readings) -> bool {
    readings.iter().all(|reading| reading.within)
}

/// A replica that is connected, to a server that knows the script.
pub(super) async fn warmed_up(replica: RedisCounters, server: &RedisServer) -> Arc<RedisCounters> {
    let (stranger, limits) = (Customer::new("stranger"), limits([monthly("monthly", 10)]));
    stranger.charge(&replica, &limits, 1).await.unwrap();
    let _ = server.cli(&["config", "resetstat"]);
    Arc::new(replica)
}

/// A charge in a task of its own.
pub(super) fn spawn(
    replica: &Arc<RedisCounters>,
    limits: &Arc<[Limit]>,
    who: &Customer,
    cost: u64,
) -> JoinHandle<Charged> {
    let (replica, limits, who) = (Arc::clone(replica), Arc::clone(limits), who.clone());
    tokio::spawn(async move { who.charge(&replica, &limits, cost).await })
}

pub(super) async fn all(tasks: Vec<JoinHandle<Charged>>) -> Vec<Readings> {
    join_all(tasks).await.into_iter().map(|task| task.unwrap().unwrap()).collect()
}

/// Nothing is under way.
#[track_caller]
pub(super) fn assert_all_is_answered(replica: &RedisCounters) {
    assert_eq!(replica.0.guard.health().in_flight(), 0);
}

/// Nothing waits at this customer's counters, nor is anything served there.
pub(super) async fn becomes_idle(replica: &RedisCounters, who: &Customer) {
    let Customer { consumer, key } = who;
    for owner in [Owner::Consumer(consumer), Owner::Key { consumer, key: *key }] {
        let known = replica.0.seen.of(owner, &replica.0.layout);
        let idle = async {
            while !known.queues.is_idle() {
                sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(PATIENCE, idle).await.expect("a queue stays open");
    }
}

/// What remains of the first limit after each of those that were admitted.
pub(super) fn remaining(answers: &[Readings]) -> Vec<u64> {
    answers.iter().filter(|it| is_admitted(it)).map(|readings| readings[0].remaining).collect()
}

/// Holds up what would write.
pub(super) fn pause(server: &RedisServer) {
    server.cli(&["client", "pause", "10000", "write"]);
}

pub(super) fn go_on(server: &RedisServer) {
    server.cli(&["client", "unpause"]);
}

/// Long enough for what was begun to be sent, or to wait.
pub(super) async fn settled() {
    sleep(Duration::from_millis(50)).await;
}
