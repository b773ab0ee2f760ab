//! The plans of an installation, as the text that its operator wrote.

mod error;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use keygate::{
    Plans,
    clock::Timestamp,
    plan::{Name, PlanError},
    port::StoreError,
};
use redis::cmd;

pub use self::error::PlansError;
use crate::{fault::Fault, keys::CHANGES_KEPT, layout::Layout, link::Link, script::Script};

const WITHIN: Duration = Duration::from_secs(2);

/// The plans in Redis, for all replicas.
///
/// Replicas are told of an edit at once, and see for themselves every second.
#[derive(Debug)]
pub struct RedisPlans {
    link: Arc<Link>,
    layout: Layout,
    apply: Script,
}

/// Plans as they are stored.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StoredPlans {
    /// What the operator wrote: TOML, with its comments.
    pub text: String,
    /// What it means.
    pub plans: Plans,
    /// Which edit this is: the first is 1.
    pub revision: u64,
    /// When it was applied, by the clock of Redis.
    pub applied: Timestamp,
}

impl RedisPlans {
    pub(crate) fn new(link: Arc<Link>, layout: Layout) -> Self {
        let apply = Script::new(concat!(include_str!("../common.lua"), include_str!("apply.lua")));
        Self { link, layout, apply }
    }

    /// The plans in Redis; `None` when none were ever applied.
    ///
    /// # Errors
    /// If the store fails, or a newer version wrote what this one cannot read.
    pub async fn load(&self) -> Result<Option<StoredPlans>, PlansError> {
        let key = self.layout.plans();
        let mut load = cmd("HMGET");
        load.arg(&key).arg(&FIELDS);
        let fields: Result<Fields, Fault> = self.link.query(&load, WITHIN).await;
        read(&key, fields.map_err(|fault| fault.at(&key))?)
    }

    /// Replaces the plans by what this text says, if the edit was made of the latest revision:
    /// `expected` is the one it was made of, `None` if there were no plans. What was used stays used.
    ///
    /// # Errors
    /// If the text is not right, which is found before anything is sent; if somebody else applied an
    /// edit in between; or if the store fails. When no answer came in time, whether the plans were
    /// replaced is unknown: load them to see.
    pub async fn apply(
        &self,
        text: &str,
        expected: Option<u64>,
    ) -> Result<StoredPlans, PlansError> {
        let plans = Plans::from_toml(text).map_err(PlansError::Invalid)?;
        let keys = [self.layout.plans(), self.layout.changes()];
        let revision = expected.map_or_else(String::new, |revision| revision.to_string());
        let args = [self.layout.changed(), CHANGES_KEPT.to_string(), revision, text.to_owned()];
        let answer: Result<(bool, Option<u64>, Option<u64>), Fault> =
            self.link.call(&self.apply, &keys, &args, WITHIN).await;
        match answer.map_err(|fault| fault.at(&self.layout.plans()))? {
            (true, Some(revision), Some(applied)) => {
                let applied = Timestamp::from_micros(applied);
                Ok(StoredPlans { text: text.to_owned(), plans, revision, applied })
            }
            (_, stored, _) => Err(PlansError::Conflict { expected, stored }),
        }
    }

    /// How many keys that are not revoked each plan has; plans without any are left out. A plan that
    /// is removed while it is in use leaves its keys without one.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn in_use(&self) -> Result<BTreeMap<Name, u64>, StoreError> {
        let key = self.layout.plans_in_use();
        let mut load = cmd("HGETALL");
        load.arg(&key);
        let found: Result<Vec<(String, String)>, Fault> = self.link.query(&load, WITHIN).await;
        let found = found.map_err(|fault| fault.at(&key))?;
        let counts =
            found.iter().map(|(plan, count)| Some((plan.parse().ok()?, count.parse().ok()?)));
        let counts: Option<BTreeMap<Name, u64>> = counts.collect();
        Ok(counts.ok_or_else(|| Fault::foreign(&key, "no plan, or no number of its keys"))?)
    }
}

/// The fields of stored plans.
pub(crate) const FIELDS: [&str; 3] = ["revision", "applied", "text"];

/// What these fields hold, as far as they are there.
pub(crate) type Fields = [Option<Vec<u8>>; 3];

/// Reads what lies under `key`.
pub(crate) fn read(key: &str, fields: Fields) -> Result<Option<StoredPlans>, PlansError> {
    if fields.iter().all(Option::is_none) {
        return Ok(None);
    }
    let [revision, applied, text] = fields.map(|field| String::from_utf8(field?).ok());
    let number = |field: Option<String>| field?.parse().ok();
    let (Some(revision), Some(applied), Some(text)) = (number(revision), number(applied), text)
    else {
        return Err(Fault::foreign(key, "no text, revision and time of plans").into());
    };
    let plans = Plans::from_toml(&text)
        .map_err(|error: PlanError| PlansError::Unreadable { revision, error })?;
    Ok(Some(StoredPlans { text, plans, revision, applied: Timestamp::from_micros(applied) }))
}
