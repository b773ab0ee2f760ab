//! Plans as they are shown. The fields of the JSON form are a promise: see `docs/cli.md`.

use std::collections::BTreeMap;

use keygate::{
    limit::{Rate, Rule},
    plan::{Limit, Name, OnFailure, Partition, Plan},
    scope::ScopeSet,
};
use serde::Serialize;

use crate::output::word;

/// What is shown of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct PlanView {
    pub(super) name: Name,
    pub(super) scopes: ScopeSet,
    pub(super) keys: u64,
    pub(super) limits: Vec<LimitView>,
}

/// What is shown of a limit, in the words of the plan file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct LimitView {
    pub(crate) name: Name,
    pub(crate) rate: Option<String>,
    pub(crate) burst: Option<u64>,
    pub(crate) quota: Option<u64>,
    pub(crate) per: Option<String>,
    pub(crate) zone: Option<String>,
    pub(crate) concurrency: Option<u64>,
    pub(crate) partition: Partition,
    pub(crate) operations: Vec<Name>,
    pub(crate) on_failure: OnFailure,
}

/// The plans as they were written.
#[derive(Serialize)]
pub(super) struct Exported<'a> {
    pub(super) revision: u64,
    pub(super) text: &'a str,
}

impl PlanView {
    pub(super) fn of(plan: &Plan, in_use: &BTreeMap<Name, u64>) -> Self {
        Self {
            name: plan.name().clone(),
            scopes: plan.scopes().clone(),
            keys: in_use.get(plan.name()).copied().unwrap_or_default(),
            limits: plan.limits().iter().map(LimitView::of).collect(),
        }
    }

    pub(super) const COLUMNS: [&'static str; 4] = ["plan", "keys", "scopes", "limits"];

    pub(super) fn row(&self) -> [String; 4] {
        let limits = self.limits.iter().map(|limit| format!("{}: {}", limit.name, limit.rule()));
        let limits: Vec<String> = limits.collect();
        let scopes = self.scopes.to_string();
        [self.name.to_string(), self.keys.to_string(), scopes, limits.join(", ")]
    }
}

impl LimitView {
    pub(crate) fn of(limit: &Limit) -> Self {
        let mut view = Self {
            name: limit.name().clone(),
            rate: None,
            burst: None,
            quota: None,
            per: None,
            zone: None,
            concurrency: None,
            partition: limit.partition(),
            operations: limit.operations().to_vec(),
            on_failure: limit.on_failure(),
        };
        match limit.rule() {
            Rule::Rate(rate) => {
                view.rate = Some(pace(rate));
                view.burst = Some(rate.burst());
            }
            Rule::Quota(quota) => {
                view.quota = Some(quota.amount());
                view.per = Some(quota.period().unit().to_string());
                view.zone = Some(quota.period().zone().to_string());
            }
            Rule::Concurrency(concurrency) => view.concurrency = Some(concurrency.slots()),
            _ => {}
        }
        view
    }

    /// The rule, for people.
    pub(crate) fn rule(&self) -> String {
        match (self, self.quota) {
            (Self { per: Some(per), zone: Some(zone), .. }, Some(quota)) if zone == "UTC" => {
                format!("{quota} per {per}")
            }
            (Self { per: Some(per), zone: Some(zone), .. }, Some(quota)) => {
                format!("{quota} per {per} in {zone}")
            }
            (Self { rate: Some(rate), burst: Some(burst), .. }, _) => {
                format!("{rate} (burst {burst})")
            }
            (Self { concurrency: Some(slots), .. }, _) => format!("{slots} at once"),
            _ => "of a newer version".to_owned(),
        }
    }

    pub(super) const COLUMNS: [&'static str; 5] =
        ["limit", "allows", "for each", "operations", "on failure"];

    pub(super) fn row(&self) -> [String; 5] {
        let operations: Vec<&str> = self.operations.iter().map(Name::as_str).collect();
        let operations = if operations.is_empty() { "all".into() } else { operations.join(" ") };
        let [name, allows] = [self.name.to_string(), self.rule()];
        [name, allows, word(&self.partition), operations, word(&self.on_failure)]
    }
}

/// A rate as plan files say it, in the shortest unit that leaves a whole count.
fn pace(rate: &Rate) -> String {
    let (num, den) = rate.pace();
    let units =
        [("s", 1_000_000), ("min", 60_000_000), ("h", 3_600_000_000), ("day", 86_400_000_000)];
    let whole = units.into_iter().find_map(|(unit, micros): (&str, u128)| {
        let count = u128::from(num) * micros;
        (count % u128::from(den) == 0).then(|| format!("{}/{unit}", count / u128::from(den)))
    });
    whole.unwrap_or_else(|| format!("{num} per {den} µs"))
}

#[cfg(test)]
mod tests {
    use keygate::Plans;

    use super::*;

    #[track_caller]
    fn rules(limits: &str) -> Vec<String> {
        let plans = Plans::from_toml(&format!("[plans.free]\nlimits = [{limits}]")).unwrap();
        let limits = plans.find("free").unwrap().limits().iter();
        limits.map(|limit| LimitView::of(limit).rule()).collect()
    }

    #[test]
    fn rules_read_as_they_were_written() {
        let rates = "{ name = 'a', rate = '10/s', burst = 20 }, { name = 'b', rate = '20/min' },
                     { name = 'c', rate = '7/h' }, { name = 'd', rate = '1/day' }";
        assert_eq!(
            rules(rates),
            ["10/s (burst 20)", "20/min (burst 20)", "7/h (burst 7)", "1/day (burst 1)"]
        );
        let quotas = "{ name = 'a', quota = 9, per = 'day' },
                      { name = 'b', quota = 8, per = 'month', anchor = 15, zone = 'Europe/Paris' }";
        assert_eq!(rules(quotas), ["9 per day", "8 per month from day 15 in Europe/Paris"]);
        assert_eq!(rules("{ name = 'a', concurrency = 10 }"), ["10 at once"]);
    }
}
