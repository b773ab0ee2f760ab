use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

/// A request, and what must be answered.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Row {
    /// What it shows, as a sentence.
    pub(crate) it: String,
    /// Requests before it, with the same header fields.
    #[serde(default)]
    pub(crate) before: Vec<String>,
    /// The request line; its version may be left out. Of gRPC, the path alone.
    pub(crate) send: String,
    /// The name of a key in `keys.toml`, which is `{key}` then.
    pub(crate) key: Option<String>,
    #[serde(default)]
    pub(crate) headers: Vec<String>,
    pub(crate) body: Option<String>,

    /// The code of the refusal, in `problems.toml`, which tells the rest of it.
    pub(crate) refused: Option<String>,
    /// Whether it is told as gRPC does.
    #[serde(default)]
    pub(crate) grpc: bool,
    /// What a refusal says in place of its usual words.
    pub(crate) detail: Option<String>,
    /// The scope that is `{scope}` in the challenge.
    pub(crate) scope: Option<String>,
    /// How long to wait, in terms of gRPC.
    pub(crate) retry: Option<String>,
    /// The limits that refused.
    #[serde(default)]
    pub(crate) violated: Vec<String>,
    /// The status where it is no refusal; of gRPC, the code where it is not OK.
    pub(crate) status: Option<u16>,
    /// Fields besides those of every such refusal.
    #[serde(default)]
    pub(crate) fields: BTreeMap<String, String>,
    /// The body, where it is JSON.
    pub(crate) json: Option<Value>,
    /// The body, where it is text. Where neither is given the body is the framework's own.
    pub(crate) text: Option<String>,
}

impl Row {
    pub(crate) fn mentions(&self, word: &str) -> bool {
        self.send.contains(word) || self.headers.iter().any(|header| header.contains(word))
    }

    pub(crate) fn is_head(&self) -> bool {
        self.send.starts_with("HEAD ")
    }
}

/// A kind of key.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyKind {
    pub(crate) plan: String,
    /// What `keygate keys issue` is told besides.
    #[serde(default)]
    pub(crate) options: Vec<String>,
    /// What becomes of it.
    pub(crate) becomes: Option<Fate>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Fate {
    Disabled,
    Revoked,
    Replaced,
}

/// What every refusal with one code says.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Problem {
    pub(crate) status: u16,
    /// The status code of gRPC.
    pub(crate) grpc: i32,
    pub(crate) r#type: String,
    pub(crate) title: String,
    pub(crate) detail: String,
    pub(crate) challenge: Option<String>,
}

#[derive(Deserialize)]
struct Rows {
    row: Vec<Row>,
}

/// The rows of HTTP.
pub(crate) fn rows() -> Vec<Row> {
    rows_of(&[
        include_str!("credentials.toml"),
        include_str!("limits.toml"),
        include_str!("requests.toml"),
    ])
}

/// The rows of gRPC.
pub(crate) fn grpc_rows() -> Vec<Row> {
    rows_of(&[include_str!("grpc.toml")])
}

fn rows_of(files: &[&str]) -> Vec<Row> {
    let rows: Vec<Row> = files.iter().flat_map(|file| read::<Rows>(file).row).collect();
    let names: BTreeSet<_> = rows.iter().map(|row| &row.it).collect();
    assert_eq!(names.len(), rows.len(), "each row has a sentence of its own");
    rows
}

/// The kinds of keys, by name.
pub(crate) fn key_kinds() -> BTreeMap<String, KeyKind> {
    read(include_str!("keys.toml"))
}

/// The refusals, by code.
pub(crate) fn problems() -> BTreeMap<String, Problem> {
    read(include_str!("problems.toml"))
}

#[track_caller]
fn read<T: DeserializeOwned>(text: &str) -> T {
    toml::from_str(text).unwrap_or_else(|error| panic!("{error}"))
}
