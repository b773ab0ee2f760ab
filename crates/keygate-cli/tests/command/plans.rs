use serde_json::json;

use crate::support::Desk;

const ONE: &str = "[plans.one]\nlimits = [{ name = \"daily\", quota = 10, per = \"day\" }]\n";
const TWO: &str = "[plans.two]\n# no limits\n";

#[test]
fn an_edit_is_told_and_put_in_force() {
    let desk = Desk::empty();
    let ran = desk.fed(ONE, ["plans", "apply", "-"]);
    assert_eq!(ran.stderr, "in force, as revision 1\n");
    assert_eq!(ran.done(), "+ one\n");
    let both = format!("{}{TWO}", ONE.replace("10", "20"));
    assert_eq!(desk.fed(&both, ["plans", "apply", "-"]).done(), "+ two\n~ one\n");
    assert_eq!(desk.fed(ONE, ["plans", "apply", "-"]).done(), "~ one\n- two\n");
    assert_eq!(desk.run(["plans", "export"]).done(), ONE);
    let exported = desk.run(["plans", "export", "--json"]).json();
    assert_eq!(exported, json!({"revision": 3, "text": ONE}));
}

#[test]
fn json_tells_an_edit_too() {
    let desk = Desk::empty();
    let told = desk.fed(ONE, ["plans", "apply", "-", "--json"]).json();
    let expected = json!({
        "dry_run": false, "revision": 1, "added": ["one"], "changed": [], "removed": []
    });
    assert_eq!(told, expected);
}

#[test]
fn the_same_text_is_no_edit() {
    let desk = Desk::empty();
    desk.fed(ONE, ["plans", "apply", "-"]).done();
    let again = desk.fed(ONE, ["plans", "apply", "-"]);
    assert_eq!((again.stdout.as_str(), again.code), ("", Some(0)));
    assert_eq!(again.stderr, "these plans are in force already\n");
    let comment = format!("# new\n{ONE}");
    assert_eq!(desk.fed(&comment, ["plans", "apply", "-"]).done(), "");
    assert_eq!(desk.run(["plans", "export"]).done(), comment);
}

#[test]
fn a_dry_run_changes_nothing() {
    let desk = Desk::empty();
    desk.fed(ONE, ["plans", "apply", "-"]).done();
    let ran = desk.fed(TWO, ["plans", "apply", "-", "--dry-run"]);
    assert_eq!((ran.stdout.as_str(), ran.code), ("+ two\n- one\n", Some(0)));
    assert_eq!(desk.run(["plans", "export"]).done(), ONE);
    let told = desk.fed(TWO, ["plans", "apply", "-", "--dry-run", "--json"]).json();
    assert_eq!((&told["dry_run"], &told["revision"]), (&json!(true), &json!(1)));
}

#[test]
fn a_plan_with_keys_is_not_removed_unless_forced() {
    let desk = Desk::with_plans();
    let issued = desk.issue("acme");
    let line = desk.fed(ONE, ["plans", "apply", "-"]).failed(1);
    assert!(line.starts_with("plan free would be removed, but has 1 key;"), "{line}");
    let line = desk.fed(ONE, ["plans", "apply", "-", "--dry-run"]).failed(1);
    assert!(line.contains("--force"), "{line}");
    assert_eq!(desk.fed(ONE, ["plans", "apply", "-", "--force"]).done(), "+ one\n- free\n- pro\n");
    let ran = desk.run(["limits", "show", issued["id"].as_str().unwrap()]);
    assert!(ran.stderr.starts_with("plan free is not there"), "{ran:?}");
}

#[test]
fn a_revoked_key_holds_no_plan() {
    let desk = Desk::with_plans();
    let issued = desk.issue("acme");
    desk.run(["keys", "revoke", issued["id"].as_str().unwrap()]).done();
    desk.fed(ONE, ["plans", "apply", "-"]).done();
}

#[test]
fn a_mistake_is_told_with_its_place_before_anything_is_sent() {
    let desk = Desk::empty();
    let wrong = "[plans.one]\nlimits = [\n  { name = \"daily\", quota = 0, per = \"day\" },\n]\n";
    let line = desk.fed(wrong, ["plans", "apply", "-"]).failed(1);
    let told =
        "standard input: plan `one`, limit `daily` (line 3): field `quota` is 0; give at least 1";
    assert_eq!(line, told);
    let line = desk.fed("[plans.one\n", ["plans", "apply", "-"]).failed(1);
    assert!(line.contains("line 1, column 11"), "{line}");
    let nowhere = ["--store", "redis://127.0.0.1:1", "plans", "apply", "-"];
    desk.fed(wrong, nowhere).failed(1);
    let line = desk.run(["plans", "apply", "/nowhere/plans.toml"]).failed(1);
    assert!(line.starts_with("/nowhere/plans.toml cannot be read: No such file"), "{line}");
}

#[test]
fn plans_are_shown_as_they_were_written() {
    let desk = Desk::with_plans();
    desk.issue("acme");
    let list = desk.run(["plans", "list", "--json"]).json();
    assert_eq!((&list[0]["name"], &list[0]["keys"]), (&json!("free"), &json!(1)));
    assert_eq!((&list[1]["name"], &list[1]["keys"]), (&json!("pro"), &json!(0)));
    let plan = desk.run(["plans", "show", "free", "--json"]).json();
    assert_eq!(plan, list[0]);
    let zone = keygate_tests::calm_zone();
    let daily = json!({
        "name": "daily", "rate": null, "burst": null, "quota": 100, "per": "day", "zone": zone, "concurrency": null,
        "partition": "consumer", "operations": [], "on_failure": "closed",
    });
    assert_eq!(plan["limits"][0], daily);
    assert_eq!(plan["limits"][1]["rate"], "20/day");
    let table = desk.run(["plans", "list"]).done();
    assert!(
        table.lines().nth(1).unwrap().starts_with("free  1     orders:read search:*  daily: 100")
    );
    let table = desk.run(["plans", "show", "free"]).done();
    assert!(table.contains("\nburst   20/day (burst 20)"), "{table}");
    let line = desk.run(["plans", "show", "gold"]).failed(1);
    assert_eq!(line, "plan gold is unknown; the plans are: free, pro");
}

#[test]
fn before_the_first_plans_there_are_none() {
    let desk = Desk::empty();
    assert_eq!(desk.run(["plans", "list", "--json"]).json(), json!([]));
    let ran = desk.run(["plans", "list"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), ""));
    desk.run(["plans", "export"]).failed(1);
}
