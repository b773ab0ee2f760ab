//! `keygate keys rotate`.

use std::{slice, time::Duration};

use chrono::{DateTime, Utc};
use clap::Args;
use keygate::{
    clock::{Clock, SystemClock},
    key::KeyId,
    keyring::Issued,
    record::KeyRecord,
};
use serde::Serialize;

use super::{
    digest::DigestArgs,
    format::{self, FormatArgs},
    issue::hand_over,
    view::KeyView,
};
use crate::{
    args::{Global, key_id},
    error::Failure,
    output::Output,
    pepper,
    store::Store,
    time::{When, instant, span},
};

/// Make the successor of a key, and show its text this once
///
/// The successor has the same consumer, plan, scopes, attributes and dates, and goes on with the
/// counters. The old key works until its grace is over, but never beyond its own expiry.
#[derive(Args)]
pub(crate) struct Rotate {
    /// The old key's id
    #[arg(value_name = "KEY_ID", value_parser = key_id)]
    id: KeyId,
    /// How long the old key goes on working; 0s ends it at once
    #[arg(long, value_name = "SPAN", value_parser = span, default_value = "24h")]
    grace: Duration,
    #[command(flatten)]
    format: FormatArgs,
    #[command(flatten)]
    digest: DigestArgs,
}

impl Rotate {
    pub(super) async fn run(&self, global: &Global, output: &Output) -> Result<(), Failure> {
        let (issued, grace_until) = self.rotate(&Store::connect(global).await?).await?;
        let view = RotatedView {
            key: issued.key.expose(),
            record: KeyView::of(&issued.record),
            predecessor: self.id,
            grace_until,
        };
        let KeyRecord { id, consumer, plan, .. } = &issued.record;
        let old = self.id;
        let until = instant(grace_until);
        let note = format!(
            "issued {id} to {consumer} on plan {plan}; {old} works until {until}; this key is shown once"
        );
        hand_over(&issued, &view, &note, output)
    }

    async fn rotate(&self, store: &Store) -> Result<(Issued, DateTime<Utc>), Failure> {
        let digester = pepper::digester()?;
        let old = store.record(self.id).await?;
        self.digest.check(&digester, slice::from_ref(&old))?;
        let format = self.format.or(&format::of_hint(&old.hint))?;
        let keyring = store.keyring(store.plans().await?, format, digester)?;
        let now = SystemClock.now().to_datetime();
        let grace_ends = When::Span(self.grace).hence(now, "--grace")?;
        let issued = keyring.rotate(self.id, self.grace).await?;
        // Once there is a new key nothing may fail: its text would be lost.
        let stored = store.record(self.id).await.ok().and_then(|old| old.expires);
        let before = old.expires.map_or(grace_ends, |end| end.min(grace_ends));
        Ok((issued, stored.unwrap_or(before)))
    }
}

/// A successor with its text.
#[derive(Serialize)]
struct RotatedView<'a> {
    key: &'a str,
    #[serde(flatten)]
    record: KeyView<'a>,
    predecessor: KeyId,
    grace_until: DateTime<Utc>,
}
