//! What a person at a terminal meets. `script` is the terminal.

use std::process::Command;

use keygate_tests::RedisServer;

use crate::support::{Desk, Ran};

const ESCAPE: char = '\u{1b}';

/// Runs the program at a terminal, where somebody types this.
#[track_caller]
fn at_terminal(redis: &RedisServer, arguments: &str, typed: &str) -> Ran {
    let program = env!("CARGO_BIN_EXE_keygate");
    let mut command = Command::new("script");
    command.args(["-qec", &format!("'{program}' {arguments}"), "/dev/null"]);
    command.env_remove("NO_COLOR").env("TERM", "xterm").env("KEYGATE_STORE", redis.url());
    Ran::of(&mut command, typed)
}

#[test]
fn what_is_for_good_is_asked_first() {
    let desk = Desk::with_plans();
    let id = desk.issue("acme")["id"].as_str().unwrap().to_owned();
    let status = || desk.run(["keys", "show", &id, "--json"]).json()["status"].clone();
    let no = at_terminal(&desk.redis, &format!("keys revoke {id}"), "n\n");
    assert!(no.stdout.contains(&format!("End {id} (kg_live_…")), "{no:?}");
    assert!(no.stdout.contains("nothing was changed"), "{no:?}");
    assert_eq!((no.code, status()), (Some(1), "active".into()));
    let yes = at_terminal(&desk.redis, &format!("keys revoke {id}"), "y\n");
    assert_eq!((yes.code, status()), (Some(0), "revoked".into()), "{yes:?}");
}

#[test]
fn yes_is_not_asked() {
    let desk = Desk::with_plans();
    let id = desk.issue("acme")["id"].as_str().unwrap().to_owned();
    for arguments in [format!("limits reset {id} --yes"), format!("keys revoke {id} --yes")] {
        let ran = at_terminal(&desk.redis, &arguments, "");
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert!(!ran.stdout.contains("[y/N]"), "{ran:?}");
    }
}

#[test]
fn resets_and_edits_of_plans_are_asked_first() {
    let desk = Desk::with_plans();
    desk.issue("acme");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("plans.toml");
    std::fs::write(&file, "[plans.free]\n").unwrap();
    let apply = format!("plans apply '{}'", file.display());
    for (arguments, question) in [
        ("limits reset acme", "Forget what acme used with its 1 key? [y/N]"),
        (&apply, "Apply this? [y/N]"),
    ] {
        let ran = at_terminal(&desk.redis, arguments, "\n");
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(ran.stdout.contains(question), "{ran:?}");
    }
    assert_eq!(desk.run(["plans", "list", "--json"]).json()[1]["name"], "pro");
    assert_eq!(at_terminal(&desk.redis, &apply, "yes\n").code, Some(0));
    assert_eq!(desk.run(["plans", "list", "--json"]).json()[1], serde_json::Value::Null);
}

#[test]
fn colours_are_for_terminals() {
    let desk = Desk::with_plans();
    let seen = at_terminal(&desk.redis, "plans list", "");
    assert!(seen.stdout.contains(ESCAPE), "{seen:?}");
    for arguments in ["plans list --color never", "--color=never keys", "--help --color never"] {
        let plain = at_terminal(&desk.redis, arguments, "");
        assert!(!plain.stdout.contains(ESCAPE), "{plain:?}");
    }
    for words in [&["plans", "list"][..], &["--help"]] {
        assert!(!desk.run(words).done().contains(ESCAPE));
    }
    assert!(!desk.run(["keys"]).stderr.contains(ESCAPE));
    assert!(desk.run(["plans", "list", "--color", "always"]).done().contains(ESCAPE));
    assert!(desk.run(["keys", "--color", "always"]).stderr.contains(ESCAPE));
}

#[test]
fn no_color_is_respected() {
    let desk = Desk::with_plans();
    let program = env!("CARGO_BIN_EXE_keygate");
    let mut command = Command::new("script");
    command.args(["-qec", &format!("'{program}' plans list"), "/dev/null"]);
    command.env("NO_COLOR", "1").env("TERM", "xterm").env("KEYGATE_STORE", desk.redis.url());
    assert!(!Ran::of(&mut command, "").stdout.contains(ESCAPE));
}

#[test]
fn a_terminal_gets_the_key_and_what_it_is() {
    let desk = Desk::with_plans();
    let ran = at_terminal(&desk.redis, "keys issue --consumer acme --plan free", "");
    assert!(ran.stdout.contains("kg_live_") && ran.stdout.contains("shown once"), "{ran:?}");
}
