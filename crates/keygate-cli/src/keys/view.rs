//! Key records as they are shown. The fields of the JSON form are a promise: see `docs/cli.md`.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use keygate::{
    key::{KeyHint, KeyId},
    plan::Name,
    record::{ConsumerId, KeyRecord, KeyStatus},
    scope::ScopeSet,
};
use serde::Serialize;

use crate::{
    error::Failure,
    output::{Output, word},
    time::{instant, instant_or},
};

/// What is shown of a key.
#[derive(Serialize)]
pub(super) struct KeyView<'a> {
    id: KeyId,
    hint: &'a KeyHint,
    name: &'a str,
    consumer: &'a ConsumerId,
    plan: &'a Name,
    scopes: &'a ScopeSet,
    attributes: &'a BTreeMap<String, String>,
    status: KeyStatus,
    created: DateTime<Utc>,
    not_before: Option<DateTime<Utc>>,
    expires: Option<DateTime<Utc>>,
    lineage: KeyId,
    successor: Option<KeyId>,
    revision: u64,
    scheme: String,
}

impl<'a> KeyView<'a> {
    pub(super) fn of(record: &'a KeyRecord) -> Self {
        Self {
            id: record.id,
            hint: &record.hint,
            name: &record.name,
            consumer: &record.consumer,
            plan: &record.plan,
            scopes: &record.scopes,
            attributes: &record.attributes,
            status: record.status,
            created: record.created,
            not_before: record.not_before,
            expires: record.expires,
            lineage: record.lineage,
            successor: record.successor,
            revision: record.revision,
            scheme: record.digest.scheme().to_string(),
        }
    }

    /// The names of the columns of [`row`](Self::row).
    pub(super) const COLUMNS: [&'static str; 7] =
        ["id", "key", "consumer", "plan", "status", "expires", "name"];

    /// A line of a list.
    pub(super) fn row(&self) -> [String; 7] {
        [
            self.id.to_string(),
            self.hint.to_string(),
            self.consumer.to_string(),
            self.plan.to_string(),
            word(&self.status),
            instant_or(self.expires, "never"),
            self.name.to_owned(),
        ]
    }

    /// Everything, a line a field.
    pub(super) fn lines(&self) -> Vec<[String; 2]> {
        let attributes = self.attributes.iter().map(|(name, value)| format!("{name}={value}"));
        let attributes: Vec<String> = attributes.collect();
        let successor = self.successor.map_or_else(|| "none".to_owned(), |id| id.to_string());
        let lines = [
            ("id", self.id.to_string()),
            ("key", self.hint.to_string()),
            ("name", self.name.to_owned()),
            ("consumer", self.consumer.to_string()),
            ("plan", self.plan.to_string()),
            ("scopes", self.scopes.to_string()),
            ("attributes", attributes.join(", ")),
            ("status", word(&self.status)),
            ("created", instant(self.created)),
            ("not before", instant_or(self.not_before, "")),
            ("expires", instant_or(self.expires, "never")),
            ("lineage", self.lineage.to_string()),
            ("successor", successor),
            ("revision", self.revision.to_string()),
            ("scheme", self.scheme.clone()),
        ];
        lines.map(|(field, value)| [field.to_owned(), value]).into()
    }
}

/// Says what became of a key: the record as JSON, or a line.
pub(super) fn tell(did: &str, record: &KeyRecord, output: &Output) -> Result<(), Failure> {
    if output.is_json() {
        return output.json(&KeyView::of(record));
    }
    let KeyRecord { id, hint, consumer, plan, .. } = record;
    output.line(format_args!("{did} {id} ({hint}) of {consumer} on plan {plan}"))
}
