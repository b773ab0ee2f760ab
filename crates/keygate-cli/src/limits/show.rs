//! `keygate limits show`.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use chrono::{DateTime, Utc};
use keygate::{
    clock::{Clock, SystemClock, Timestamp},
    key::KeyId,
    limit::Reading,
    plan::{Limit, Name, Partition},
    port::Charge,
    record::{ConsumerId, KeyStatus},
};
use serde::Serialize;

use crate::{
    args::{Global, Subject},
    error::Failure,
    output::Output,
    plans::LimitView,
    store::Store,
    time::seconds,
};

pub(super) async fn show(
    subject: &Subject,
    plan: Option<&Name>,
    global: &Global,
    output: &Output,
) -> Result<(), Failure> {
    let (rows, missing) = read(subject, plan, &Store::connect(global).await?).await?;
    for plan in missing {
        output.note(format_args!("plan {plan} is not there: whoever is on it is refused"));
    }
    if output.is_json() {
        return output.json(&rows);
    }
    if rows.is_empty() {
        output.note("no limits");
        return Ok(());
    }
    output.table(Row::COLUMNS, rows.iter().map(Row::cells))
}

/// Every limit once, by plan; and the plans that are not there.
async fn read(
    subject: &Subject,
    plan: Option<&Name>,
    store: &Store,
) -> Result<(Vec<Row>, Vec<Name>), Failure> {
    let (consumer, keys_of_plans) = keys_of_plans(subject, plan, store).await?;
    let plans = store.plans().await?;
    let mut rows = Vec::new();
    let mut missing = Vec::new();
    for (name, keys) in keys_of_plans {
        let Some(plan) = plans.find(name.as_str()) else {
            missing.push(name);
            continue;
        };
        let [shared, of_keys] = [Partition::Consumer, Partition::Key].map(|partition| {
            let limits = plan.limits().iter().filter(|limit| limit.partition() == partition);
            limits.cloned().collect::<Arc<[Limit]>>()
        });
        let reader = Reader { store, consumer: &consumer, plan: &name };
        if let Some(any) = keys.first() {
            rows.extend(reader.read(*any, &shared, None).await?);
        }
        for key in keys {
            rows.extend(reader.read(key, &of_keys, Some(key)).await?);
        }
    }
    Ok((rows, missing))
}

/// The plans that are asked about, and the lineages of the keys on each.
async fn keys_of_plans(
    subject: &Subject,
    only: Option<&Name>,
    store: &Store,
) -> Result<(ConsumerId, BTreeMap<Name, BTreeSet<KeyId>>), Failure> {
    let (consumer, records) = match subject {
        Subject::Key(id) => {
            let record = store.record(*id).await?;
            (record.consumer.clone(), vec![record])
        }
        Subject::Consumer(consumer) => {
            let mut records = store.records_of(consumer).await?;
            records.retain(|record| record.status != KeyStatus::Revoked);
            (consumer.clone(), records)
        }
        Subject::Visitor(visitor) => {
            let plan = only.ok_or_else(|| {
                let fix = "add --plan, with the name that the services give to `anonymous`";
                Failure::Usage(format!("no key names the plan of {visitor}; {fix}"))
            })?;
            let lineages = visitor.visitor_lineage().into_iter().collect();
            return Ok((visitor.clone(), BTreeMap::from([(plan.clone(), lineages)])));
        }
    };
    let mut keys: BTreeMap<Name, BTreeSet<KeyId>> = BTreeMap::new();
    for record in records.iter().filter(|record| only.is_none_or(|plan| *plan == record.plan)) {
        keys.entry(record.plan.clone()).or_default().insert(record.lineage);
    }
    Ok((consumer, keys))
}

/// Reads limits of one plan.
struct Reader<'a> {
    store: &'a Store,
    consumer: &'a ConsumerId,
    plan: &'a Name,
}

impl Reader<'_> {
    /// Asks by a charge of nothing, which changes nothing.
    async fn read(
        &self,
        key: KeyId,
        limits: &Arc<[Limit]>,
        owner: Option<KeyId>,
    ) -> Result<Vec<Row>, Failure> {
        if limits.is_empty() {
            return Ok(Vec::new());
        }
        let charge = Charge { consumer: self.consumer, key, limits, cost: 0, slot: None };
        let readings = self.store.counters().charge(&charge).await?;
        let now = SystemClock.now();
        let rows = limits.iter().zip(readings);
        Ok(rows.map(|(limit, reading)| Row::new(self, owner, limit, reading, now)).collect())
    }
}

/// A limit and what is left of it. The fields of the JSON form are a promise: see `docs/cli.md`.
#[derive(Serialize)]
struct Row {
    plan: Name,
    limit: Name,
    partition: Partition,
    consumer: ConsumerId,
    key: Option<KeyId>,
    rule: String,
    capacity: u64,
    used: u64,
    remaining: u64,
    /// When more becomes available; slots come back when requests end.
    reset: Option<DateTime<Utc>>,
    reset_seconds: Option<u64>,
}

impl Row {
    const COLUMNS: [&'static str; 7] =
        ["plan", "limit", "of", "allows", "used", "remaining", "more in"];

    fn new(
        of: &Reader<'_>,
        key: Option<KeyId>,
        limit: &Limit,
        reading: Reading,
        now: Timestamp,
    ) -> Self {
        let capacity = limit.rule().capacity();
        let wait = Some(reading.reset_micros).filter(|_| !limit.is_concurrency());
        let then = |wait| now.saturating_add(Duration::from_micros(wait)).to_datetime();
        Self {
            plan: of.plan.clone(),
            limit: limit.name().clone(),
            partition: limit.partition(),
            consumer: of.consumer.clone(),
            key,
            rule: LimitView::of(limit).rule(),
            capacity,
            used: capacity.saturating_sub(reading.remaining),
            remaining: reading.remaining,
            reset: wait.map(then),
            reset_seconds: wait.map(|micros| micros.div_ceil(1_000_000)),
        }
    }

    fn cells(&self) -> [String; 7] {
        [
            self.plan.to_string(),
            self.limit.to_string(),
            self.key.map_or_else(|| self.consumer.to_string(), |key| key.to_string()),
            self.rule.clone(),
            self.used.to_string(),
            self.remaining.to_string(),
            self.reset_seconds.filter(|_| self.used > 0).map(seconds).unwrap_or_default(),
        ]
    }
}
