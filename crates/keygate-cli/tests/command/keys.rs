use keygate::{NewKey, verdict::Reason};
use serde_json::{Value, json};

use crate::support::{Desk, Service};

fn ids(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|key| key["id"].as_str().unwrap()).collect()
}

#[test]
fn a_list_comes_in_pages() {
    let desk = Desk::with_plans();
    let mut issued: Vec<String> =
        (0..5).map(|_| desk.issue("acme")["id"].as_str().unwrap().to_owned()).collect();
    issued.sort();
    let all = desk.run(["keys", "list", "--json"]).json();
    assert_eq!(ids(&all), issued);
    let page = desk.run(["keys", "list", "--json", "--most", "2"]).json();
    assert_eq!(ids(&page), issued[..2]);
    let rest = desk.run(["keys", "list", "--json", "--after", &issued[1]]).json();
    assert_eq!(ids(&rest), issued[2..]);
    let ran = desk.run(["keys", "list", "--most", "2"]);
    assert!(ran.stderr.contains(&format!("--after {}", issued[1])), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_as_long_as_it_takes() {
    let desk = Desk::with_plans();
    let service = Service::at(&desk.redis.url()).await;
    for _ in 0..1_001 {
        service.issue(NewKey::new("acme", "free")).await;
    }
    let list = desk.run(["keys", "list", "--consumer", "acme", "--json"]).json();
    let mut found = ids(&list);
    assert!(found.is_sorted());
    found.dedup();
    assert_eq!(found.len(), 1_001);
    let most = desk.run(["keys", "list", "--most", "700", "--json"]).json();
    assert_eq!(ids(&most), found[..700]);
}

#[test]
fn a_list_holds_what_is_asked_for() {
    let desk = Desk::with_plans();
    let [first, second] = ["acme", "globex"].map(|consumer| desk.issue(consumer));
    let [first, second] = [&first, &second].map(|key| key["id"].as_str().unwrap());
    desk.run(["keys", "move", second, "--plan", "pro"]).done();
    desk.run(["keys", "disable", first]).done();
    for (filter, found) in [
        (["--consumer", "acme"], vec![first]),
        (["--plan", "pro"], vec![second]),
        (["--status", "disabled"], vec![first]),
        (["--status", "active"], vec![second]),
        (["--consumer", "nobody"], vec![]),
    ] {
        let list = desk.run(["keys", "list", "--json"].into_iter().chain(filter)).json();
        assert_eq!(ids(&list), found, "{filter:?}");
    }
}

#[test]
fn people_see_a_table_without_any_secret() {
    let desk = Desk::with_plans();
    let key = desk.issue("acme");
    let table = desk.run(["keys", "list"]).done();
    let mut lines = table.lines();
    let header: Vec<&str> = lines.next().unwrap().split_whitespace().collect();
    assert_eq!(header, ["id", "key", "consumer", "plan", "status", "expires", "name"]);
    let row: Vec<&str> = lines.next().unwrap().split_whitespace().collect();
    let [id, hint] = ["id", "hint"].map(|field| key[field].as_str().unwrap());
    assert_eq!(row, [id, hint, "acme", "free", "active", "never"]);
    assert_eq!(lines.next(), None);
    let shown = desk.run(["keys", "show", id]).done();
    assert!(shown.contains("last used   never") && shown.contains("scheme      sha256"), "{shown}");
    assert!(!(table + &shown).contains(&key["key"].as_str().unwrap()[8..]));
}

#[test]
fn an_empty_list_is_no_failure() {
    let desk = Desk::empty();
    assert_eq!(desk.run(["keys", "list", "--json"]).json(), json!([]));
    let ran = desk.run(["keys", "list"]);
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (Some(0), "", "no keys\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn services_see_every_change() {
    let desk = Desk::with_plans();
    let service = Service::at(&desk.redis.url()).await;
    let issued = desk.issue("acme");
    let [id, key] = ["id", "key"].map(|field| issued[field].as_str().unwrap());
    assert_eq!(service.knock(key).await.unwrap().plan().name().as_str(), "free");
    let change = |words: &[&str]| desk.run(words.iter().chain(&["--json"])).json();
    assert_eq!(change(&["keys", "disable", id])["status"], "disabled");
    assert_eq!(service.refuses(key).await, Reason::DisabledKey);
    assert_eq!(change(&["keys", "enable", id])["status"], "active");
    service.admits(key).await;
    assert_eq!(change(&["keys", "move", id, "--plan", "pro"])["plan"], "pro");
    assert_eq!(change(&["keys", "revoke", id])["status"], "revoked");
    assert_eq!(service.refuses(key).await, Reason::RevokedKey);
}

#[test]
fn an_operator_is_no_replica() {
    let desk = Desk::with_plans();
    desk.issue("acme");
    desk.run(["limits", "show", "acme"]).done();
    let keys = desk.redis.keys();
    assert!(!keys.is_empty() && !keys.iter().any(|key| key.contains("replicas")), "{keys:?}");
}

#[test]
fn a_revoked_key_does_not_come_back() {
    let desk = Desk::with_plans();
    let issued = desk.issue("acme");
    let id = issued["id"].as_str().unwrap();
    let told = desk.run(["keys", "revoke", id]).done();
    assert!(told.starts_with(&format!("revoked {id} (kg_live_…")), "{told}");
    desk.run(["keys", "revoke", id]).done();
    for change in [&["keys", "enable", id][..], &["keys", "move", id, "--plan", "pro"]] {
        let line = desk.run(change).failed(1);
        assert!(line.contains("is revoked, and that is for good"), "{line}");
    }
}

#[test]
fn a_key_that_is_not_there_is_told() {
    let desk = Desk::with_plans();
    for command in ["show", "revoke", "disable", "enable", "rotate"] {
        let line = desk.run(["keys", command, "key_0123456789ABCDef"]).failed(1);
        let told = "key_0123456789ABCDef is unknown; `keygate keys list` shows all";
        assert_eq!(line, told, "{command}");
    }
}
