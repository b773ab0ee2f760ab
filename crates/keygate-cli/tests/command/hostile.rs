use std::{ffi::OsString, os::unix::ffi::OsStringExt};

use crate::support::Desk;

const KEY: &str = "kg_test_0123456789ABCDEFGHIJKLMNOPQRSTUV3Gorfl";

#[test]
fn no_id_is_too_odd_for_an_answer() {
    let desk = Desk::with_plans();
    let long = "x".repeat(10_000);
    let texts = [
        "",
        "{",
        "a}b{c",
        "key_",
        "key_{}",
        "a\r\nDEL *",
        "\u{1b}[31mred",
        "🔑",
        "%s%n",
        "../..",
        "$(id)",
        "'\"\\",
        "--",
        "-",
        "*",
        "key_0123456789ABCDeé",
        KEY,
        &long,
    ];
    for text in texts {
        for before in [
            &["keys", "show"][..],
            &["keys", "revoke"],
            &["keys", "rotate"],
            &["keys", "list", "--after"],
            &["plans", "show"],
            &["limits", "show"],
            &["limits", "reset"],
            &["usage"],
            &["keys", "issue", "--plan", "gone", "--consumer"],
            &["keys", "issue", "--consumer", "acme", "--plan"],
            &["keys", "issue", "--consumer", "acme", "--plan", "free", "--scope"],
            &["keys", "issue", "--consumer", "acme", "--plan", "free", "--expires"],
            &["keys", "issue", "--consumer", "acme", "--plan", "free", "--attribute"],
            &["plans", "apply", "--dry-run"],
        ] {
            if (before, text) == (&["plans", "apply", "--dry-run"], "-") {
                continue;
            }
            let ran = desk.run(before.iter().chain([&text]));
            let code = ran.code.unwrap_or_else(|| panic!("{before:?} {text:?}: {ran:?}"));
            assert!((0..=2).contains(&code), "{before:?} {text:?}: {ran:?}");
            if code != 0 {
                ran.failed(code);
            }
        }
    }
}

#[test]
fn the_text_of_a_key_is_refused_wherever_it_stands_and_not_repeated() {
    let desk = Desk::with_plans();
    let [assigned, attribute, name, padded] =
        ["--consumer=", "--attribute=token=", "--name=key of acme: ", " "]
            .map(|before| format!("{before}{KEY}"));
    let issue = ["keys", "issue", "--consumer", "acme", "--plan", "free"];
    for words in [
        &["keys", "show", KEY][..],
        &["limits", "show", KEY],
        &["plans", "show", KEY],
        &["keys", "list", &assigned],
        &["limits", "show", &padded],
        &[&issue[..], &[&attribute]].concat(),
        &[&issue[..], &[&name]].concat(),
        &["keys", "list", KEY, "--nonsense"],
        &[KEY],
    ] {
        let line = desk.run(words).failed(2);
        assert!(line.contains("secret text of a key"), "{line}");
        assert!(!line.contains("0123456789"), "{line}");
    }
}

#[test]
fn what_people_wrote_cannot_move_a_terminal() {
    let desk = Desk::with_plans();
    let name = "line\r\nbreak \u{1b}[2J \u{202e}";
    let issue = ["keys", "issue", "--consumer", "a{b}:*", "--plan", "free", "--name", name];
    let attribute = ["--attribute", "note=\u{1b}]0;title\u{7}", "--json"];
    let issued = desk.run(issue.into_iter().chain(attribute)).json();
    assert_eq!(
        (issued["name"].as_str(), issued["consumer"].as_str()),
        (Some(name), Some("a{b}:*"))
    );
    let id = issued["id"].as_str().unwrap();
    for words in [&["keys", "list"][..], &["keys", "show", id]] {
        let shown = desk.run(words).done();
        assert!(shown.contains(r"line\r\nbreak \u{1b}[2J \u{202e}"), "{shown}");
        assert!(!shown.contains(['\u{1b}', '\r', '\u{7}', '\u{202e}']), "{shown:?}");
    }
    desk.run(["limits", "show", "a{b}:*"]).done();
    desk.run(["limits", "reset", "a{b}:*"]).done();
    desk.run(["usage", "a{b}:*"]).done();
}

#[test]
fn arguments_that_are_no_text_are_refused() {
    let desk = Desk::empty();
    let odd = OsString::from_vec(vec![b'a', 0xFF]);
    for words in [vec!["keys".into(), "show".into(), odd.clone()], vec![odd.clone()]] {
        desk.run(words).failed(2);
    }
}
