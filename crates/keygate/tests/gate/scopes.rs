//! What a key may do, under the ceiling of its plan.

use std::sync::Arc;

use keygate::{
    Plans,
    keyring::NewKey,
    requirement::Requirement,
    verdict::{Reason, Rejection},
};

use crate::support::{Desk, Request, challenge, field};

const PLANS: &str = r#"
    [plans.reader]
    scopes = ["orders:read"]
    [plans.writer]
    scopes = ["orders:*", "eu"]
    [plans.all]
    scopes = ["*"]
    [plans.none]
    [plans.counted]
    scopes = ["orders:read"]
    limits = [{ name = "daily", quota = 1, per = "day" }]
"#;

fn needs(query: &str) -> Arc<Requirement> {
    Arc::new(Requirement::default().require(query).unwrap())
}

fn desk() -> Desk {
    Desk::new(PLANS, |gate| gate)
}

fn request(desk: &Desk, plan: &str, scopes: &[&str]) -> Request {
    let new = NewKey::new("acme", plan).scopes(scopes.iter().copied());
    Request::bearer(desk.issue(new).key.expose())
}

#[track_caller]
fn told(rejection: &Rejection) -> String {
    assert_eq!(rejection.reason(), Reason::InsufficientScope);
    let reply = rejection.reply();
    assert_eq!(reply.status, 403);
    assert_eq!(reply.headers.len(), 2, "{:?}", reply.headers);
    let problem: serde_json::Value = serde_json::from_str(&reply.body).unwrap();
    assert_eq!(problem["code"], "insufficient_scope");
    assert_eq!(problem["title"], "Forbidden");
    assert_eq!(problem["status"], 403);
    let text = field(&reply.headers, "www-authenticate").unwrap();
    let (scheme, parameters) = challenge(text);
    assert_eq!((scheme, parameters.len()), ("Bearer", 3));
    assert_eq!(parameters["realm"], "api");
    assert_eq!(parameters["error"], "insufficient_scope");
    parameters["scope"].to_owned()
}

#[test]
fn key_and_plan_must_both_grant_a_scope() {
    let desk = desk();
    let cases = [
        ("writer", &["orders:write"][..], "orders:write", true),
        ("writer", &["orders:*"], "orders:write", true),
        ("writer", &["*"], "orders:write", true),
        ("writer", &["*"], "users:read", false),
        ("writer", &["*"], "*", false),
        ("writer", &["*"], "orders:*", true),
        ("writer", &["orders:read"], "orders:write", false),
        ("writer", &["orders:read"], "orders:write | orders:read", true),
        ("writer", &["orders:read"], "orders:read & eu", false),
        ("writer", &["orders:read", "eu"], "orders:read & eu", true),
        ("reader", &["orders:*"], "orders:write", false),
        ("reader", &["orders:*"], "orders:read", true),
        ("reader", &["orders:*"], "orders:*", false),
        ("all", &["*"], "orders:*", true),
        ("all", &["orders"], "orders:read", false),
        ("all", &["orders:*"], "orders", false),
        ("all", &[], "orders:read", false),
        ("none", &["*"], "orders:read", false),
        ("none", &[], "orders:read", false),
    ];
    for (plan, scopes, query, may) in cases {
        let answer = desk.ask(&request(&desk, plan, scopes), &needs(query));
        assert_eq!(answer.is_ok(), may, "{plan} {scopes:?} {query}");
    }
}

#[test]
fn a_key_without_scopes_may_call_what_demands_none() {
    let desk = desk();
    let free = Arc::default();
    assert!(desk.ask(&request(&desk, "none", &[]), &free).is_ok());
}

#[test]
fn a_lacking_scope_is_403_and_the_challenge_names_what_is_needed_once() {
    let desk = desk();
    let request = request(&desk, "reader", &["orders:read"]);
    let ask = |requirement: &Arc<Requirement>| desk.ask(&request, requirement).unwrap_err();
    assert_eq!(told(&ask(&needs("orders:write"))), "orders:write");
    let query = "orders:write & (eu | admin) & orders:write";
    assert_eq!(told(&ask(&needs(query))), "orders:write eu admin");
    let twice = Requirement::default()
        .require("orders:read")
        .and_then(|requirement| requirement.require("eu & orders:read"));
    assert_eq!(told(&ask(&Arc::new(twice.unwrap()))), "orders:read eu");
}

#[test]
fn a_refused_scope_is_not_counted() {
    let desk = desk();
    let request = request(&desk, "counted", &["orders:read"]);
    for _ in 0..5 {
        assert!(desk.ask(&request, &needs("orders:write")).is_err());
    }
    assert!(desk.ask(&request, &needs("orders:read")).is_ok());
    let late = desk.ask(&request, &needs("orders:write")).unwrap_err();
    assert_eq!(late.reason(), Reason::InsufficientScope, "scopes come first");
}

#[test]
fn an_edit_of_the_plan_reaches_existing_keys_at_once() {
    let desk = desk();
    let request = request(&desk, "reader", &["orders:*"]);
    assert!(desk.ask(&request, &needs("orders:write")).is_err());
    let edit = |scopes: &str| {
        let plans = Plans::from_toml(&format!("[plans.reader]\nscopes = {scopes}"));
        desk.gate.replace_plans(plans.unwrap());
    };
    edit(r#"["orders:*"]"#);
    assert!(desk.ask(&request, &needs("orders:write")).is_ok());
    edit(r"[]");
    assert!(desk.ask(&request, &needs("orders:read")).is_err());
}

#[test]
fn a_key_that_moves_to_another_plan_is_under_its_ceiling_at_once() {
    let desk = desk();
    let key = desk.issue(NewKey::new("acme", "reader").scopes(["*"]));
    let request = Request::bearer(key.key.expose());
    assert!(desk.ask(&request, &needs("eu")).is_err());
    let moved = desk.gate.keyring();
    pollster::block_on(moved.move_to_plan(key.record.id, "writer")).unwrap();
    let admission = desk.ask(&request, &needs("eu")).unwrap();
    assert_eq!(admission.caller().plan().name().as_str(), "writer");
}

#[test]
fn a_caller_says_what_the_gate_would() {
    let desk = desk();
    let new = NewKey::new("acme", "writer").scopes(["*"]).attribute("country", "FR");
    let key = desk.issue(new);
    let admission = desk.ask(&Request::bearer(key.key.expose()), &Arc::default());
    let admission = admission.unwrap();
    let caller = admission.caller();
    assert!(caller.may(&"orders:write".parse().unwrap()));
    assert!(!caller.may(&"users:read".parse().unwrap()));
    assert_eq!(caller.attribute("country"), Some("FR"));
    assert_eq!(caller.key_id(), Some(key.record.id));
}
