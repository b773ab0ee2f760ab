use std::{
    io::Read,
    process::{Command, Stdio},
};

use keygate_tests::{RedisOptions, free_port};
use rustix::process::Signal;

use crate::support::Desk;

#[test]
fn a_missing_store_names_flag_and_variable() {
    let desk = Desk::empty();
    for store in [None, Some("")] {
        let mut command = desk.command(["keys", "list"]);
        command.env_remove("KEYGATE_STORE").envs(store.map(|store| ("KEYGATE_STORE", store)));
        let line = crate::support::Ran::of(&mut command, "").failed(2);
        assert!(line.contains("--store") && line.contains("KEYGATE_STORE"), "{line}");
    }
}

#[test]
fn the_flag_wins_over_the_variable() {
    let desk = Desk::with_plans();
    let other = Desk::empty();
    let list = ["--store", &other.redis.url(), "plans", "list", "--json"];
    assert_eq!(desk.run(list).json(), serde_json::json!([]));
}

#[test]
fn prefixes_are_strangers() {
    let desk = Desk::with_plans();
    let list = ["plans", "list", "--json", "--prefix", "other"];
    assert_eq!(desk.run(list).json(), serde_json::json!([]));
}

#[test]
fn a_store_that_is_down_is_told() {
    let desk = Desk::empty();
    let nowhere = format!("redis://someone:hunter2@127.0.0.1:{}", free_port());
    let line = desk.run(["--store", &nowhere, "keys", "list"]).failed(3);
    assert!(line.contains("KEYGATE_STORE") && !line.contains("hunter2"), "{line}");
}

#[test]
fn a_store_that_says_nothing_is_not_waited_for() {
    let desk = Desk::with_plans();
    desk.redis.signal(Signal::STOP);
    for words in [&["keys", "list"][..], &["limits", "show", "acme"], &["usage", "acme"]] {
        let line = desk.run(words).failed(3);
        assert!(line.contains("see that it runs"), "{line}");
    }
    desk.redis.signal(Signal::CONT);
    desk.run(["keys", "list"]).done();
}

#[test]
fn what_is_not_ours_is_told_and_left_as_it_is() {
    let desk = Desk::empty();
    let plans = "keygate:{keys}:plans";
    let _ = desk.redis.cli(&["SET", plans, "x"]);
    let line = desk.run(["keys", "list"]).failed(3);
    assert!(line.contains(&format!("Redis key `{plans}`: a string, where")), "{line}");
    assert!(!line.contains("KEYGATE_STORE"), "{line}");
    assert_eq!(desk.redis.cli(&["GET", plans]), "x");
}

#[test]
fn a_wrong_password_is_told_and_not_repeated() {
    let desk = Desk::before(RedisOptions::default().set("requirepass", "right"));
    let port = desk.redis.port();
    for url in [format!("redis://:hunter2@127.0.0.1:{port}"), desk.redis.url()] {
        let line = desk.run(["--store", &url, "keys", "list"]).failed(3);
        assert!(!line.contains("hunter2"), "{line}");
    }
    let right = format!("redis://:right@127.0.0.1:{port}");
    desk.run(["--store", &right, "keys", "list"]).done();
}

#[test]
fn an_address_that_is_none_is_wrong_usage() {
    let desk = Desk::empty();
    for url in
        ["nonsense", "http://:hunter2@127.0.0.1", "redis://:hunter2@[", "redis://:hunter2@h:x"]
    {
        let line = desk.run(["--store", url, "keys", "list"]).failed(2);
        assert!(line.starts_with("--store, KEYGATE_STORE or --prefix: "), "{line}");
        assert!(!line.contains("hunter2"), "{line}");
    }
    let line = desk.run(["--prefix", "a{b}", "keys", "list"]).failed(2);
    assert!(line.contains("the prefix of Redis keys must"), "{line}");
}

#[test]
fn wrong_usage_names_what_is_wrong_and_where_help_is() {
    let desk = Desk::empty();
    for (line, told) in [
        ("", "name a command: keys, plans, limits, usage"),
        ("keys", "name a command: issue, list, show"),
        ("kyes list", "there is no such command; is it keys?; see `keygate --help`"),
        (
            "keys issue --plan free",
            "missing: --consumer <CONSUMER>; see `keygate keys issue --help`",
        ),
        ("keys issue --consumr acme", "there is no --consumr here; is it --consumer?"),
        ("keys list --status gone", "--status <STATUS> is one of active, disabled, revoked"),
        ("keys list --most many", "--most <COUNT>: invalid digit"),
        ("keys list --consumer", "--consumer <CONSUMER> needs a value"),
        ("keys list more", "there is an argument too many; see `keygate keys list --help`"),
        ("usage acme --by year", "--by <LENGTH> is one of minute, hour, day"),
        ("keys list --color pink", "--color <WHEN> is one of auto, always, never"),
    ] {
        let failed = desk.run(line.split_whitespace()).failed(2);
        assert!(failed.starts_with(told), "{line}: {failed}");
    }
}

#[test]
fn help_holds_no_value_of_the_environment() {
    let desk = Desk::empty().set("KEYGATE_STORE", "redis://:hunter2@host");
    for words in [&["--help"][..], &["keys", "issue", "--help"], &["help", "usage"], &["-h"]] {
        let help = desk.run(words).done();
        assert!(help.contains("KEYGATE_STORE") && !help.contains("hunter2"), "{help}");
    }
    assert!(desk.run(["--help"]).done().contains("Exit codes:"));
    assert!(desk.run(["--version"]).done().starts_with("keygate 0."));
}

#[test]
fn a_broken_pipe_ends_quietly() {
    let desk = Desk::with_plans();
    desk.issue("acme");
    for words in
        [&["keys", "list"][..], &["keys", "list", "--json"], &["plans", "export"], &["--help"]]
    {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = desk.command(words);
        let output = command.stdout(writer).stderr(Stdio::piped()).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{words:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{words:?}");
    }
}

#[test]
fn a_full_disk_is_told() {
    let desk = Desk::with_plans();
    let mut command: Command = desk.command(["plans", "export"]);
    command.stdout(std::fs::File::create("/dev/full").unwrap()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut told = String::new();
    child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1));
    assert!(told.starts_with("error: the output cannot be written"), "{told}");
}
