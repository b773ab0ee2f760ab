use keygate::verdict::Reason;
use serde_json::{Value, json};

use crate::support::{Desk, Service};

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn both_keys_work_until_the_grace_is_over() {
    let desk = Desk::with_plans();
    let service = Service::at(&desk.redis.url()).await;
    let old = desk.issue("acme");
    let new = desk.run(["keys", "rotate", text(&old, "id"), "--grace", "24h", "--json"]).json();
    assert_eq!(new["predecessor"], old["id"]);
    assert_eq!(new["lineage"], old["lineage"]);
    assert_eq!(new["scopes"], json!(["orders:read", "search:*"]));
    let shown = desk.run(["keys", "show", text(&old, "id"), "--json"]).json();
    assert_eq!((&shown["successor"], &shown["expires"]), (&new["id"], &new["grace_until"]));
    for key in [&old, &new] {
        service.knock(text(key, "key")).await.unwrap();
    }
    let last = desk.run(["keys", "rotate", text(&new, "id"), "--grace", "0s", "--json"]).json();
    assert_eq!(service.refuses(text(&new, "key")).await, Reason::ExpiredKey);
    service.knock(text(&last, "key")).await.unwrap();
}

#[test]
fn the_key_is_alone_on_standard_output() {
    let desk = Desk::with_plans();
    let old = desk.issue("acme");
    let ran = desk.run(["keys", "rotate", text(&old, "id")]);
    let key = ran.stdout.strip_suffix('\n').unwrap();
    assert!(key.starts_with("kg_live_") && key.len() == 46, "{key}");
    assert!(!ran.stderr.contains(&key[8..]), "{ran:?}");
    assert!(ran.stderr.contains(&format!("{} works until 2", text(&old, "id"))), "{ran:?}");
}

#[test]
fn the_grace_never_goes_beyond_the_expiry() {
    let desk = Desk::with_plans();
    let issue = ["keys", "issue", "--consumer", "acme", "--plan", "free", "--expires", "1h"];
    let old = desk.run(issue.into_iter().chain(["--json"])).json();
    let new = desk.run(["keys", "rotate", text(&old, "id"), "--grace", "52w", "--json"]).json();
    assert_eq!((&new["grace_until"], &new["expires"]), (&old["expires"], &old["expires"]));
}

#[test]
fn the_successor_has_the_form_of_its_predecessor() {
    let desk = Desk::with_plans();
    let issue = ["keys", "issue", "--consumer", "acme", "--plan", "free", "--env", "test"];
    let old = desk.run(issue.into_iter().chain(["--format-prefix", "acme", "--json"])).json();
    let new = desk.run(["keys", "rotate", text(&old, "id"), "--json"]).json();
    assert!(text(&new, "key").starts_with("acme_test_"), "{new}");
    let id = text(&new, "id");
    let live = desk.run(["keys", "rotate", id, "--env", "live", "--json"]).json();
    assert!(text(&live, "key").starts_with("acme_live_"), "{live}");
}

#[test]
fn what_cannot_be_rotated_is_told() {
    let desk = Desk::with_plans();
    let old = desk.issue("acme");
    let id = text(&old, "id");
    desk.run(["keys", "rotate", id]).done();
    let line = desk.run(["keys", "rotate", id]).failed(1);
    assert!(line.contains("was rotated to key_") && line.ends_with("rotate that one"), "{line}");
    let line = desk.run(["keys", "rotate", "key_0123456789ABCDef"]).failed(1);
    assert!(line.starts_with("key_0123456789ABCDef is unknown"), "{line}");
    let line = desk.run(["keys", "rotate", id, "--grace", "1 fortnight"]).failed(2);
    assert!(line.starts_with("--grace"), "{line}");
    let other = desk.issue("acme");
    let line = desk.run(["keys", "rotate", text(&other, "id"), "--grace", "9000y"]).failed(2);
    assert!(line.starts_with("--grace") && line.contains("calendar"), "{line}");
}
