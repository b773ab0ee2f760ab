use serde_json::{Value, json};

use crate::support::{Desk, Service};

/// `(limit, key, used, remaining)` of each.
fn told(list: &Value) -> Vec<(&str, Option<&str>, u64, u64)> {
    let number = |row: &Value, field: &str| row[field].as_u64().unwrap();
    let rows = list.as_array().unwrap().iter();
    rows.map(|row| {
        let limit = row["limit"].as_str().unwrap();
        (limit, row["key"].as_str(), number(row, "used"), number(row, "remaining"))
    })
    .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_used_and_left_is_shown_and_reset() {
    let desk = Desk::with_plans();
    let service = Service::at(&desk.redis.url()).await;
    let [one, two] = [desk.issue("acme"), desk.issue("acme")];
    let [one_id, two_id] = [&one, &two].map(|key| key["id"].as_str().unwrap());
    for key in [&one, &one, &two] {
        service.knock(key["key"].as_str().unwrap()).await.unwrap();
    }
    service.call(two["key"].as_str().unwrap(), "export").await.unwrap();

    let show = |subject: &str| desk.run(["limits", "show", subject, "--json"]).json();
    let daily = ("daily", None, 4, 96);
    let export = ("export", None, 1, 4);
    let [of_one, of_two] = [("burst", Some(one_id), 2, 18), ("burst", Some(two_id), 2, 18)];
    assert_eq!(told(&show(one_id)), [daily, export, of_one]);
    assert_eq!(told(&show(one_id)), [daily, export, of_one], "showing consumes nothing");
    let mut keys = [of_one, of_two];
    keys.sort();
    assert_eq!(told(&show("acme")), [&[daily, export][..], &keys].concat());

    desk.run(["limits", "reset", one_id]).done();
    assert_eq!(told(&show(one_id)), [daily, export, ("burst", Some(one_id), 0, 20)]);
    let reset = desk.run(["limits", "reset", "acme", "--json"]).json();
    assert_eq!(reset, json!({"reset": "acme"}));
    let left = [("daily", None, 0, 100), ("export", None, 0, 5), of_two];
    assert_eq!(told(&show(two_id)), left);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_key_is_one_with_its_predecessor() {
    let desk = Desk::with_plans();
    let service = Service::at(&desk.redis.url()).await;
    let old = desk.issue("acme");
    service.knock(old["key"].as_str().unwrap()).await.unwrap();
    let old = old["id"].as_str().unwrap();
    let new = desk.run(["keys", "rotate", old, "--json"]).json();
    let new = new["id"].as_str().unwrap();
    let burst = |id: &str| told(&desk.run(["limits", "show", id, "--json"]).json())[2].2;
    assert_eq!((burst(old), burst(new)), (1, 1));
    desk.run(["limits", "reset", new]).done();
    assert_eq!((burst(old), burst(new)), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_is_shown_with_all_that_is_known_of_it() {
    let desk = Desk::with_plans();
    let service = Service::at(&desk.redis.url()).await;
    let issued = desk.issue("acme");
    service.knock(issued["key"].as_str().unwrap()).await.unwrap();
    let list = desk.run(["limits", "show", "acme", "--json"]).json();
    let burst = &list[2];
    assert_eq!((&burst["plan"], &burst["partition"]), (&json!("free"), &json!("key")));
    assert_eq!((&burst["consumer"], &burst["key"]), (&json!("acme"), &issued["id"]));
    assert_eq!((&burst["rule"], &burst["capacity"]), (&json!("20/day (burst 20)"), &json!(20)));
    assert!((4_300..=4_320).contains(&burst["reset_seconds"].as_u64().unwrap()), "{burst}");
    assert!(burst["reset"].as_str().unwrap().ends_with('Z'), "{burst}");
    let table = desk.run(["limits", "show", "acme"]).done();
    let header: Vec<&str> = table.lines().next().unwrap().split("  ").collect();
    let header: Vec<&str> = header.into_iter().map(str::trim).filter(|it| !it.is_empty()).collect();
    assert_eq!(header, ["plan", "limit", "of", "allows", "used", "remaining", "more in"]);
    assert_eq!(table.lines().count(), 4, "{table}");
}

#[test]
fn revoked_keys_and_rotated_ones_do_not_count_twice() {
    let desk = Desk::with_plans();
    let [old, gone] = [desk.issue("acme"), desk.issue("acme")];
    let [old, gone] = [&old, &gone].map(|key| key["id"].as_str().unwrap());
    desk.run(["keys", "rotate", old]).done();
    desk.run(["keys", "revoke", gone]).done();
    let list = desk.run(["limits", "show", "acme", "--json"]).json();
    let expected = [("daily", None, 0, 100), ("export", None, 0, 5), ("burst", Some(old), 0, 20)];
    assert_eq!(told(&list), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_calls_without_a_key_is_found_by_address() {
    let desk = Desk::with_plans();
    let service = Service::with(&desk.redis.url(), |gate| gate.anonymous("free")).await;
    for address in ["203.0.113.7", "203.0.113.7", "203.0.113.8", "2001:db8::1", "2001:db8::2"] {
        service.visit(address).await.unwrap();
    }
    let show =
        |subject: &str| desk.run(["limits", "show", subject, "--plan", "free", "--json"]).json();
    let used = |subject: &str| -> Vec<u64> { told(&show(subject)).iter().map(|it| it.2).collect() };
    assert_eq!(used("ip:203.0.113.7"), [2, 0, 2], "daily, export, and burst, which is by key");
    assert_eq!(used("ip:2001:db8::7"), [2, 0, 2], "one network, one caller");
    assert_eq!(used("ip:2001:db8::/64"), [2, 0, 2]);

    let reset = desk.run(["limits", "reset", "ip:203.0.113.7", "--json"]).json();
    assert_eq!(reset, json!({"reset": "ip:203.0.113.7"}));
    assert_eq!(used("ip:203.0.113.7"), [0, 0, 0]);
    assert_eq!(used("ip:203.0.113.8"), [1, 0, 1]);
    let list = show("ip:2001:db8::7");
    assert_eq!(list[0]["consumer"], "ip:2001:db8::/64");
}

#[test]
fn an_address_is_nobody_without_a_plan_and_has_no_usage() {
    let desk = Desk::with_plans();
    let line = desk.run(["limits", "show", "ip:203.0.113.7"]).failed(2);
    assert!(line.starts_with("no key names the plan of ip:203.0.113.7; add --plan"), "{line}");
    let line = desk.run(["usage", "ip:203.0.113.7"]).failed(2);
    assert!(line.starts_with("there is no usage of ip:203.0.113.7"), "{line}");
    let line = desk.run(["limits", "reset", "ip:203.0.113"]).failed(2);
    assert!(line.contains("`203.0.113` is no address; write one such as"), "{line}");
    let ran = desk.run(["limits", "show", "ip:203.0.113.7", "--plan", "gone"]);
    assert_eq!(ran.done(), "");
}

#[test]
fn limits_of_one_plan_are_shown_alone() {
    let desk = Desk::with_plans();
    desk.issue("acme");
    let of = |plan: &str| desk.run(["limits", "show", "acme", "--plan", plan, "--json"]).json();
    assert_eq!(of("free").as_array().unwrap().len(), 3);
    assert_eq!(of("other").as_array().unwrap().len(), 0);
}

#[test]
fn whom_nobody_knows_is_told() {
    let desk = Desk::with_plans();
    for command in ["show", "reset"] {
        let line = desk.run(["limits", command, "nobody"]).failed(1);
        assert!(line.starts_with("this consumer has no keys"), "{line}");
        let line = desk.run(["limits", command, "key_0123456789ABCDef"]).failed(1);
        assert!(line.starts_with("key_0123456789ABCDef is unknown"), "{line}");
    }
}
