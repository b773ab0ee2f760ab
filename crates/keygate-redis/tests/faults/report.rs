use std::{fmt, time::Duration};

use keygate_redis::FaultKind;
use tokio::time::Instant;

use crate::{
    load::{Decision, Outcome, Policy},
    scene::{BURST, PACE},
};

/// The deadline of a decision, and what it may be late by.
pub(crate) const DUE: Duration = Duration::from_millis(25 + 10);

/// What a machine that does much else adds to that: only what is far beyond fails.
pub(crate) const MARGIN: Duration = Duration::from_millis(100);

/// Tasks of a policy at one replica.
const AT_ONCE: u64 = 8;

/// All there is to know of one run.
pub(crate) struct Measured {
    pub(crate) fault: &'static str,
    pub(crate) quota: u64,
    pub(crate) begun: Instant,
    pub(crate) ended: Instant,
    /// When the fault was made, and when Redis was there again.
    pub(crate) struck: Instant,
    pub(crate) reachable: Instant,
    pub(crate) kinds: Vec<(FaultKind, u64)>,
    pub(crate) decisions: Vec<Decision>,
}

/// One row of the table.
pub(crate) struct Report {
    pub(crate) fault: &'static str,
    /// From the fault to the end of the recovery.
    pub(crate) during: Latency,
    before: Latency,
    outage: Duration,
    pub(crate) recovery: Duration,
    outcomes: Vec<(Policy, Outcome, usize)>,
    kinds: Vec<(FaultKind, u64)>,
    /// Units of closed quotas admitted beyond them.
    pub(crate) over_quota: u64,
    /// Units of closed quotas that are used, though nobody was told so.
    pub(crate) lost: u64,
    /// Units of rates admitted beyond them.
    pub(crate) over_rate: u64,
}

#[derive(Clone, Copy)]
pub(crate) struct Latency {
    p50: Duration,
    pub(crate) p99: Duration,
    most: Duration,
}

impl Report {
    pub(crate) fn of(measured: Measured) -> Self {
        let Measured { fault, quota, begun, ended, struck, reachable, .. } = measured;
        let decisions = &measured.decisions;
        let recovered = recovered(decisions, reachable);
        let (before, rest): (Vec<&Decision>, Vec<&Decision>) =
            decisions.iter().partition(|decision| decision.begun < struck);
        let during: Vec<&Decision> =
            rest.into_iter().filter(|decision| decision.begun <= recovered).collect();
        let span = ended.duration_since(begun);
        let (over_quota, lost) = quotas(decisions, quota);
        let report = Self {
            fault,
            before: Latency::of(&before),
            during: Latency::of(&during),
            outage: reachable.duration_since(struck),
            recovery: recovered.duration_since(reachable),
            outcomes: outcomes(&during),
            kinds: measured.kinds,
            over_quota,
            lost,
            over_rate: over_rate(decisions, span),
        };
        println!("{report}");
        let uncounted = before.iter().filter(|one| !one.is_counted()).count();
        println!("before the fault: {} of {} not counted", uncounted, before.len());
        assert_policies(decisions);
        report
    }

    /// How often decisions of this policy ended so, from the fault to the end of the recovery.
    pub(crate) fn count(&self, policy: Policy, outcome: Outcome) -> usize {
        let of = |(its, ended, _): &&(Policy, Outcome, usize)| (*its, *ended) == (policy, outcome);
        self.outcomes.iter().find(of).map_or(0, |(.., count)| *count)
    }

    /// Faults of this kind, from the fault to the end.
    pub(crate) fn faults(&self, kind: FaultKind) -> u64 {
        self.kinds.iter().find(|(its, _)| *its == kind).map_or(0, |(_, count)| *count)
    }

    /// Nobody waited, and nothing was given out twice.
    pub(crate) fn assert_sound(&self) {
        self.assert_sound_but_for(0);
    }

    /// The same where Redis lost what it had written: the replicas tell it, and each knows of all but
    /// what the other was told just then, at most one decision a task.
    pub(crate) fn assert_sound_after_a_loss(&self) {
        self.assert_sound_but_for(AT_ONCE);
    }

    fn assert_sound_but_for(&self, most: u64) {
        assert!(self.during.p99 <= DUE + MARGIN, "{}: decisions were late", self.fault);
        let over = self.over_quota.max(self.over_rate);
        assert!(over <= most, "{}: {over} over-admitted", self.fault);
    }

