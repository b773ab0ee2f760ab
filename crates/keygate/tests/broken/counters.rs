use std::{
    collections::{BTreeSet, HashMap},
    num::NonZeroU64,
    sync::{Arc, Mutex},
    time::Duration,
};

use keygate::{
    clock::{Clock, ManualClock},
    key::KeyId,
    limit::{Readings, Rule},
    memory::MemoryCounters,
    period::Period,
    plan::{Limit, LimitBuilder, Partition, Plan, RateSpec},
    port::{Answer, Charge, CounterStore, Owner, Settlement, StoreError},
    record::ConsumerId,
};

use super::settling::{Held, settle_with, take_anyway, take_by_weight};
use crate::common::{Counters, Together, manual_clock, others_first};

/// What a counter store does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CounterFault {
    None,
    AdmitsOneMoreThanTheBurst,
    NeverRefills,
    DoublesTheBurst,
    LosesEveryTenthCharge,
    ChecksThenCounts,
    ChargesLimitByLimit,
    CountsFewLimits,
    CountsIn32Bits,
    ChargesTheRefused,
    PutsOffTheRetry,
    MergesKeys,
    MergesConsumers,
    CutsConsumersAtAColon,
    IgnoresNames,
    IgnoresNamesOfSlots,
    ForgetsThatKeysShare,
    CountsRequestsNotCost,
    CountsNothingAsOne,
    RetriesTheImpossible,
    AdmitsOverCapacityWhenFresh,
    RetryIsAlwaysNow,
    RetryIsOneMicrosecondEarly,
    RetryIsOneMicrosecondLate,
    CarriesUsageIntoTheNextWindow,
    TurnsOverEarly,
    ResetIsOneMicrosecondEarly,
    ResetIsOneMicrosecondLate,
    ResetIsAlwaysNow,
    CountsByPlan,
    NeverForgets,
    RemainingIsOneTooMany,
    WindowIsOneSecondTooLong,
    ResetsNothing,
    ResetsTheConsumerWithAKey,
    ResetsSlots,
    SlotsByWeight,
    NeverReleases,
    CountsSlotsWithoutNames,
    TakesSlotsWhenRefused,
    ChargesTheNameless,
    SettlesTheConsumerOnly,
    ForgetsExtra,
    CutsExtraAtTheCapacity,
    ExtraIsOneMore,
    ForgetsRefunds,
    RefundsWhateverTheTime,
    RefundsTwice,
}

use CounterFault as F;

