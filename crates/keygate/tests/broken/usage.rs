use std::{
    collections::HashMap,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use chrono::{DateTime, Utc};
use keygate::{
    clock::Timestamp,
    key::KeyId,
    memory::{MemoryUsage, Retention},
    port::{Answer, StoreError, UsageStore},
    usage::{Granularity, Outcome, Rollup, UsageEvent, UsageQuery},
};

/// What a usage store does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UsageFault {
    CountsTwiceNowAndThen,
    DropsKeyless,
    MergesOutcomes,
    MergesKeys,
    Unordered,
    KeepsTooFewMinutes,
    HoursLoseLateEvents,
    IgnoresTheKeyFilter,
    IgnoresTheConsumerOfAKey,
    IgnoresTheKeyOfEverybody,
    IgnoresTheOperationFilter,
    IncludesTheEnd,
    LastUsedIsLastRecorded,
    ForgetsRefusals,
}

use UsageFault as F;

/// Each fault, and the law that must notice it.
pub(crate) const USAGE_FAULTS: &[(UsageFault, &str)] = &[
    (F::CountsTwiceNowAndThen, "every_event_counts_once"),
    (F::DropsKeyless, "every_event_counts_once"),
    (F::MergesOutcomes, "rollups_are_by_key_operation_outcome"),
    (F::MergesKeys, "rollups_are_by_key_operation_outcome"),
    (F::Unordered, "rollups_are_by_key_operation_outcome"),
    (F::KeepsTooFewMinutes, "granularities_agree"),
    (F::HoursLoseLateEvents, "granularities_agree"),
    (F::IgnoresTheKeyFilter, "filters_select"),
    (F::IgnoresTheConsumerOfAKey, "filters_select"),
    (F::IgnoresTheKeyOfEverybody, "filters_select"),
    (F::IgnoresTheOperationFilter, "filters_select"),
    (F::IncludesTheEnd, "filters_select"),
    (F::LastUsedIsLastRecorded, "last_used_is_latest"),
    (F::ForgetsRefusals, "last_used_is_latest"),
];

/// Usage in memory, with one thing done wrong.
#[derive(Debug)]
pub(crate) struct BrokenUsage {
    fault: UsageFault,
    inner: MemoryUsage,
    events: AtomicU64,
    last: Mutex<HashMap<KeyId, Timestamp>>,
}

impl BrokenUsage {
    pub(crate) fn new(fault: UsageFault) -> Self {
        let minutes = if fault == F::KeepsTooFewMinutes { 60 } else { 120 };
        let retention = Retention { minutes, ..Retention::default() };
        Self {
            fault,
            inner: MemoryUsage::new(retention),
            events: AtomicU64::new(0),
            last: Mutex::default(),
        }
    }
}

impl UsageStore for BrokenUsage {
    fn record(&self, event: &UsageEvent<'_>) {
        let mut event = *event;
        match self.fault {
            F::CountsTwiceNowAndThen if self.events.fetch_add(1, Ordering::Relaxed) % 50 == 49 => {
                self.inner.record(&event);
            }
            F::DropsKeyless if event.key.is_none() => return,
            F::ForgetsRefusals if matches!(event.outcome, Outcome::Denied(_)) => return,
            F::MergesOutcomes => event.outcome = Outcome::answered(Some(200)),
            F::MergesKeys => {
                let same = "key_0000000000000000".parse().unwrap();
                event.key = event.key.map(|(_, consumer)| (same, consumer));
            }
            _ => {}
        }
        if let Some((key, _)) = event.key {
            self.last.lock().unwrap().insert(key, event.at);
        }
        self.inner.record(&event);
    }

    fn query<'a>(&'a self, query: &'a UsageQuery) -> Answer<'a, Result<Vec<Rollup>, StoreError>> {
        Answer::later(async move {
            let mut asked = query.clone();
            match self.fault {
                F::IgnoresTheKeyFilter => asked.key = None,
                F::IgnoresTheConsumerOfAKey if asked.key.is_some() => asked.consumer = None,
                F::IgnoresTheKeyOfEverybody if asked.consumer.is_none() => asked.key = None,
                F::IgnoresTheOperationFilter => asked.operation = None,
                F::IncludesTheEnd => {
                    asked.until = asked
                        .until
                        .checked_add_signed(chrono::TimeDelta::seconds(1))
                        .unwrap_or(asked.until);
                }
                _ => {}
            }
            let mut rollups = self.inner.query(&asked).await?;
            match self.fault {
                F::Unordered => rollups.reverse(),
                F::HoursLoseLateEvents if query.by == Granularity::Hour => {
                    rollups.iter_mut().take(1).for_each(|rollup| rollup.requests -= 1);
                }
                _ => {}
            }
            Ok(rollups)
        })
    }

    fn last_used(&self, key: KeyId) -> Answer<'_, Result<Option<DateTime<Utc>>, StoreError>> {
        Answer::later(async move {
            match self.fault {
                F::LastUsedIsLastRecorded => {
                    let last = self.last.lock().unwrap();
                    Ok(last.get(&key).map(|at| at.to_datetime()))
                }
                _ => self.inner.last_used(key).await,
            }
        })
    }
}
