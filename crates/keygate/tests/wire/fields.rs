//! The fields that tell clients of their limits.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use keygate::{
    keyring::{Issued, NewKey},
    limit::MAX_EXACT,
    requirement::Requirement,
    verdict::Passage,
    wire::{Fields, RateLimitFields, Wire},
};

use crate::support::{Desk, Request, any_key, field};

const PLANS: &str = r#"
    [plans.free]
    limits = [
        { name = "burst", rate = "10/s", burst = 20 },
        { name = "daily", quota = 1000, per = "day" },
    ]
"#;
const POLICY: &str = r#""burst";q=20;w=2, "daily";q=1000;w=86400"#;

fn desk(fields: RateLimitFields) -> (Desk, Request) {
    let wire = Wire::default().rate_limit_fields(fields);
    let desk = Desk::new(PLANS, |gate| gate.wire(wire));
    let key = desk.issue(NewKey::new("acme", "free"));
    let request = Request::bearer(key.key.expose());
    (desk, request)
}

fn costing(cost: u64) -> Arc<Requirement> {
    Arc::new(Requirement::default().cost(cost))
}

fn names(fields: &Fields) -> Vec<&'static str> {
    fields.iter().map(|(name, _)| name.as_str()).collect()
}

#[track_caller]
fn settled(admission: Passage) -> Fields {
    let fields = admission.fields();
    admission.settle(Some(200));
    fields
}

#[test]
fn the_draft_syntax_is_exact() {
    let (desk, request) = desk(RateLimitFields::Draft);
    let fields = settled(desk.ask(&request, &any_key()).unwrap());
    assert_eq!(names(&fields), ["ratelimit-policy", "ratelimit"]);
    assert_eq!(field(&fields, "ratelimit-policy"), Some(POLICY));
    let state = r#""burst";r=19;t=1, "daily";r=999;t=43200"#;
    assert_eq!(field(&fields, "ratelimit"), Some(state));

    desk.clock.advance(Duration::from_millis(2_500));
    let fields = settled(desk.ask(&request, &costing(20)).unwrap());
    assert_eq!(field(&fields, "ratelimit-policy"), Some(POLICY));
    let state = r#""burst";r=0;t=1, "daily";r=979;t=43198"#;
    assert_eq!(field(&fields, "ratelimit"), Some(state));
}