/// Each fault, and the law that must notice it.
pub(crate) const COUNTER_FAULTS: &[(CounterFault, &str)] = &[
    (F::AdmitsOneMoreThanTheBurst, "burst_then_pace"),
    (F::NeverRefills, "burst_then_pace"),
    (F::DoublesTheBurst, "burst_then_pace"),
    (F::LosesEveryTenthCharge, "quota_is_exact"),
    (F::AdmitsOneMoreThanTheBurst, "quota_is_exact"),
    (F::ChecksThenCounts, "quota_is_exact"),
    (F::CountsIn32Bits, "quota_is_exact"),
    (F::ChargesLimitByLimit, "all_or_nothing"),
    (F::CountsFewLimits, "all_or_nothing"),
    (F::ChargesTheRefused, "denied_moves_nothing"),
    (F::PutsOffTheRetry, "denied_moves_nothing"),
    (F::MergesKeys, "partitions_are_strangers"),
    (F::MergesConsumers, "partitions_are_strangers"),
    (F::CutsConsumersAtAColon, "partitions_are_strangers"),
    (F::IgnoresNames, "partitions_are_strangers"),
    (F::IgnoresNamesOfSlots, "partitions_are_strangers"),
    (F::ForgetsThatKeysShare, "partitions_are_strangers"),
    (F::CountsRequestsNotCost, "cost_is_weight"),
    (F::CountsNothingAsOne, "cost_is_weight"),
    (F::RetriesTheImpossible, "over_capacity_never_fits"),
    (F::AdmitsOverCapacityWhenFresh, "over_capacity_never_fits"),
    (F::RetryIsAlwaysNow, "retry_is_honest"),
    (F::RetryIsOneMicrosecondEarly, "retry_is_honest"),
    (F::RetryIsOneMicrosecondLate, "retry_is_honest"),
    (F::CarriesUsageIntoTheNextWindow, "period_turns_over"),
    (F::TurnsOverEarly, "period_turns_over"),
    (F::ResetIsOneMicrosecondEarly, "reset_never_lies"),
    (F::ResetIsOneMicrosecondLate, "reset_never_lies"),
    (F::ResetIsAlwaysNow, "reset_never_lies"),
    (F::CountsByPlan, "plan_change_keeps_usage"),
    (F::ChecksThenCounts, "concurrency_never_oversells"),
    (F::LosesEveryTenthCharge, "concurrency_never_oversells"),
    (F::NeverForgets, "state_always_expires"),
    (F::ResetsNothing, "reset_forgets_usage"),
    (F::ResetsTheConsumerWithAKey, "reset_forgets_usage"),
    (F::ResetsSlots, "reset_forgets_usage"),
    (F::SlotsByWeight, "slots_are_exact"),
    (F::NeverReleases, "slots_are_exact"),
    (F::CountsSlotsWithoutNames, "slots_are_exact"),
    (F::TakesSlotsWhenRefused, "slots_are_exact"),
    (F::ChargesTheNameless, "slots_are_exact"),
    (F::ChargesLimitByLimit, "slots_are_exact"),
    (F::ChecksThenCounts, "slots_are_exact"),
    (F::SettlesTheConsumerOnly, "slots_are_exact"),
    (F::ForgetsExtra, "extra_is_owed"),
    (F::CutsExtraAtTheCapacity, "extra_is_owed"),
    (F::ExtraIsOneMore, "extra_is_owed"),
    (F::SettlesTheConsumerOnly, "extra_is_owed"),
    (F::ForgetsRefunds, "refund_is_bounded"),
    (F::RefundsWhateverTheTime, "refund_is_bounded"),
    (F::RefundsTwice, "refund_is_bounded"),
    (F::SettlesTheConsumerOnly, "refund_is_bounded"),
    (F::RefundsWhateverTheTime, "agrees_with_limit"),
    (F::RemainingIsOneTooMany, "agrees_with_limit"),
    (F::WindowIsOneSecondTooLong, "agrees_with_limit"),
    (F::RetryIsOneMicrosecondLate, "agrees_with_limit"),
];

/// Counters in memory that do one thing wrong.
#[derive(Debug)]
struct BrokenCounters(Arc<Broken>);

#[derive(Debug)]
struct Broken {
    fault: CounterFault,
    inner: MemoryCounters,
    seen: Mutex<Seen>,
    held: Held,
}

#[derive(Debug, Default)]
struct Seen {
    charges: u64,
    owners: BTreeSet<String>,
    refusals: HashMap<String, u64>,
}

/// A harness over counters with this fault. Its jobs take turns, so that races come out alike.
pub(crate) fn broken_counters(fault: CounterFault) -> Counters {
    let clock = manual_clock();
    let counting: Arc<dyn Clock> = match fault {
        F::NeverRefills | F::CarriesUsageIntoTheNextWindow => {
            Arc::new(ManualClock::at(clock.now()))
        }
        F::TurnsOverEarly => Arc::new(Fast(Arc::clone(&clock))),
        _ => Arc::clone(&clock) as _,
    };
    let counted = Arc::new(Broken {
        fault,
        inner: MemoryCounters::new(counting),
        seen: Mutex::default(),
        held: Held::default(),
    });
    Counters {
        store: Arc::new(BrokenCounters(Arc::clone(&counted))),
        clock,
        together: Together::RoundRobin,
        owners: Box::new(move || Some(counted.owners())),
    }
}

/// A clock that is a microsecond fast.
#[derive(Debug)]
struct Fast(Arc<ManualClock>);

impl Clock for Fast {
    fn now(&self) -> keygate::clock::Timestamp {
        self.0.now().saturating_add(Duration::from_micros(1))
    }
}

