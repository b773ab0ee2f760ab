//! Reading: which buckets of whom, and what is in them.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use keygate::{
    clock::Timestamp,
    key::KeyId,
    record::ConsumerId,
    usage::{Rollup, UsageQuery},
};
use redis::cmd;
use tokio::task::JoinSet;

use super::{
    remote::Remote,
    series::{Facts, Sums},
    span::{instant_of, kept},
};
use crate::fault::Fault;

/// Buckets that are asked for in one call.
const BUCKETS: usize = 200;

/// Consumers that are read at once.
const AT_ONCE: usize = 16;

impl Remote {
    pub(super) async fn query(self: Arc<Self>, query: UsageQuery) -> Result<Vec<Rollup>, Fault> {
        let starts: Arc<[u32]> = self.starts(&query).into();
        let Some(first) = starts.first() else { return Ok(Vec::new()) };
        let mut owners = self.owners(&query, instant_of(*first)).await?.into_iter();
        let query = Arc::new(query);
        let mut running = JoinSet::new();
        let mut rollups = Vec::new();
        loop {
            for owner in owners.by_ref().take(AT_ONCE.saturating_sub(running.len())) {
                let (remote, query) = (Arc::clone(&self), Arc::clone(&query));
                let starts = Arc::clone(&starts);
                running.spawn(async move { remote.read(owner.as_ref(), &starts, &query).await });
            }
            match running.join_next().await {
                Some(read) => rollups.extend(read.map_err(interrupted)??),
                None => break,
            }
        }
        rollups.sort_unstable();
        Ok(rollups)
    }

    /// When a key was last used, and by whom.
    pub(super) async fn last_used(
        &self,
        key: KeyId,
    ) -> Result<Option<(DateTime<Utc>, ConsumerId)>, Fault> {
        let place = self.layout.used(key);
        let held = self.link.query::<Option<String>>(cmd("GET").arg(&place), self.within).await;
        let Some(held) = held.map_err(|fault| named(fault, &place))? else { return Ok(None) };
        let words = held.split_once(' ');
        let read = words.and_then(|(at, consumer)| {
            let at = Timestamp::from_micros(at.parse().ok()?);
            Some((at.to_datetime(), ConsumerId::parse(consumer).ok()?))
        });
        read.map(Some).ok_or_else(|| foreign(&place))
    }

    /// The starts of the buckets that are asked for and may be there.
    fn starts(&self, query: &UsageQuery) -> Vec<u32> {
        let in_range = |start: &u32| {
            let start = instant_of(*start).to_datetime();
            query.from <= start && start < query.until
        };
        kept(&self.retention, query.by, self.clock.now()).filter(in_range).collect()
    }

    /// Who may have what is asked for, from this instant on.
    async fn owners(
        &self,
        query: &UsageQuery,
        from: Timestamp,
    ) -> Result<Vec<Option<ConsumerId>>, Fault> {
        match (&query.consumer, query.key) {
            (Some(consumer), _) => Ok(vec![Some(consumer.clone())]),
            (None, Some(key)) => {
                let used = self.last_used(key).await?;
                Ok(used.map(|(_, consumer)| Some(consumer)).into_iter().collect())
            }
            (None, None) => {
                let consumers = self.consumers(from).await?;
                Ok(consumers.into_iter().map(Some).chain([None]).collect())
            }
        }
    }

    async fn consumers(&self, from: Timestamp) -> Result<Vec<ConsumerId>, Fault> {
        let place = self.layout.usage_consumers();
        let mut command = cmd("ZRANGEBYSCORE");
        command.arg(&place).arg(from.seconds()).arg("+inf");
        let held = self.link.query::<Vec<String>>(&command, self.within).await;
        let held = held.map_err(|fault| named(fault, &place))?;
        let parse = |id: &String| ConsumerId::parse(id).map_err(|_| foreign(&place));
        held.iter().map(parse).collect()
    }

    async fn read(
        &self,
        owner: Option<&ConsumerId>,
        starts: &[u32],
        query: &UsageQuery,
    ) -> Result<Vec<Rollup>, Fault> {
        let place = |start: &u32| self.layout.usage_bucket(owner, query.by, instant_of(*start));
        let mut left: Vec<(u32, String)> =
            starts.iter().map(|start| (*start, place(start))).collect();
        let mut rollups = Vec::new();
        while !left.is_empty() {
            let keys: Vec<_> = left.iter().take(BUCKETS).map(|(_, key)| key.clone()).collect();
            let read = self.link.call(&self.scripts.read, &keys, &[""; 0], self.within).await;
            let read: Vec<redis::Value> = read?;
            // At least one, and perhaps not all.
            let answered = read.len().clamp(1, keys.len());
            for ((start, key), fields) in left.drain(..answered).zip(read) {
                let sums = bucket(start, fields).ok_or_else(|| foreign(&key))?.into_iter();
                let selected = sums.filter(|(facts, _)| facts.selected(query));
                rollups.extend(selected.map(|(facts, sums)| facts.rollup(owner, sums)));
            }
        }
        Ok(rollups)
    }
}

/// What is in the bucket that begins with this minute; none if some of it is not ours.
fn bucket(start: u32, fields: redis::Value) -> Option<Vec<(Facts, Sums)>> {
    let fields = redis::from_redis_value::<Vec<(String, String)>>(fields).ok()?;
    let read =
        |(field, value): &(String, String)| Facts::parse(start, field).zip(Sums::parse(value));
    fields.iter().map(read).collect()
}

impl Facts {
    fn selected(&self, query: &UsageQuery) -> bool {
        (query.key.is_none() || query.key == self.key)
            && (query.operation.is_none() || query.operation == self.operation)
    }

    fn rollup(self, owner: Option<&ConsumerId>, sums: Sums) -> Rollup {
        Rollup {
            start: instant_of(self.minute).to_datetime(),
            key: self.key,
            consumer: owner.cloned(),
            operation: self.operation,
            outcome: self.outcome,
            requests: sums.requests,
            cost: sums.cost,
            latency_micros: sums.latency_micros,
        }
    }
}

fn foreign(key: &str) -> Fault {
    Fault::Foreign(format!("`{key}` holds what is not of usage"))
}

/// Names the key that holds a value of another type.
fn named(fault: Fault, key: &str) -> Fault {
    match fault {
        Fault::Redis(error) if error.code() == Some("WRONGTYPE") => foreign(key),
        fault => fault,
    }
}

fn interrupted(error: tokio::task::JoinError) -> Fault {
    Fault::Connection(Arc::new(error))
}
