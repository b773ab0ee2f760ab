//! `keygate usage`: who used what.

mod view;

use std::io;

use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use clap::{Args, ValueEnum};
use keygate::{
    clock::{Clock, SystemClock},
    plan::Name,
    usage::{Granularity, Rollup, UsageQuery},
};

use self::view::{Report, RollupView};
use crate::{
    args::{Global, Subject},
    error::Failure,
    output::Output,
    store::Store,
    time::{When, instant_or},
};

const EXAMPLES: &str = "\
Examples:
  keygate usage acme
  keygate usage acme --since 30d --by day --csv > acme.csv
  keygate usage key_0123456789ABCDef --since 2026-03-01 --until 2026-04-01 --by day

Services send their usage about once a second. Times are UTC.";

/// Who used what: requests and cost, by time, key, operation and outcome.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct UsageCommand {
    /// A key's id, or else a consumer
    #[arg(value_name = "KEY_OR_CONSUMER")]
    subject: Subject,
    /// From when: a span back from now, or an instant; the whole minute, hour or day counts
    #[arg(long, value_name = "WHEN", default_value = "24h")]
    since: When,
    /// Until when: a span back from now, or an instant [default: now]
    #[arg(long, value_name = "WHEN")]
    until: Option<When>,
    /// How finely it is summed
    #[arg(long, value_name = "LENGTH", default_value = "hour")]
    by: By,
    /// Only this operation
    #[arg(long, value_name = "NAME")]
    operation: Option<Name>,
    /// Write CSV to standard output
    #[arg(long, conflicts_with = "json")]
    csv: bool,
}

/// A granularity, as it is written.
#[derive(Clone, Copy, ValueEnum)]
enum By {
    Minute,
    Hour,
    Day,
}

impl UsageCommand {
    pub(crate) async fn run(&self, global: &Global, output: &Output) -> Result<(), Failure> {
        let query = self.query(SystemClock.now().to_datetime())?;
        let store = Store::connect(global).await?;
        let (rollups, last_used) = self.ask(query.clone(), &store).await?;
        let views: Vec<RollupView<'_>> = rollups.iter().map(RollupView::of).collect();
        if self.csv {
            return Ok(view::csv(&views, io::stdout().lock())?);
        }
        if output.is_json() {
            return output.json(&Report::new(&query, last_used, &views));
        }
        if views.is_empty() {
            output.note("no usage in this time");
        } else {
            output.table(RollupView::COLUMNS, views.iter().map(RollupView::cells))?;
        }
        output.note(format_args!("last used: {}", instant_or(last_used, "never")));
        Ok(())
    }

    fn query(&self, now: DateTime<Utc>) -> Result<UsageQuery, Failure> {
        let by = Granularity::from(self.by);
        let since = whole(self.since.ago(now, "--since")?, by);
        let until = self.until.map_or(Ok(now), |until| until.ago(now, "--until"))?;
        if until <= since {
            let fix = "--until must be after --since";
            return Err(Failure::Usage(format!("nothing lies between them: {fix}")));
        }
        let mut query = UsageQuery::by(by).between(since, until);
        query.operation.clone_from(&self.operation);
        Ok(query)
    }

    async fn ask(
        &self,
        query: UsageQuery,
        store: &Store,
    ) -> Result<(Vec<Rollup>, Option<DateTime<Utc>>), Failure> {
        let (query, records) = match &self.subject {
            Subject::Key(id) => (query.key(*id), vec![store.record(*id).await?]),
            Subject::Consumer(consumer) => {
                (query.consumer(consumer.clone()), store.records_of(consumer).await?)
            }
            Subject::Visitor(visitor) => {
                let why = "who calls without a key is metered together, not by address";
                return Err(Failure::Usage(format!("there is no usage of {visitor}: {why}")));
            }
        };
        let usage = store.usage();
        let mut last_used = None;
        for record in records {
            last_used = last_used.max(usage.last_used(record.id).await?);
        }
        Ok((usage.query(&query).await?, last_used))
    }
}

impl From<By> for Granularity {
    fn from(by: By) -> Self {
        match by {
            By::Minute => Self::Minute,
            By::Hour => Self::Hour,
            By::Day => Self::Day,
        }
    }
}

/// The beginning of the bucket that an instant lies in.
fn whole(at: DateTime<Utc>, by: Granularity) -> DateTime<Utc> {
    let length = i64::try_from(by.seconds()).ok().and_then(TimeDelta::try_seconds);
    length.and_then(|length| at.duration_trunc(length).ok()).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_counts_from_its_beginning() {
        let at = "2026-03-01T12:34:56.789Z".parse().unwrap();
        let whole = |by| crate::time::instant(whole(at, by));
        assert_eq!(whole(Granularity::Minute), "2026-03-01T12:34:00Z");
        assert_eq!(whole(Granularity::Hour), "2026-03-01T12:00:00Z");
        assert_eq!(whole(Granularity::Day), "2026-03-01T00:00:00Z");
    }
}