impl CounterStore for BrokenCounters {
    fn charge(&self, charge: &Charge<'_>) -> Answer<'static, Result<Readings, StoreError>> {
        let Charge { consumer, key, limits, cost, slot } = *charge;
        let (it, consumer, limits) = (Arc::clone(&self.0), consumer.clone(), Arc::clone(limits));
        Answer::later(async move {
            it.charge(&Charge { consumer: &consumer, key, limits: &limits, cost, slot }).await
        })
    }

    fn settle(&self, settlement: &Settlement<'_>) -> Answer<'static, ()> {
        settle_with(self.0.fault, &self.0.inner, &self.0.held, settlement);
        Answer::ready(())
    }

    fn reset<'a>(&'a self, owner: Owner<'a>) -> Answer<'a, Result<(), StoreError>> {
        let it = &*self.0;
        match (it.fault, owner) {
            (F::ResetsNothing, _) => Answer::ready(Ok(())),
            (F::ResetsTheConsumerWithAKey, Owner::Key { consumer, .. }) => {
                it.inner.reset(Owner::Consumer(consumer))
            }
            (F::ResetsSlots, Owner::Consumer(consumer)) => {
                it.held.release_all(consumer, &it.inner);
                it.inner.reset(owner)
            }
            _ => it.inner.reset(owner),
        }
    }

    fn replicas(&self) -> NonZeroU64 {
        self.0.inner.replicas()
    }
}

impl Broken {
    fn owners(&self) -> usize {
        self.inner.forget_idle();
        match self.fault {
            F::NeverForgets => self.seen.lock().unwrap().owners.len(),
            _ => self.inner.subjects(),
        }
    }

    async fn charge(&self, charge: &Charge<'_>) -> Result<Readings, StoreError> {
        let charges = {
            let mut seen = self.seen.lock().unwrap();
            seen.charges += 1;
            if charge.cost > 0 {
                seen.owners.insert(charge.consumer.to_string());
            }
            seen.charges
        };
        let readings = self.count(charge, charges).await?;
        Ok(self.distort(charge, readings))
    }

    /// What is done wrong while counting.
    async fn count(&self, charge: &Charge<'_>, charges: u64) -> Result<Readings, StoreError> {
        let limits = charge.limits;
        match self.fault {
            F::ChargesLimitByLimit => self.limit_by_limit(charge).await,
            F::CountsFewLimits => self.count_few(charge).await,
            F::CountsIn32Bits => self.with_limits(charge, &in_32_bits(limits)).await,
            F::ChecksThenCounts => self.check_then_count(charge).await,
            F::LosesEveryTenthCharge if charges.is_multiple_of(10) => {
                let within = self.inner.charge(&Charge { cost: 0, ..*charge }).await?;
                Ok(within)
            }
            F::CountsNothingAsOne => {
                let cost = charge.cost.max(1);
                self.inner.charge(&Charge { cost, ..*charge }).await
            }
            F::CountsRequestsNotCost => {
                let cost = charge.cost.min(1);
                self.inner.charge(&Charge { cost, ..*charge }).await
            }
            F::MergesKeys => {
                let key = "key_0000000000000000".parse::<KeyId>().unwrap();
                self.inner.charge(&Charge { key, ..*charge }).await
            }
            F::MergesConsumers => self.for_consumer("everybody", charge).await,
            F::CutsConsumersAtAColon => {
                let (start, _) = charge.consumer.as_str().split_once(':').unwrap_or_default();
                let whole = charge.consumer.as_str();
                let cut = if start.is_empty() { whole } else { start };
                self.for_consumer(cut, charge).await
            }
            F::IgnoresNames => self.with_limits(charge, &renamed(limits, |_| "same".into())).await,
            F::IgnoresNamesOfSlots => {
                let name = |limit: &Limit| match limit.is_concurrency() {
                    true => "same".into(),
                    false => limit.name().to_string(),
                };
                self.with_limits(charge, &renamed(limits, name)).await
            }
            F::ForgetsThatKeysShare => {
                let consumer = format!("{}{}", charge.consumer, charge.key);
                self.for_consumer(&consumer, charge).await
            }
            F::CountsByPlan => {
                let by_plan =
                    |limit: &Limit| format!("{}{}", limit.name(), limit.rule().capacity());
                self.with_limits(charge, &renamed(limits, by_plan)).await
            }
            F::ChargesTheNameless if charge.slot.is_none() && charge.cost > 0 => {
                self.whatever_the_slots(charge).await
            }
            F::DoublesTheBurst => self.with_limits(charge, &doubled(limits)).await,
            _ => self.inner.charge(charge).await,
        }
    }

    /// What is told wrongly, or done wrongly after counting.
    fn distort(&self, charge: &Charge<'_>, mut readings: Readings) -> Readings {
        let refused = readings.iter().any(|reading| !reading.within);
        match self.fault {
            F::TakesSlotsWhenRefused if refused => take_anyway(&self.inner, charge),
            F::SlotsByWeight if !refused => take_by_weight(&self.inner, charge),
            _ if !refused => self.held.keep(charge),
            _ => {}
        }
        if refused && self.fault == F::ChargesTheRefused {
            let one = Charge { cost: 1, ..*charge };
            let _ = pollster::block_on(self.inner.charge(&one));
        }
        let refusals = refused.then(|| {
            let mut seen = self.seen.lock().unwrap();
            let refusals = seen.refusals.entry(charge.consumer.to_string()).or_default();
            *refusals += 1;
            *refusals
        });
        for (reading, limit) in readings.iter_mut().zip(charge.limits.iter()) {
            let waits = reading.retry_micros.filter(|retry| *retry > 0);
            match self.fault {
                F::AdmitsOneMoreThanTheBurst if refusals == Some(1) => reading.within = true,
                F::AdmitsOverCapacityWhenFresh if reading.remaining == limit.rule().capacity() => {
                    reading.within = true;
                }
                F::PutsOffTheRetry => {
                    reading.retry_micros = waits.zip(refusals).map(|(wait, n)| wait + n);
                }
                F::RetriesTheImpossible if reading.retry_micros.is_none() => {
                    reading.retry_micros = Some(1_000_000);
                }
                F::RetryIsAlwaysNow => reading.retry_micros = Some(0),
                F::RetryIsOneMicrosecondEarly => {
                    reading.retry_micros = waits.map(|wait| wait - 1);
                }
                F::RetryIsOneMicrosecondLate => reading.retry_micros = waits.map(|wait| wait + 1),
                F::ResetIsOneMicrosecondEarly => {
                    reading.reset_micros = reading.reset_micros.saturating_sub(1);
                }
                F::ResetIsOneMicrosecondLate if reading.reset_micros > 0 => {
                    reading.reset_micros += 1;
                }
                F::ResetIsAlwaysNow => reading.reset_micros = 0,
                F::RemainingIsOneTooMany => reading.remaining += 1,
                F::WindowIsOneSecondTooLong => reading.window_seconds += 1,
                _ => {}
            }
        }
        readings
    }

    /// Every limit is charged, whatever the others say.
    async fn limit_by_limit(&self, charge: &Charge<'_>) -> Result<Readings, StoreError> {
        let mut readings = Readings::new();
        for limit in charge.limits.iter() {
            let limits = &Arc::from([limit.clone()]);
            readings.extend(self.inner.charge(&Charge { limits, ..*charge }).await?);
        }
        Ok(readings)
    }

    /// As many limits are charged as most plans have, and the others only looked at.
    async fn count_few(&self, charge: &Charge<'_>) -> Result<Readings, StoreError> {
        let (few, others) = charge.limits.split_at(charge.limits.len().min(8));
        let mut readings = self.with_limits(charge, &few.into()).await?;
        let look = Charge { cost: 0, ..*charge };
        readings.extend(self.with_limits(&look, &others.into()).await?);
        Ok(readings)
    }

    /// Reads, lets others go first, and counts what it read.
    async fn check_then_count(&self, charge: &Charge<'_>) -> Result<Readings, StoreError> {
        let mut read = self.inner.charge(&Charge { cost: 0, ..*charge }).await?;
        let fits = read.iter().all(|reading| reading.remaining >= charge.cost);
        others_first().await;
        if !fits {
            return self.inner.charge(charge).await;
        }
        let _ = self.inner.charge(charge).await?;
        for reading in &mut read {
            reading.remaining -= charge.cost;
        }
        Ok(read)
    }

    /// Counts without slots, and says that there are some.
    async fn whatever_the_slots(&self, charge: &Charge<'_>) -> Result<Readings, StoreError> {
        let (slots, others): (Vec<_>, Vec<_>) =
            charge.limits.iter().cloned().partition(Limit::is_concurrency);
        let counted = self.with_limits(charge, &others.into()).await?;
        let charge_of_slots = Charge { limits: &slots.into(), cost: 0, ..*charge };
        let free = self.inner.charge(&charge_of_slots).await?;
        let (mut counted, mut free) = (counted.into_iter(), free.into_iter());
        let reading = |limit: &Limit| {
            if limit.is_concurrency() { free.next() } else { counted.next() }
        };
        Ok(charge.limits.iter().filter_map(reading).collect())
    }

    async fn for_consumer(
        &self,
        consumer: &str,
        charge: &Charge<'_>,
    ) -> Result<Readings, StoreError> {
        let consumer = &ConsumerId::parse(consumer).unwrap();
        self.inner.charge(&Charge { consumer, ..*charge }).await
    }

    async fn with_limits(
        &self,
        charge: &Charge<'_>,
        limits: &Arc<[Limit]>,
    ) -> Result<Readings, StoreError> {
        self.inner.charge(&Charge { limits, ..*charge }).await
    }
}

/// The same limits under other names. Two of one name are told apart by their place.
fn renamed(limits: &[Limit], name: impl Fn(&Limit) -> String) -> Arc<[Limit]> {
    let rename = |(place, limit): (usize, &Limit)| {
        let suffix = if place == 0 { String::new() } else { place.to_string() };
        rebuilt(limit, format!("{}{suffix}", name(limit)), limit.rule().capacity())
    };
    limits.iter().enumerate().map(rename).collect()
}

/// The same limits, as far as 32 bits reach.
fn in_32_bits(limits: &[Limit]) -> Arc<[Limit]> {
    let cut = |limit: &Limit| {
        let capacity = limit.rule().capacity().min(u32::MAX.into());
        rebuilt(limit, limit.name().to_string(), capacity)
    };
    limits.iter().map(cut).collect()
}

/// The same limits with rates of twice the burst.
fn doubled(limits: &[Limit]) -> Arc<[Limit]> {
    let double = |limit: &Limit| {
        let times = if matches!(limit.rule(), Rule::Rate(_)) { 2 } else { 1 };
        rebuilt(limit, limit.name().to_string(), limit.rule().capacity() * times)
    };
    limits.iter().map(double).collect()
}

fn rebuilt(limit: &Limit, name: String, capacity: u64) -> Limit {
    let builder = match limit.rule() {
        Rule::Rate(rate) => {
            let (num, den) = rate.pace();
            Limit::rate(name, RateSpec::per_micros(num, den).burst(capacity))
        }
        Rule::Quota(quota) => Limit::quota(name, capacity, quota.period().clone()),
        Rule::Concurrency(_) => Limit::concurrency(name, capacity),
        other => panic!("{other:?} is not known here"),
    };
    build(builder.partition(limit.partition()))
}

fn build(builder: LimitBuilder) -> Limit {
    let plan = Plan::builder("broken").limit(builder).build().unwrap();
    plan.limits().first().unwrap().clone()
}

#[test]
fn limits_are_rebuilt_as_they_were() {
    let limit = build(Limit::quota("q", 3, Period::day()).per_key());
    let again = rebuilt(&limit, "q".to_owned(), 3);
    assert_eq!(again.rule(), limit.rule());
    assert_eq!(again.partition(), Partition::Key);
}
