//! Usage as it is shown. The fields of JSON and CSV are a promise: see `docs/cli.md`.

use std::io::{self, Write};

use chrono::{DateTime, Utc};
use keygate::{
    key::KeyId,
    plan::Name,
    record::ConsumerId,
    usage::{Granularity, Outcome, Rollup, UsageQuery},
};
use serde::Serialize;

use crate::{output::word, time::instant};

/// All that was asked for.
#[derive(Serialize)]
pub(super) struct Report<'a> {
    since: DateTime<Utc>,
    until: DateTime<Utc>,
    by: Granularity,
    last_used: Option<DateTime<Utc>>,
    usage: &'a [RollupView<'a>],
}

/// What is shown of a rollup.
#[derive(Serialize)]
pub(super) struct RollupView<'a> {
    start: DateTime<Utc>,
    key: Option<KeyId>,
    consumer: Option<&'a ConsumerId>,
    operation: Option<&'a Name>,
    outcome: &'static str,
    detail: String,
    requests: u64,
    cost: u64,
    latency_micros: u64,
}

impl<'a> Report<'a> {
    pub(super) fn new(
        query: &UsageQuery,
        last_used: Option<DateTime<Utc>>,
        usage: &'a [RollupView<'a>],
    ) -> Self {
        Self { since: query.from, until: query.until, by: query.by, last_used, usage }
    }
}

impl<'a> RollupView<'a> {
    pub(super) const COLUMNS: [&'static str; 7] =
        ["from", "key", "operation", "outcome", "requests", "cost", "mean µs"];

    pub(super) fn of(rollup: &'a Rollup) -> Self {
        let (outcome, detail) = match &rollup.outcome {
            Outcome::Admitted(class) => ("admitted", word(class)),
            Outcome::Denied(reason) => ("denied", reason.code().to_owned()),
            Outcome::Aborted => ("aborted", String::new()),
            _ => ("other", String::new()),
        };
        Self {
            start: rollup.start,
            key: rollup.key,
            consumer: rollup.consumer.as_ref(),
            operation: rollup.operation.as_ref(),
            outcome,
            detail,
            requests: rollup.requests,
            cost: rollup.cost,
            latency_micros: rollup.latency_micros,
        }
    }

    pub(super) fn cells(&self) -> [String; 7] {
        let mean = self.latency_micros.checked_div(self.requests).unwrap_or_default();
        [
            instant(self.start),
            self.key.map(|key| key.to_string()).unwrap_or_default(),
            self.operation.map(ToString::to_string).unwrap_or_default(),
            format!("{} {}", self.outcome, self.detail).trim_end().to_owned(),
            self.requests.to_string(),
            self.cost.to_string(),
            mean.to_string(),
        ]
    }
}

/// Writes a header and a line for each.
pub(super) fn csv(usage: &[RollupView<'_>], out: impl Write) -> io::Result<()> {
    const HEADER: [&str; 9] = [
        "start",
        "key",
        "consumer",
        "operation",
        "outcome",
        "detail",
        "requests",
        "cost",
        "latency_micros",
    ];
    let mut writer = csv::WriterBuilder::new().has_headers(false).from_writer(out);
    let written = writer
        .write_record(HEADER)
        .and_then(|()| usage.iter().try_for_each(|rollup| writer.serialize(rollup)));
    written.map_err(io_error)?;
    writer.flush()
}

fn io_error(error: csv::Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        kind => io::Error::other(format!("{kind:?}")),
    }
}
