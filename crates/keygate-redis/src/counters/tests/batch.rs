//! Batches against the arithmetic of the core, which decides one charge after the other. No Redis is asked.

use std::{sync::Arc, time::Duration};

use keygate::{
    clock::Timestamp,
    limit::{Level, Readings, State, decide},
    period::Period,
    plan::{Limit, RateSpec},
};
use tokio::{
    sync::oneshot::{self, Receiver},
    time::Instant,
};

use super::support::limits;
use crate::{
    clock::now,
    counters::batch::{Answer, Batch, Member, Sum},
    fault::Fault,
    testing::Random,
};

const ROUNDS: usize = 5_000;
const AT: Timestamp = Timestamp::from_micros(2_000_000_000_000_000);
const LONG: Duration = Duration::from_secs(60);

fn random_limits(random: &mut Random) -> Arc<[Limit]> {
    let names = ["a", "b", "c"].iter().take(1 + usize::try_from(random.below(3)).unwrap());
    limits(names.map(|name| match random.below(2) {
        0 => Limit::quota(*name, 1 + random.below(60), Period::day()),
        _ => {
            let (count, per) = (1 + random.below(9), *random.one_of(&[1, 7, 1_000, 999_983]));
            Limit::rate(*name, RateSpec::per_micros(count, per).burst(1 + random.below(60)))
        }
    }))
}

fn random_cost(random: &mut Random) -> u64 {
    *random.one_of(&[1, 1, 1, 1, 2, 3, 7, 20, 61, u64::MAX])
}

/// The counters, charged by the core.
struct Model {
    limits: Arc<[Limit]>,
    states: Vec<State>,
    now: Timestamp,
}

impl Model {
    fn new(random: &mut Random) -> Self {
        let limits = random_limits(random);
        let mut model = Self { states: vec![State::default(); limits.len()], limits, now: AT };
        for _ in 0..random.below(4) {
            model.charge(random.below(20));
            model.passes(random);
        }
        // Now and then the clock has stepped back.
        if random.below(4) == 0 {
            model.now = Timestamp::from_micros(AT.micros() - random.below(50));
        }
        model
    }

    fn levels(&self) -> Vec<Level> {
        let states = self.limits.iter().zip(&self.states);
        states.map(|(limit, state)| limit.rule().level(*state, self.now)).collect()
    }

    fn charge(&mut self, cost: u64) -> Readings {
        let mut levels = self.levels();
        let readings = decide(&mut levels, cost);
        if cost > 0 && is_admitted(&readings) {
            self.states = levels.iter().map(Level::state).collect();
        }
        readings
    }

    fn passes(&mut self, random: &mut Random) {
        self.now = self.now.saturating_add(Duration::from_micros(random.below(30)));
    }

    /// As a batch is told it: whether the sum was charged, and the levels before it, or as they are.
    fn carries_out(&mut self, sum: Sum, batch: &mut Batch<'_>) -> bool {
        let before = self.levels();
        let charged = is_admitted(&self.charge(sum.cost));
        match charged {
            true => batch.charged(before.into_iter()),
            false => batch.refused(before.into_iter()),
        }
        charged
    }
}

fn is_admitted(readings: &Readings) -> bool {
    readings.iter().all(|reading| reading.within)
}

fn member(cost: u64, deadline: Instant) -> (Member, Receiver<Answer>) {
    let (answer, receiver) = oneshot::channel();
    (Member { cost, deadline, answer }, receiver)
}

fn begun(batch: &mut Batch<'_>, costs: &[u64]) -> Vec<Receiver<Answer>> {
    let members = costs.iter().map(|cost| member(*cost, now() + LONG));
    let (members, receivers): (Vec<_>, Vec<_>) = members.unzip();
    batch.begin(members.into_iter());
    receivers
}

/// What was told by now.
fn told(receiver: &mut Receiver<Answer>) -> Option<Readings> {
    receiver.try_recv().ok().map(|answer| answer.unwrap())
}

#[test]
fn a_batch_is_told_what_each_would_be_told_one_after_the_other() {
    let mut random = Random(1);
    let (mut admitted, mut refused, mut sums) = (0, 0, 0);
    for _ in 0..ROUNDS {
        let mut model = Model::new(&mut random);
        let mut one_by_one =
            Model { limits: model.limits.clone(), states: model.states.clone(), ..model };
        let limits = model.limits.clone();
        let mut batch = Batch::new(&limits);
        for _ in 0..=random.below(2) {
            let costs: Vec<_> = (0..=random.below(30)).map(|_| random_cost(&mut random)).collect();
            let receivers = begun(&mut batch, &costs);
            while let Some(sum) = batch.next(now()) {
                sums += 1;
                model.carries_out(sum, &mut batch);
            }
            for (cost, mut receiver) in costs.into_iter().zip(receivers) {
                let readings = told(&mut receiver).expect("everybody is answered");
                assert_eq!(readings, one_by_one.charge(cost), "{limits:#?} cost {cost}");
                *(if is_admitted(&readings) { &mut admitted } else { &mut refused }) += 1;
            }
            assert_eq!(model.states, one_by_one.states);
        }
    }
    println!("{admitted} admitted, {refused} refused, {sums} sums");
    assert!(admitted > 10_000 && refused > 10_000);
    assert!(sums < (admitted + refused) / 2, "they are made together");
}