/// The spring day of New York is an hour short, and its policy must not be that of the day before.
#[test]
fn a_policy_follows_the_length_of_the_window() {
    let plans = r#"
        [plans.free]
        limits = [
            { name = "daily", quota = 9, per = "day", zone = "America/New_York" },
            { name = "searches", quota = 5, per = "day", operations = ["search"] },
        ]
    "#;
    let desk = Desk::new(plans, |gate| gate);
    let key = desk.issue(NewKey::new("acme", "free"));
    let request = Request::bearer(key.key.expose());
    let search = Arc::new(Requirement::default().operation("search").unwrap());
    let told = |date: &str, requirement: &Arc<Requirement>| {
        desk.clock.set(date.parse::<DateTime<Utc>>().unwrap().into());
        let fields = settled(desk.ask(&request, requirement).unwrap());
        field(&fields, "ratelimit-policy").unwrap().to_owned()
    };
    let (whole, short) = (r#""daily";q=9;w=86400"#, r#""daily";q=9;w=82800"#);
    for _ in 0..2 {
        assert_eq!(told("2026-03-07T12:00:00Z", &any_key()), whole);
        let searches = format!(r#"{whole}, "searches";q=5;w=86400"#);
        assert_eq!(told("2026-03-07T12:00:01Z", &search), searches);
    }
    assert_eq!(told("2026-03-08T12:00:00Z", &any_key()), short);
    assert_eq!(told("2026-03-09T12:00:00Z", &any_key()), whole);
}

#[test]
fn a_refusal_for_a_limit_tells_them_too() {
    let (desk, request) = desk(RateLimitFields::Draft);
    let _ = settled(desk.ask(&request, &costing(20)).unwrap());
    let reply = desk.ask(&request, &any_key()).unwrap_err().reply();
    assert_eq!(reply.status, 429);
    assert_eq!(field(&reply.headers, "ratelimit-policy"), Some(POLICY));
    let state = r#""burst";r=0;t=1, "daily";r=980;t=43200"#;
    assert_eq!(field(&reply.headers, "ratelimit"), Some(state));
    assert_eq!(field(&reply.headers, "retry-after"), Some("1"));
    assert_eq!(field(&reply.headers, "www-authenticate"), None);
}

#[test]
fn legacy_fields_are_those_of_the_limit_nearest_to_its_end() {
    let (desk, request) = desk(RateLimitFields::Legacy);
    let fields = settled(desk.ask(&request, &any_key()).unwrap());
    let all =
        [("x-ratelimit-limit", "20"), ("x-ratelimit-remaining", "19"), ("x-ratelimit-reset", "1")];
    assert!(fields.iter().map(|(name, value)| (name.as_str(), &**value)).eq(all), "{fields:?}");
    for _ in 0..49 {
        desk.clock.advance(Duration::from_secs(2));
        let _ = settled(desk.ask(&request, &costing(20)).unwrap());
    }
    desk.clock.advance(Duration::from_secs(2));
    let fields = settled(desk.ask(&request, &any_key()).unwrap());
    assert_eq!(field(&fields, "x-ratelimit-limit"), Some("1000"));
    assert_eq!(field(&fields, "x-ratelimit-remaining"), Some("18"));
    assert_eq!(field(&fields, "x-ratelimit-reset"), Some("43100"));
}

#[test]
fn both_is_both_and_none_is_none() {
    let (both, request) = desk(RateLimitFields::Both);
    let fields = settled(both.ask(&request, &any_key()).unwrap());
    let all = [
        "ratelimit-policy",
        "ratelimit",
        "x-ratelimit-limit",
        "x-ratelimit-remaining",
        "x-ratelimit-reset",
    ];
    assert_eq!(names(&fields), all);

    let (none, request) = desk(RateLimitFields::None);
    assert!(settled(none.ask(&request, &costing(20)).unwrap()).is_empty());
    let reply = none.ask(&request, &any_key()).unwrap_err().reply();
    assert_eq!(names(&reply.headers), ["content-type", "retry-after"]);
}

#[test]
fn a_plan_without_limits_has_nothing_to_tell() {
    let desk = Desk::new("[plans.free]", |gate| gate);
    let key: Issued = desk.issue(NewKey::new("acme", "free"));
    let request = Request::bearer(key.key.expose()).with("origin", "https://app.example");
    assert!(settled(desk.ask(&request, &any_key()).unwrap()).is_empty());
}

#[test]
fn fields_are_exposed_to_other_origins_only_when_there_is_one() {
    let exposed = |fields| {
        let (desk, request) = desk(fields);
        let cross = request.with("origin", "https://app.example");
        let fields = settled(desk.ask(&cross, &any_key()).unwrap());
        field(&fields, "access-control-expose-headers").map(str::to_owned)
    };
    let draft = "RateLimit-Policy, RateLimit, Retry-After";
    let legacy = "X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, Retry-After";
    let both = "RateLimit-Policy, RateLimit, X-RateLimit-Limit, X-RateLimit-Remaining, \
                X-RateLimit-Reset, Retry-After";
    assert_eq!(exposed(RateLimitFields::Draft).as_deref(), Some(draft));
    assert_eq!(exposed(RateLimitFields::Legacy).as_deref(), Some(legacy));
    assert_eq!(exposed(RateLimitFields::Both).as_deref(), Some(both));
}

#[test]
fn a_refusal_is_exposed_to_other_origins_and_so_is_its_challenge() {
    let (desk, request) = desk(RateLimitFields::Draft);
    let cross = request.with("origin", "https://app.example");
    let _ = settled(desk.ask(&cross, &costing(20)).unwrap());
    let reply = desk.ask(&cross, &any_key()).unwrap_err().reply();
    let exposed = field(&reply.headers, "access-control-expose-headers");
    assert!(exposed.unwrap().contains("Retry-After"));

    let nobody = Request::get("/").with("origin", "https://app.example");
    let reply = desk.ask(&nobody, &any_key()).unwrap_err().reply();
    assert_eq!(field(&reply.headers, "access-control-expose-headers"), Some("WWW-Authenticate"));
    assert!(field(&reply.headers, "www-authenticate").is_some());
}

/// RFC 9651, section 3.3.1: an integer has at most 15 digits; a parser refuses the whole field
/// otherwise.
#[test]
fn numbers_beyond_a_structured_integer_are_told_as_the_largest_one() {
    let plans = format!(
        "[plans.free]\nlimits = [{{ name = \"all\", quota = {MAX_EXACT}, per = \"day\" }}]"
    );
    let desk = Desk::new(&plans, |gate| gate);
    let key = desk.issue(NewKey::new("acme", "free"));
    let admission = desk.ask(&Request::bearer(key.key.expose()), &any_key());
    let fields = settled(admission.unwrap());
    let policy = r#""all";q=999999999999999;w=86400"#;
    assert_eq!(field(&fields, "ratelimit-policy"), Some(policy));
    let state = r#""all";r=999999999999999;t=43200"#;
    assert_eq!(field(&fields, "ratelimit"), Some(state));
}

/// Slots are told in a unit of their own, and for no length of time.
#[test]
fn slots_have_neither_a_window_nor_a_reset() {
    let plans = r#"
        [plans.free]
        limits = [
            { name = "parallel", concurrency = 10 },
            { name = "daily", quota = 1000, per = "day" },
        ]
    "#;
    let desk = Desk::new(plans, |gate| gate);
    let request = Request::bearer(desk.issue(NewKey::new("acme", "free")).key.expose());
    let policy = r#""parallel";q=10;qu="concurrent-requests", "daily";q=1000;w=86400"#;
    let first = desk.ask(&request, &any_key()).unwrap();
    let fields = first.fields();
    assert_eq!(field(&fields, "ratelimit-policy"), Some(policy));
    let state = r#""parallel";r=9, "daily";r=999;t=43200"#;
    assert_eq!(field(&fields, "ratelimit"), Some(state));

    let second = desk.ask(&request, &costing(50)).unwrap();
    let state = r#""parallel";r=8, "daily";r=949;t=43200"#;
    assert_eq!(field(&second.fields(), "ratelimit"), Some(state));
    drop(first);
    let fields = settled(desk.ask(&request, &any_key()).unwrap());
    let state = r#""parallel";r=8, "daily";r=948;t=43200"#;
    assert_eq!(field(&fields, "ratelimit"), Some(state));
    drop(second);
}

#[test]
fn a_refusal_for_want_of_a_slot_tells_them_too() {
    let plans = "[plans.free]\nlimits = [{ name = \"parallel\", concurrency = 1 }]";
    let desk = Desk::new(plans, |gate| gate);
    let request = Request::bearer(desk.issue(NewKey::new("acme", "free")).key.expose());
    let under_way = desk.ask(&request, &any_key()).unwrap();
    let reply = desk.ask(&request, &any_key()).unwrap_err().reply();
    assert_eq!(reply.status, 429);
    let policy = r#""parallel";q=1;qu="concurrent-requests""#;
    assert_eq!(field(&reply.headers, "ratelimit-policy"), Some(policy));
    assert_eq!(field(&reply.headers, "ratelimit"), Some(r#""parallel";r=0"#));
    assert_eq!(field(&reply.headers, "retry-after"), Some("1"));
    let problem: serde_json::Value = serde_json::from_str(&reply.body).unwrap();
    assert_eq!(problem["code"], "too_many_concurrent");
    assert_eq!(problem["violated-policies"], serde_json::json!(["parallel"]));
    drop(under_way);
}

#[test]
fn legacy_fields_of_slots_have_a_reset_of_nothing() {
    let plans = "[plans.free]\nlimits = [{ name = \"parallel\", concurrency = 3 }]";
    let wire = Wire::default().rate_limit_fields(RateLimitFields::Legacy);
    let desk = Desk::new(plans, |gate| gate.wire(wire));
    let request = Request::bearer(desk.issue(NewKey::new("acme", "free")).key.expose());
    let fields = settled(desk.ask(&request, &any_key()).unwrap());
    let all =
        [("x-ratelimit-limit", "3"), ("x-ratelimit-remaining", "2"), ("x-ratelimit-reset", "0")];
    assert!(fields.iter().map(|(name, value)| (name.as_str(), &**value)).eq(all), "{fields:?}");
}
