//! The wire as a table: what is sent and what must be answered, the same by every door.
//!
//! The rows stand in `wire_table/*.toml`. A row names all fields of its answer, but for those that are the
//! framework's own: one that is not named must not be there.

// So that the lints that spare tests spare their helpers.
#![cfg(test)]

#[path = "wire_table/door.rs"]
mod door;
#[path = "wire_table/expected.rs"]
mod expected;
#[path = "wire_table/row.rs"]
mod row;
#[path = "wire_table/template.rs"]
mod template;

use std::sync::LazyLock;

use keygate_tests::Api;

use door::{Answered, Door};
use expected::difference;
use row::rows;

static AXUM: LazyLock<Vec<Answered>> = LazyLock::new(|| Door::open(Api::axum).answers(&rows()));
static ACTIX: LazyLock<Vec<Answered>> = LazyLock::new(|| Door::open(Api::actix).answers(&rows()));

/// Asserts that no row was answered otherwise than it says.
#[track_caller]
fn assert_as_told(answered: &[Answered]) {
    let wrong: Vec<_> = answered.iter().filter_map(|it| it.check().err()).collect();
    let (count, all) = (wrong.len(), answered.len());
    assert!(wrong.is_empty(), "{count} of {all} rows:\n\n{}", wrong.join("\n\n"));
    println!("{all} rows");
}

#[test]
fn axum_answers_as_the_table_says() {
    assert_as_told(&AXUM);
}

#[test]
fn actix_answers_as_the_table_says() {
    assert_as_told(&ACTIX);
}

#[test]
fn axum_and_actix_answer_alike() {
    let pairs = AXUM.iter().zip(ACTIX.iter());
    let differences: Vec<_> = pairs.filter_map(|(one, other)| difference(one, other)).collect();
    assert!(differences.is_empty(), "{}", differences.join("\n\n"));
}
