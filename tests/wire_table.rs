//! The wire as a table: what is sent and what must be answered, the same by every door.
//!
//! The rows stand in `wire_table/*.toml`. A row names all fields of its answer, but for those that are the
//! framework's own: one that is not named must not be there.

// So that the lints that spare tests spare their helpers.
#![cfg(test)]

#[path = "wire_table/answered.rs"]
mod answered;
#[path = "wire_table/asking.rs"]
mod asking;
#[path = "wire_table/beside.rs"]
mod beside;
#[path = "wire_table/called.rs"]
mod called;
#[path = "wire_table/door.rs"]
mod door;
#[path = "wire_table/expected.rs"]
mod expected;
#[path = "wire_table/files.rs"]
mod files;
#[path = "wire_table/row.rs"]
mod row;
#[path = "wire_table/template.rs"]
mod template;
#[path = "wire_table/words.rs"]
mod words;

use std::sync::LazyLock;

use keygate_tests::Api;

use answered::Answered;
use door::Door;
use expected::difference;
use files::{Table, grpc_tables, tables};

static AXUM: LazyLock<Vec<Answered>> = LazyLock::new(|| answers_of(Api::axum));
static ACTIX: LazyLock<Vec<Answered>> = LazyLock::new(|| answers_of(Api::actix));

#[track_caller]
fn answers_of(api: fn(&str) -> Api) -> Vec<Answered> {
    let answers = |table: Table| {
        let door = Door::open(api, &table);
        let rows = table.rows.iter().zip(&door.words);
        rows.map(|(row, words)| Answered::by(door.api.address(), row, words)).collect::<Vec<_>>()
    };
    tables().into_iter().flat_map(answers).collect()
}

/// Asserts that no row was answered otherwise than it says.
#[track_caller]
fn assert_as_told(checked: impl Iterator<Item = Result<(), String>>) {
    let checked: Vec<_> = checked.collect();
    let wrong: Vec<_> =
        checked.iter().filter_map(|it| it.as_ref().err()).map(String::as_str).collect();
    let (count, all) = (wrong.len(), checked.len());
    assert!(wrong.is_empty(), "{count} of {all} rows:\n\n{}", wrong.join("\n\n"));
    println!("{all} rows");
}

#[test]
fn axum_answers_as_the_table_says() {
    assert_as_told(AXUM.iter().map(Answered::check));
}

#[test]
fn actix_answers_as_the_table_says() {
    assert_as_told(ACTIX.iter().map(Answered::check));
}

#[test]
fn axum_and_actix_answer_alike() {
    let pairs = AXUM.iter().zip(ACTIX.iter());
    let differences: Vec<_> = pairs.filter_map(|(one, other)| difference(one, other)).collect();
    assert!(differences.is_empty(), "{}", differences.join("\n\n"));
}

#[test]
fn a_service_of_grpc_answers_as_the_table_says() {
    let checked = |table: Table| {
        let door = Door::open(Api::grpc, &table);
        let rows = table.rows.iter().zip(&door.words);
        rows.map(|(row, words)| called::check(door.api.address(), row, words)).collect::<Vec<_>>()
    };
    assert_as_told(grpc_tables().into_iter().flat_map(checked));
}
