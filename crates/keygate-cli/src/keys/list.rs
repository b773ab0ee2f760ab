//! `keygate keys list` and `show`.

use chrono::{DateTime, Utc};
use clap::{Args, ValueEnum};
use keygate::{
    key::KeyId,
    plan::Name,
    port::KeyFilter,
    record::{ConsumerId, KeyStatus},
};
use serde::Serialize;

use super::view::KeyView;
use crate::{
    args::{Global, key_id},
    error::Failure,
    output::Output,
    store::Store,
    time::instant_or,
};

/// List keys, ordered by id
#[derive(Args)]
pub(crate) struct List {
    /// Only keys of this consumer
    #[arg(long, value_name = "CONSUMER")]
    consumer: Option<ConsumerId>,
    /// Only keys of this plan
    #[arg(long, value_name = "PLAN")]
    plan: Option<Name>,
    /// Only keys of this status
    #[arg(long, value_name = "STATUS")]
    status: Option<Status>,
    /// Only keys after this id: the last of the page before
    #[arg(long, value_name = "KEY_ID", value_parser = key_id)]
    after: Option<KeyId>,
    /// At most so many; all of them unless it is given
    #[arg(long, value_name = "COUNT")]
    most: Option<usize>,
}

/// A status, as it is written.
#[derive(Clone, Copy, ValueEnum)]
enum Status {
    Active,
    Disabled,
    Revoked,
}

impl List {
    pub(super) async fn run(&self, global: &Global, output: &Output) -> Result<(), Failure> {
        let store = Store::connect(global).await?;
        let records = store.records(self.filter(), self.most).await?;
        let views: Vec<KeyView<'_>> = records.iter().map(|record| KeyView::of(record)).collect();
        if output.is_json() {
            return output.json(&views);
        }
        if views.is_empty() {
            output.note("no keys");
            return Ok(());
        }
        output.table(KeyView::COLUMNS, views.iter().map(KeyView::row))?;
        if let Some(last) = records.last().filter(|_| Some(records.len()) == self.most) {
            output.note(format_args!("there may be more, after {0}: --after {0}", last.id));
        }
        Ok(())
    }

    fn filter(&self) -> KeyFilter {
        let mut filter = KeyFilter::default();
        filter.consumer.clone_from(&self.consumer);
        filter.plan = self.plan.as_ref().map(ToString::to_string);
        filter.status = self.status.map(KeyStatus::from);
        filter.after = self.after;
        filter
    }
}

impl From<Status> for KeyStatus {
    fn from(status: Status) -> Self {
        match status {
            Status::Active => Self::Active,
            Status::Disabled => Self::Disabled,
            Status::Revoked => Self::Revoked,
        }
    }
}

/// Shows all of one key.
pub(super) async fn show(id: KeyId, global: &Global, output: &Output) -> Result<(), Failure> {
    let store = Store::connect(global).await?;
    let (record, last_used) = (store.record(id).await?, store.usage().last_used(id).await?);
    let record = KeyView::of(&record);
    if output.is_json() {
        return output.json(&Shown { record, last_used });
    }
    let last_used = ["last used".to_owned(), instant_or(last_used, "never")];
    output.table(["field", "value"], record.lines().into_iter().chain([last_used]))
}

/// A key and when it was last used.
#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    record: KeyView<'a>,
    last_used: Option<DateTime<Utc>>,
}
