use keygate::verdict::Reason;
use serde_json::json;

use crate::support::{Desk, Service};

const ISSUE: [&str; 6] = ["keys", "issue", "--consumer", "acme", "--plan", "free"];

#[test]
fn the_key_is_alone_on_standard_output() {
    let desk = Desk::with_plans();
    let ran = desk.run(ISSUE);
    let key = ran.stdout.strip_suffix('\n').unwrap();
    assert!(key.starts_with("kg_live_") && key.len() == 46, "{key}");
    assert!(ran.stderr.starts_with("issued key_") && !ran.stderr.contains(&key[8..]), "{ran:?}");
    assert_eq!(ran.code, Some(0));
}

#[test]
fn json_holds_the_key_once_and_what_is_known_of_it() {
    let desk = Desk::with_plans();
    let rest = "--json --name ci --scope search:* --attribute country=FR --attribute tier=a=b \
                --expires 2999-01-01T00:00:00Z --not-before 2998-12-31";
    let ran = desk.run(ISSUE.into_iter().chain(rest.split_whitespace()));
    let text = ran.stdout.clone();
    let issued = ran.json();
    let [key, hint] = ["key", "hint"].map(|field| issued[field].as_str().unwrap());
    assert_eq!(text.matches(&key[8..]).count(), 1);
    assert!(hint.starts_with("kg_live_…") && hint.ends_with(&key[42..]), "{issued}");
    assert_eq!(issued["name"], "ci");
    assert_eq!(issued["consumer"], "acme");
    assert_eq!(issued["plan"], "free");
    assert_eq!(issued["scopes"], json!(["search:*"]));
    assert_eq!(issued["attributes"], json!({"country": "FR", "tier": "a=b"}));
    assert_eq!(issued["expires"], "2999-01-01T00:00:00Z");
    assert_eq!(issued["not_before"], "2998-12-31T00:00:00Z");
    assert_eq!(issued["status"], "active");
    assert_eq!(issued["lineage"], issued["id"]);
}

#[test]
fn what_is_not_there_is_null() {
    let issued = Desk::with_plans().run(ISSUE.into_iter().chain(["--json"])).json();
    for field in ["expires", "not_before", "successor"] {
        assert_eq!(issued.get(field), Some(&json!(null)), "{field}");
    }
    assert_eq!(issued["scopes"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn services_know_the_key_at_once() {
    let desk = Desk::with_plans();
    let service = Service::at(&desk.redis.url()).await;
    let key = desk.run(ISSUE.into_iter().chain(["--attribute", "country=FR"])).done();
    let caller = service.knock(key.trim_end()).await.unwrap();
    assert_eq!((caller.consumer().as_str(), caller.attribute("country")), ("acme", Some("FR")));
    let early = desk.run(ISSUE.into_iter().chain(["--not-before", "1h"])).done();
    assert_eq!(service.knock(early.trim_end()).await.unwrap_err(), Reason::KeyNotYetValid);
}

#[test]
fn the_form_of_the_key_can_be_said() {
    let desk = Desk::with_plans();
    let form = ["--format-prefix", "acme", "--env", "test"];
    let key = desk.run(ISSUE.into_iter().chain(form)).done();
    assert!(key.starts_with("acme_test_"), "{key}");
    let bad = desk.run(ISSUE.into_iter().chain(["--env", "Live"])).failed(2);
    assert!(bad.starts_with("--env: environment: given \"Live\"; right is"), "{bad}");
}

#[test]
fn scopes_beyond_the_plan_are_told() {
    let desk = Desk::with_plans();
    let ran = desk.run(ISSUE.into_iter().chain(["--scope", "orders:*", "--scope", "search:all"]));
    assert!(
        ran.stderr.contains("plan free does not cover, and so withholds: orders:*\n"),
        "{ran:?}"
    );
}

#[test]
fn an_unknown_plan_is_refused_with_those_there_are() {
    let unknown = ["keys", "issue", "--consumer", "acme", "--plan", "gold"];
    let line = Desk::with_plans().run(unknown).failed(1);
    assert_eq!(line, "plan `gold` is unknown; the plans are: free, pro");
    let line = Desk::empty().run(unknown).failed(1);
    assert!(line.contains("no plans yet; `keygate plans apply FILE`"), "{line}");
}

#[test]
fn mistakes_name_their_flag() {
    let desk = Desk::with_plans();
    for (flag, value) in [
        ("--scope", "a b"),
        ("--expires", "90"),
        ("--expires", "2020-01-01"),
        ("--expires", "9000y"),
        ("--not-before", "soon"),
        ("--attribute", "country"),
        ("--name", &"x".repeat(300)),
    ] {
        let line = desk.run(ISSUE.into_iter().chain([flag, value])).failed(2);
        assert!(line.starts_with(flag), "{flag} {value}: {line}");
    }
    let twice = ["--attribute", "country=FR", "--attribute", "country=DE"];
    let line = desk.run(ISSUE.into_iter().chain(twice)).failed(2);
    assert_eq!(line, "--attribute: `country` is given twice; give it once");
    assert_eq!(desk.run(["keys", "list", "--json"]).json(), json!([]));
}

#[test]
fn a_key_that_cannot_be_shown_is_told_to_be_lost() {
    let desk = Desk::with_plans();
    for json in [None, Some("--json")] {
        let mut command = desk.command(ISSUE.into_iter().chain(json));
        command.stdout(std::fs::File::create("/dev/full").unwrap());
        let output = command.output().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(told.contains("its text is lost") && told.contains("keys rotate key_"), "{told}");
    }
}