/// While others charge, time passes, members go away and calls fail: whoever is refused does not fit into
/// what was told last, a sum has none in it who went away, and what was charged is what was admitted.
#[test]
fn whatever_happens_meanwhile_nobody_is_refused_who_fits() {
    let mut random = Random(2);
    let (mut failures, mut gone) = (0, 0);
    for _ in 0..ROUNDS {
        let mut model = Model::new(&mut random);
        let limits = model.limits.clone();
        let mut batch = Batch::new(&limits);
        let costs: Vec<_> = (0..=random.below(30)).map(|_| random_cost(&mut random)).collect();
        let mut waiting: Vec<_> = costs.iter().copied().zip(begun(&mut batch, &costs)).collect();
        let mut last_told: Option<Vec<Level>> = None;
        loop {
            let left = waiting.len();
            waiting.retain(|_| random.below(20) > 0);
            gone += left - waiting.len();
            let sum = batch.next(now());
            waiting.retain_mut(|(cost, receiver)| {
                let Some(readings) = told(receiver) else { return true };
                let mut levels = last_told.clone().expect("refused by what was told");
                assert_eq!(readings, decide(&mut levels, *cost));
                assert!(!is_admitted(&readings));
                false
            });
            let Some(sum) = sum else { break };
            let under_way = together(&waiting, sum.cost, last_told.as_deref());
            model.passes(&mut random);
            if random.below(3) == 0 {
                model.charge(random.below(5));
            }
            if random.below(10) == 0 {
                failures += 1;
                batch.failed(&Fault::Timeout);
                last_told = None;
                let mut under_way = under_way.into_iter();
                waiting.retain_mut(|(_, receiver)| {
                    let is_sent = under_way.next().unwrap();
                    let failed = matches!(receiver.try_recv(), Ok(Err(Fault::Timeout)));
                    assert_eq!(failed, is_sent);
                    !is_sent
                });
                continue;
            }
            let mut levels = model.levels();
            if model.carries_out(sum, &mut batch) {
                let mut under_way = under_way.into_iter();
                waiting.retain_mut(|(cost, receiver)| {
                    let is_sent = under_way.next().unwrap();
                    let Some(readings) = told(receiver) else {
                        assert!(!is_sent, "it was charged, and is told nothing");
                        return true;
                    };
                    assert_eq!(readings, decide(&mut levels, *cost));
                    assert_eq!(is_admitted(&readings), is_sent);
                    false
                });
                let states: Vec<_> = levels.iter().map(Level::state).collect();
                assert_eq!(states, model.states);
            }
            last_told = Some(levels);
        }
        assert!(waiting.is_empty(), "everybody is answered");
    }
    assert!(failures > 500 && gone > 500);
}

/// Who makes up this sum: those who fit beside those before them, or as many from the front.
fn together(waiting: &[(u64, Receiver<Answer>)], sum: u64, told: Option<&[Level]>) -> Vec<bool> {
    let mut added = 0_u64;
    let is_sent = |(cost, _): &(u64, Receiver<Answer>)| {
        let more = added.saturating_add(*cost);
        let is_sent = match told {
            Some(levels) => levels.iter().all(|level| level.fits(more)),
            None => added < sum,
        };
        added = if is_sent { more } else { added };
        is_sent
    };
    let all = waiting.iter().map(is_sent).collect();
    assert_eq!(added, sum);
    all
}

fn quota(amount: u64) -> Arc<[Limit]> {
    limits([Limit::quota("daily", amount, Period::day())])
}

#[test]
fn whose_deadline_is_over_is_not_sent() {
    let limits = quota(10);
    let mut batch = Batch::new(&limits);
    let at = now();
    let [(late, mut late_told), (first, _first), (last, _last)] =
        [0, 5, 7].map(|millis| member(1, at + Duration::from_millis(millis)));
    batch.begin([late, first, last].into_iter());
    let deadline = at + Duration::from_millis(7);
    assert_eq!(batch.next(at), Some(Sum { cost: 2, deadline }));
    late_told.try_recv().unwrap_err();
}

#[test]
fn nothing_is_sent_for_nobody() {
    let limits = quota(10);
    let mut batch = Batch::new(&limits);
    assert_eq!(batch.next(now()), None);
    drop(begun(&mut batch, &[1, 2]));
    assert_eq!(batch.next(now()), None);
}

#[test]
fn a_batch_that_is_given_up_tells_those_whose_outcome_is_unknown() {
    let limits = quota(5);
    let mut batch = Batch::new(&limits);
    let mut waiting = begun(&mut batch, &[2, 2, 2]);
    assert_eq!(batch.next(now()).unwrap().cost, 4);
    drop(batch);
    for receiver in &mut waiting[..2] {
        assert!(matches!(receiver.try_recv(), Ok(Err(Fault::Timeout))));
    }
    waiting[2].try_recv().expect_err("it was not sent, and may be");
}

#[test]
fn a_store_that_refuses_what_fits_is_not_asked_for_ever() {
    let limits = quota(5);
    let mut batch = Batch::new(&limits);
    let mut waiting = begun(&mut batch, &[2, 2]);
    batch.next(now()).unwrap();
    let empty = limits[0].rule().level(State::default(), AT);
    batch.refused([empty].into_iter());
    assert_eq!(batch.next(now()), None);
    for receiver in &mut waiting {
        assert!(matches!(receiver.try_recv(), Ok(Err(Fault::Foreign(_)))));
    }
}
