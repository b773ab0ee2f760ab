use keygate::verdict::Reason;
use serde_json::{Value, json};

use crate::support::{Desk, Service};

/// A key that was used three times, once for `export`, and refused once.
async fn used(desk: &Desk) -> Value {
    let service = Service::at(&desk.redis.url()).await;
    let issued = desk.issue("acme");
    let [id, key] = ["id", "key"].map(|field| issued[field].as_str().unwrap());
    service.knock(key).await.unwrap();
    service.knock(key).await.unwrap();
    service.call(key, "export").await.unwrap();
    desk.run(["keys", "disable", id]).done();
    assert_eq!(service.refuses(key).await, Reason::DisabledKey);
    service.close().await;
    issued
}

fn requests(rows: &Value, outcome: &str, operation: Option<&str>) -> u64 {
    let rows = rows.as_array().unwrap().iter();
    let asked =
        rows.filter(|row| row["outcome"] == outcome && row["operation"].as_str() == operation);
    asked.map(|row| row["requests"].as_u64().unwrap()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_is_told_by_outcome_and_operation() {
    let desk = Desk::with_plans();
    let issued = used(&desk).await;
    for subject in ["acme", issued["id"].as_str().unwrap()] {
        for by in ["minute", "hour", "day"] {
            let report = desk.run(["usage", subject, "--by", by, "--json"]).json();
            let rows = &report["usage"];
            assert!(requests(rows, "admitted", None) >= 2, "{report}");
            assert_eq!(requests(rows, "admitted", Some("export")), 1, "{report}");
            assert_eq!(requests(rows, "denied", None), 1, "{report}");
            assert_eq!(report["by"], by);
            assert!(report["last_used"].is_string() && report["since"].is_string(), "{report}");
        }
    }
    let only = desk.run(["usage", "acme", "--operation", "export", "--json"]).json();
    let [row] = &only["usage"].as_array().unwrap()[..] else { panic!("{only}") };
    let expected = json!({
        "start": row["start"], "key": issued["id"], "consumer": "acme", "operation": "export",
        "outcome": "admitted", "detail": "success", "requests": 1, "cost": 1,
        "latency_micros": row["latency_micros"],
    });
    assert_eq!(row, &expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_is_a_table_or_csv() {
    let desk = Desk::with_plans();
    used(&desk).await;
    let ran = desk.run(["usage", "acme", "--by", "day"]);
    assert!(ran.stderr.starts_with("last used: 2"), "{ran:?}");
    let table = ran.done();
    assert!(table.starts_with("from ") && table.contains("denied disabled_key"), "{table}");
    let csv = desk.run(["usage", "acme", "--by", "day", "--csv"]).done();
    let mut lines = csv.lines();
    let header = "start,key,consumer,operation,outcome,detail,requests,cost,latency_micros";
    assert_eq!(lines.next(), Some(header));
    let fields: Vec<usize> = lines.map(|line| line.split(',').count()).collect();
    assert_eq!(fields, [9, 9, 9], "{csv}");
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_is_of_the_time_asked_for() {
    let desk = Desk::with_plans();
    used(&desk).await;
    let usage = |words: &[&str]| {
        let usage = ["usage", "acme", "--json"].iter().chain(words);
        desk.run(usage).json()["usage"].as_array().unwrap().len()
    };
    assert_eq!(usage(&["--since", "1m", "--by", "day"]), 3, "of the whole day");
    assert_eq!(usage(&["--since", "2020-01-01", "--until", "2020-02-01", "--by", "day"]), 0);
    assert_eq!(usage(&["--since", "48h", "--until", "47h", "--by", "day"]), 0);
    let line = desk.run(["usage", "acme", "--since", "1h", "--until", "3h"]).failed(2);
    assert!(line.ends_with("--until must be after --since"), "{line}");
}

#[test]
fn a_key_that_was_never_used_has_no_usage() {
    let desk = Desk::with_plans();
    let issued = desk.issue("acme");
    let report = desk.run(["usage", issued["id"].as_str().unwrap(), "--json"]).json();
    assert_eq!((&report["usage"], &report["last_used"]), (&json!([]), &json!(null)));
    let ran = desk.run(["usage", "acme"]);
    assert_eq!(ran.stderr, "no usage in this time\nlast used: never\n");
    desk.run(["usage", "nobody"]).failed(1);
    let both = desk.run(["usage", "acme", "--csv", "--json"]).failed(2);
    assert!(both.contains("--json") && both.contains("--csv"), "{both}");
}