    /// Each policy was asked, and did its part.
    pub(crate) fn assert_outage(&self) {
        assert!(self.count(Policy::Closed, Outcome::Unavailable) > 0, "closed never refused");
        assert!(self.count(Policy::Open, Outcome::Degraded) > 0, "open never admitted");
        assert!(self.count(Policy::LocalShare, Outcome::Degraded) > 0, "no share was counted");
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |policy, outcome| self.count(policy, outcome);
        write!(
            f,
            "ROW | {} | closed {} / 503 {}; open {} / degraded {}; share {} / degraded {} / refused {} \
             | {} (before {}) | down {} ms, recovery {} ms | over quota {}, over rate {}, unacknowledged {} | {:?}",
            self.fault,
            count(Policy::Closed, Outcome::Admitted),
            count(Policy::Closed, Outcome::Unavailable),
            count(Policy::Open, Outcome::Admitted) + count(Policy::Open, Outcome::Refused),
            count(Policy::Open, Outcome::Degraded),
            count(Policy::LocalShare, Outcome::Admitted),
            count(Policy::LocalShare, Outcome::Degraded),
            count(Policy::LocalShare, Outcome::Refused),
            self.during,
            self.before,
            self.outage.as_millis(),
            self.recovery.as_millis(),
            self.over_quota,
            self.over_rate,
            self.lost,
            self.kinds,
        )
    }
}

impl Latency {
    pub(crate) fn of(decisions: &[&Decision]) -> Self {
        let mut took: Vec<_> = decisions.iter().map(|decision| decision.took).collect();
        took.sort();
        let at = |percent: usize| {
            let place = (took.len() * percent / 100).min(took.len().saturating_sub(1));
            took.get(place).copied().unwrap_or_default()
        };
        Self { p50: at(50), p99: at(99), most: at(100) }
    }
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tenths = [self.p50, self.p99, self.most].map(|took| took.as_micros() / 100);
        let [p50, p99, most] = tenths.map(|tenths| format!("{}.{}", tenths / 10, tenths % 10));
        write!(f, "{p50}/{p99}/{most} ms")
    }
}

/// When the last of all consumers and replicas was counted for the first time since.
pub(crate) fn recovered(decisions: &[Decision], since: Instant) -> Instant {
    let counted = decisions.iter().filter(|one| one.is_counted() && one.begun >= since);
    let mut first = std::collections::BTreeMap::new();
    for decision in counted {
        let ended = first.entry((decision.consumer, decision.replica)).or_insert(decision.ended());
        *ended = decision.ended().min(*ended);
    }
    first.into_values().max().expect("somebody was counted")
}

fn outcomes(decisions: &[&Decision]) -> Vec<(Policy, Outcome, usize)> {
    let mut outcomes: Vec<(Policy, Outcome, usize)> = Vec::new();
    for Decision { policy, outcome, .. } in decisions {
        let known = outcomes.iter_mut().find(|(its, ended, _)| (its, ended) == (policy, outcome));
        match known {
            Some((.., count)) => *count += 1,
            None => outcomes.push((*policy, *outcome, 1)),
        }
    }
    outcomes
}

/// How much was admitted beyond the quotas, and how much of them went to nobody. What is used without
/// being told of is at most what failed.
fn quotas(decisions: &[Decision], quota: u64) -> (u64, u64) {
    let (mut over, mut lost) = (0, 0);
    let closed: std::collections::BTreeSet<_> = decisions
        .iter()
        .filter(|one| one.policy == Policy::Closed)
        .map(|one| one.consumer)
        .collect();
    for consumer in closed {
        let count = |outcome| {
            let its = |one: &&Decision| one.consumer == consumer && one.outcome == outcome;
            decisions.iter().filter(its).count() as u64
        };
        let admitted = count(Outcome::Admitted);
        over += admitted.saturating_sub(quota);
        let missing = quota.saturating_sub(admitted);
        assert!(missing <= count(Outcome::Unavailable), "units were counted twice");
        lost += missing;
    }
    (over, lost)
}

/// In any time, no more than the burst and what flows back meanwhile.
fn over_rate(decisions: &[Decision], span: Duration) -> u64 {
    let counted =
        |one: &&Decision| one.policy != Policy::Closed && one.outcome == Outcome::Admitted;
    let (mut open, mut share) = (0_u64, 0_u64);
    for one in decisions.iter().filter(counted) {
        if one.policy == Policy::Open { open += 1 } else { share += 1 }
    }
    let most = BURST + (PACE * u64::try_from(span.as_micros()).unwrap()).div_ceil(1_000_000);
    open.saturating_sub(most) + share.saturating_sub(most)
}

pub(crate) fn assert_policies(decisions: &[Decision]) {
    for decision in decisions {
        let may = match decision.policy {
            Policy::Closed => decision.outcome != Outcome::Degraded,
            Policy::Open | Policy::LocalShare => decision.outcome != Outcome::Unavailable,
        };
        let other = matches!(decision.outcome, Outcome::Other(_));
        assert!(may && !other, "{decision:?} is not by its policy");
    }
}
