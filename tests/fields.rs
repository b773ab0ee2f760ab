//! The RateLimit fields of real responses, read by a parser of structured fields that is not ours.

// So that the lints that spare tests spare their helpers.
#![cfg(test)]

use keygate_tests::{Answer, Call, Quickstart, Server, calm_zone, parse_fields};
use serde_json::{Value, json};

/// One limit, as both fields tell it.
#[derive(Debug, PartialEq)]
struct Told {
    name: String,
    q: u64,
    w: u64,
    r: u64,
    t: u64,
}

/// What the fields of each response say, after asserting all that holds for every response.
#[track_caller]
fn told(answers: &[Answer]) -> Vec<Vec<Told>> {
    let parsed = parse_fields(answers);
    assert_eq!(parsed.len(), answers.len());
    parsed.iter().map(limits).collect()
}

#[track_caller]
fn limits(fields: &Value) -> Vec<Told> {
    let policies = fields["ratelimit-policy"].as_array().unwrap();
    let readings = fields["ratelimit"].as_array().unwrap();
    assert_eq!(policies.len(), readings.len(), "{fields}");
    let limits: Vec<Told> =
        policies.iter().zip(readings).map(|pair| limit(pair.0, pair.1)).collect();
    for limit in &limits {
        assert!(limit.r <= limit.q && limit.w > 0 && limit.q > 0, "{limit:?}");
        // More is on its way whenever something is used, and no later than a whole window.
        assert!(limit.t <= limit.w && (limit.r == limit.q || limit.t > 0), "{limit:?}");
        let same_name = limits.iter().filter(|other| other.name == limit.name).count();
        assert_eq!(same_name, 1, "{fields}");
    }
    limits
}

#[track_caller]
fn limit(policy: &Value, reading: &Value) -> Told {
    assert_eq!(policy["value"], reading["value"], "the same limits in the same order");
    assert_eq!((&policy["type"], &reading["type"]), (&json!("String"), &json!("String")));
    let [q, w] = integers(policy, ["q", "w"]);
    let [r, t] = integers(reading, ["r", "t"]);
    Told { name: policy["value"].as_str().unwrap().to_owned(), q, w, r, t }
}

/// The parameters, which must be these, in this order, and integers that are not negative.
#[track_caller]
fn integers(item: &Value, names: [&str; 2]) -> [u64; 2] {
    let parameters = item["parameters"].as_array().unwrap();
    assert_eq!(parameters.len(), 2, "{item}");
    [0, 1].map(|index| {
        assert_eq!(parameters[index][0], names[index], "{item}");
        assert_eq!(parameters[index][2], "Integer", "{item}");
        parameters[index][1].as_u64().unwrap_or_else(|| panic!("negative: {item}"))
    })
}

/// Retry-After is never earlier than the `t` of what failed, and what failed is among the limits.
#[track_caller]
fn assert_retry_is_honest(answer: &Answer, limits: &[Told], violated: &[&str]) {
    assert_eq!(answer.json()["violated-policies"], json!(violated));
    for name in violated {
        let limit = limits.iter().find(|it| it.name == *name).unwrap();
        assert!(answer.retry_after() >= limit.t.max(1), "{limit:?} {answer:?}");
    }
}

#[test]
fn an_admitted_call_tells_every_limit_that_counts_it_in_the_order_of_the_plan() {
    let server = Quickstart::new().start();
    let (mut client, key) = (server.client(), server.key("pro"));
    let answers = [
        client.get("/v1/echo", key),
        client.get("/v1/search", key),
        client.send(Call::post("/v1/orders").key(key)),
        client.send(Call::new("HEAD", "/v1/echo").key(key)),
    ];
    assert!(answers.iter().all(|it| it.status == 200), "{answers:?}");
    let told = told(&answers);
    let names = |limits: &[Told]| limits.iter().map(|it| it.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&told[0]), ["burst", "daily", "monthly"]);
    assert_eq!(names(&told[1]), ["burst", "daily", "monthly", "search"]);
    let quotas: Vec<u64> = told[1].iter().map(|it| it.q).collect();
    assert_eq!(quotas, [200, 100_000, 2_000_000, 50]);
    // 200 at 100 a second, 50 at 10 a second, a day with or without a shift, a month.
    let windows: Vec<u64> = told[1].iter().map(|it| it.w).collect();
    assert_eq!((windows[0], windows[3]), (2, 5));
    assert!([82_800, 86_400, 90_000].contains(&windows[1]), "{windows:?}");
    assert!((28 * 86_400..=31 * 86_400).contains(&windows[2]), "{windows:?}");
    assert_eq!((told[0][2].r, told[1][3].r), (1_999_999, 49));
    assert_eq!(told[2][2].r, 1_999_993, "an order weighs five");
    assert_eq!(names(&told[3]), names(&told[0]), "HEAD is told what GET is told");
}

