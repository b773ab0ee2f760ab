//! What the quickstart says when it is started wrongly: it ends, shows no key, and tells what is
//! right.

use std::net::TcpListener;

use keygate_tests::{Ended, Quickstart};

/// Asserts that it failed as a program should, and that its message says all of this.
#[track_caller]
fn assert_failed(ended: &Ended, expected: &[&str]) {
    let Ended { status, stdout, stderr } = ended;
    assert_eq!((status.code(), stdout.as_str()), (Some(1), ""), "{stderr}");
    for text in expected {
        assert!(stderr.contains(text), "lacks `{text}`:\n{stderr}");
    }
    assert!(!stderr.contains("panicked"), "{stderr}");
}

/// Starts it with this file of plans; the message names the file and says all of this.
#[track_caller]
fn assert_refused(plans: impl AsRef<[u8]>, expected: &[&str]) {
    let quickstart = Quickstart::new().plans(plans);
    let file = format!("KEYGATE_PLANS: {}: ", quickstart.plan_file().display());
    let ended = quickstart.ended();
    assert_failed(&ended, &[file.as_str()]);
    assert_failed(&ended, expected);
}

#[test]
fn an_unknown_argument_is_refused_with_what_is_known() {
    for argument in ["--jsn", "json", "", "--json=true"] {
        let ended = Quickstart::new().arg("--json").arg(argument).ended();
        assert_failed(&ended, &[&format!("unknown argument `{argument}`"), "--json"]);
    }
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let missing = Quickstart::new();
    let path = missing.plan_file();
    let named = format!("KEYGATE_PLANS: {}: ", path.display());
    assert_failed(&missing.env("KEYGATE_PLANS", &path).ended(), &[&named, "No such file"]);

    let folder = Quickstart::new();
    let path = folder.plan_file().parent().unwrap().to_owned();
    let named = format!("KEYGATE_PLANS: {}: ", path.display());
    assert_failed(&folder.env("KEYGATE_PLANS", &path).ended(), &[&named, "directory"]);

    assert_refused(b"[plans.free]\n# \xFF\n", &["UTF-8"]);
    assert_failed(&Quickstart::new().env("KEYGATE_PLANS", "").ended(), &["KEYGATE_PLANS"]);
}

#[test]
fn each_mistake_in_a_limit_names_plan_limit_line_field_and_what_is_right() {
    let cases = [
        (r#"quota = 0, per = "day""#, "field `quota` is 0; give at least 1"),
        (r#"rate = "0/s""#, "field `rate` is 0; give at least 1"),
        (r#"rate = "1/s", burst = 0"#, "field `burst` is 0; give at least 1"),
        (
            r#"quota = 9007199254740993, per = "day""#,
            "field `quota` is too large to count exactly; at most 9007199254740991",
        ),
        (r#"quota = 99999999999999999999, per = "day""#, "field `quota`"),
        (r#"quota = -1, per = "day""#, "field `quota`: invalid value: integer `-1`"),
        (
            r#"rate = "18446744073709551616/s""#,
            "field `rate` is `18446744073709551616/s`; write a whole number",
        ),
        (r#"rate = "4294967296000001/s""#, "field `rate` is too large to count exactly; at most"),
        (
            r#"rate = "1/day", burst = 104250"#,
            "field `burst` is too large to count exactly; at most 104249",
        ),
        (
            r#"rate = "10/fortnight""#,
            "field `rate` is `10/fortnight`; write a whole number and a unit of s, min, h or day",
        ),
        (
            r#"quota = 1, per = "day", zone = "Mars/Olympus""#,
            "field `zone` is `Mars/Olympus`; write a zone of the IANA database, such as \"Europe/Paris\"",
        ),
        (
            r#"quota = 1, per = "month", anchor = 0"#,
            "field `anchor` is `0`; write a day from 1 to 31",
        ),
        (r#"quota = 1"#, "field `per` is missing"),
        (
            r#"rate = "1/s", quota = 1, per = "day""#,
            "one of `rate` (with `burst`), `quota` (with `per`) and `concurrency`; this one has several",
        ),
        (
            r#"rate = "1/s", brust = 3"#,
            "unknown field `brust`, expected one of `name`, `rate`, `burst`",
        ),
        (r#"rate = 10"#, "field `rate`: invalid type"),
    ];
    for (fields, expected) in cases {
        let text = format!("[plans.free]\nlimits = [\n  {{ name = \"daily\", {fields} }},\n]\n");
        assert_refused(text, &["plan `free`, limit `daily` (line 3): ", expected]);
    }
}

#[test]
fn mistakes_outside_a_limit_are_told_by_plan_and_line() {
    let twice = "[plans.pro]\nlimits = [\n  { name = \"a\", rate = \"1/s\" },\n  { name = \"a\", rate = \"2/s\" },\n]\n";
    assert_refused(twice, &["plan `pro`, limit `a` (line 4): field `name`", "names of their own"]);
    assert_refused("[plans.free]\n[plans.free]\n", &["line 2", "duplicate key"]);
    assert_refused(
        "[plans.free]\nscope = []\n",
        &["plan `free` (line 2): unknown field `scope`, expected `scopes`"],
    );
    assert_refused("[plan.free]\n", &["line 1: unknown field `plan`, expected `plans`"]);
    assert_refused("[plans.free]\nscopes = [\"a b\"]\n", &["plan `free` (line 2): field `scopes`"]);
    assert_refused("[plans.\"a b\"]\n", &["`a b` is no name"]);
}

#[test]
fn what_is_no_toml_is_told_with_its_line() {
    assert_refused("[plans.free\n", &["not TOML", "line 1"]);
    assert_refused("[plans.free]\nlimits = [\n", &["not TOML", "line"]);
    assert_refused("[plans.free]\nscopes = 'x\n", &["not TOML", "line 2"]);
}

#[test]
fn an_address_in_use_is_told() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let ended = Quickstart::new().env("KEYGATE_ADDR", &address).ended();
    assert_failed(&ended, &[&format!("KEYGATE_ADDR: cannot listen on `{address}`"), "in use"]);
}

#[test]
fn an_address_that_is_none_is_told() {
    for address in ["nonsense", "127.0.0.1", "127.0.0.1:99999", "127.0.0.1:http", ""] {
        let ended = Quickstart::new().env("KEYGATE_ADDR", address).ended();
        assert_failed(&ended, &[&format!("KEYGATE_ADDR: cannot listen on `{address}`: ")]);
    }
}

#[test]
fn a_failure_is_told_whatever_is_logged() {
    for level in ["off", "keygate=debug", "trace"] {
        let ended = Quickstart::new().env("RUST_LOG", level).arg("--jsn").ended();
        assert_failed(&ended, &["unknown argument `--jsn`"]);
    }
}
