use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, de::DeserializeOwned};

use crate::row::{KeyKind, Problem, Row};

/// Rows, and what the API that answers them is told by its environment.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Table {
    #[serde(default)]
    pub(crate) environment: BTreeMap<String, String>,
    #[serde(rename = "row")]
    pub(crate) rows: Vec<Row>,
}

/// The tables of HTTP.
pub(crate) fn tables() -> Vec<Table> {
    tables_of(&[
        include_str!("credentials.toml"),
        include_str!("malformed.toml"),
        include_str!("limits.toml"),
        include_str!("concurrency.toml"),
        include_str!("requests.toml"),
        include_str!("origins.toml"),
        include_str!("bodies.toml"),
        include_str!("protocols.toml"),
        include_str!("websocket.toml"),
        include_str!("visitors.toml"),
        include_str!("x_forwarded_for.toml"),
        include_str!("unproven.toml"),
        include_str!("forwarded.toml"),
        include_str!("untrusted.toml"),
    ])
}

/// The tables of gRPC.
pub(crate) fn grpc_tables() -> Vec<Table> {
    tables_of(&[include_str!("grpc.toml"), include_str!("grpc_visitors.toml")])
}

/// One for each environment.
fn tables_of(files: &[&str]) -> Vec<Table> {
    let mut tables = BTreeMap::<_, Vec<Row>>::new();
    for Table { environment, rows } in files.iter().map(|file| read(file)) {
        tables.entry(environment).or_default().extend(rows);
    }
    let rows: Vec<_> = tables.values().flatten().collect();
    let names: BTreeSet<_> = rows.iter().map(|row| &row.it).collect();
    assert_eq!(names.len(), rows.len(), "each row has a sentence of its own");
    tables.into_iter().map(|(environment, rows)| Table { environment, rows }).collect()
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