#[test]
fn a_call_refused_for_its_rate_is_told_when_to_come_again() {
    let server = Server::with_plans(
        r#"
        [plans.only]
        scopes = ["orders:write"]
        limits = [
          { name = "slow", rate = "1/min", burst = 7 },
          { name = "wide", rate = "1/h", burst = 1000 },
        ]
        "#,
    );
    let (mut client, key) = (server.client(), server.key("only"));
    let order = || Call::post("/v1/orders").key(key);
    let answers = [client.send(order()), client.send(order())];
    let told = told(&answers);
    assert_eq!((answers[0].status, told[0][0].r, told[0][0].w), (200, 2, 420));
    answers[1].refused(429, "rate_limited");
    assert_retry_is_honest(&answers[1], &told[1], &["slow"]);
    // One unit more within a minute; the order needs three more.
    assert_eq!((told[1][0].r, told[1][1].r, told[1][1].q), (2, 995, 1_000));
    assert!(told[1][0].t <= 60, "{told:?}");
    assert!((121..=180).contains(&answers[1].retry_after()), "{answers:?}");
}

#[test]
fn a_call_refused_for_its_quota_is_told_when_the_period_ends() {
    let zone = calm_zone();
    let server = Server::with_plans(format!(
        r#"
        [plans.only]
        limits = [
          {{ name = "monthly", quota = 1, per = "month", anchor = 31 }},
          {{ name = "daily", quota = 1, per = "day", zone = "{zone}" }},
          {{ name = "weekly", quota = 2, per = "week", week_start = "wednesday", zone = "{zone}" }},
          {{ name = "burst", rate = "1000/s" }},
        ]
        "#
    ));
    let (mut client, key) = (server.client(), server.key("only"));
    let answers = [client.get("/v1/echo", key), client.get("/v1/echo", key)];
    let told = told(&answers);
    assert_eq!(answers[0].status, 200);
    answers[1].refused(429, "quota_exhausted");
    assert_retry_is_honest(&answers[1], &told[1], &["monthly", "daily"]);
    assert!(answers[1].retry_after() <= 31 * 86_400 + 3_600, "{answers:?}");
    let remaining: Vec<u64> = told[1].iter().map(|it| it.r).collect();
    assert_eq!(remaining[..3], [0, 0, 1]);
    assert_eq!((told[1][1].w, told[1][2].w), (86_400, 7 * 86_400));
}

#[test]
fn numbers_of_every_size_stay_integers_of_the_format() {
    let server = Server::with_plans(
        r#"
        [plans.only]
        limits = [
          { name = "largest", quota = 9007199254740991, per = "month" },
          { name = "hourly", quota = 3, per = "hour" },
          { name = "slowest", rate = "1/day", burst = 104249 },
          { name = "fastest", rate = "1000000/s" },
          { name = "a.name-with_all-9", rate = "7/h", burst = 3 },
        ]
        "#,
    );
    let answer = server.client().get("/v1/echo", server.key("only"));
    assert_eq!(answer.status, 200, "{answer:?}");
    let told = told(&[answer]);
    // RFC 9651, section 3.3.1: an integer has at most 15 digits, and a field with a longer one is
    // ignored as a whole.
    assert_eq!((told[0][0].q, told[0][0].r), (999_999_999_999_999, 999_999_999_999_999));
    let quotas: Vec<u64> = told[0].iter().skip(1).map(|it| it.q).collect();
    assert_eq!(quotas, [3, 104_249, 1_000_000, 3]);
}
