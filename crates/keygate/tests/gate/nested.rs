//! Two layers on one route.

use std::sync::Arc;

use keygate::{
    Gate,
    gate::GateBuilder,
    keyring::NewKey,
    requirement::Requirement,
    usage::{Outcome, StatusClass},
    verdict::{Caller, Verdict},
};

use crate::support::{Desk, Request, any_key, field};

const PLANS: &str = r#"
    [plans.free]
    scopes = ["orders:*"]
    limits = [{ name = "daily", quota = 2, per = "day" }]
"#;

fn desk() -> Desk {
    Desk::new(PLANS, |gate| gate)
}

fn key(desk: &Desk) -> Request {
    let key = desk.issue(NewKey::new("acme", "free").scopes(["orders:read"]));
    Request::bearer(key.key.expose())
}

/// The request as an inner layer sees it.
fn inner(caller: Caller) -> Request {
    Request { caller: Some(caller), ..Request::get("/orders") }
}

#[test]
fn an_inner_layer_of_the_same_gate_neither_counts_nor_meters() {
    let desk = desk();
    let outer = desk.ask(&key(&desk), &any_key()).unwrap();
    let within = inner(outer.caller());
    for _ in 0..5 {
        let second = desk.ask(&within, &Arc::new(Requirement::default().cost(9)));
        let second = second.unwrap();
        assert!(second.fields().is_empty());
        assert_eq!(second.admitted().cost(), 1, "what the outer layer charged");
        assert_eq!(second.caller().key_id(), outer.caller().key_id());
        second.settle(Some(200));
    }
    drop(desk.ask(&within, &any_key()).unwrap());
    drop(within);
    assert!(desk.metered().is_empty());
    let fields = outer.fields();
    assert_eq!(field(&fields, "ratelimit"), Some(r#""daily";r=1;t=43200"#));
    outer.settle(Some(204));
    let metered = desk.metered();
    assert_eq!(metered.len(), 1);
    assert_eq!(metered[0].outcome, Outcome::Admitted(StatusClass::Success));
}

#[test]
fn an_inner_layer_still_checks_scopes() {
    let desk = desk();
    let outer = desk.ask(&key(&desk), &any_key()).unwrap();
    let needs = Requirement::default().require("orders:write").unwrap();
    let refused = desk.ask(&inner(outer.caller()), &Arc::new(needs));
    let refused = refused.unwrap_err();
    assert_eq!(refused.reply().status, 403);
    assert_eq!(refused.caller().unwrap().consumer().as_str(), "acme");
    assert!(desk.metered().is_empty(), "the outer layer meters it");
    outer.settle(Some(403));
    assert_eq!(desk.metered().len(), 1);
}

#[test]
fn an_inner_layer_does_not_look_at_credentials_again() {
    let desk = desk();
    let outer = desk.ask(&key(&desk), &any_key()).unwrap();
    let request = inner(outer.caller()).with("x-api-key", "nonsense");
    assert!(desk.ask(&request, &any_key()).is_ok());
}

#[test]
fn a_caller_of_another_gate_proves_nothing() {
    let (ours, theirs) = (desk(), desk());
    let stranger = theirs.ask(&key(&theirs), &any_key()).unwrap();
    let mut request = inner(stranger.caller());
    let refused = ours.ask(&request, &any_key()).unwrap_err();
    assert_eq!(refused.reason().code(), "missing_key");

    request.headers = key(&ours).headers;
    let admission = ours.ask(&request, &any_key()).unwrap();
    assert_ne!(admission.caller().key_id(), stranger.caller().key_id());
    assert_eq!(admission.fields().len(), 2, "it is counted here");
}

#[test]
fn what_one_gate_presented_does_not_let_a_caller_into_another() {
    let (ours, theirs) = (desk(), desk());
    let stranger = theirs.ask(&key(&theirs), &any_key()).unwrap();
    let presented = theirs.gate.present(&inner(stranger.caller()), &any_key()).unwrap();
    let answer = pollster::block_on(ours.gate.admit(presented));
    assert!(answer.is_err(), "another gate's caller was let in");
}

#[test]
fn gates_of_equal_settings_are_still_two() {
    let plans = keygate::Plans::from_toml(PLANS).unwrap();
    let one = Gate::in_memory(plans.clone()).unwrap();
    let two = Gate::in_memory(plans).unwrap();
    let new = NewKey::new("acme", "free");
    let key = pollster::block_on(one.keyring().issue(new)).unwrap();
    let request = Request::bearer(key.key.expose());
    let presented = one.present(&request, &any_key()).unwrap();
    let admission = pollster::block_on(one.admit(presented)).unwrap();
    let presented = two.present(&inner(admission.caller()), &any_key());
    assert!(pollster::block_on(two.admit(presented.unwrap())).is_err());
}

#[test]
fn layers_of_two_gates_count_once_each_in_whatever_order_they_stand() {
    let (ours, theirs) = (desk(), desk());
    let base = key(&ours);
    let outer = ours.ask(&base, &any_key()).unwrap();
    let within = Request { headers: key(&theirs).headers, ..inner(outer.caller()) };
    let between = theirs.ask(&within, &any_key()).unwrap();
    assert_eq!(between.fields().len(), 2, "each gate counts by itself");

    let mut caller = between.caller();
    for desk in [&ours, &theirs, &theirs, &ours] {
        let further = desk.ask(&inner(caller), &any_key()).unwrap();
        assert!(further.fields().is_empty());
        caller = further.caller();
        assert_eq!(caller.key_id(), between.caller().key_id(), "whom the last that counted found");
        further.settle(Some(200));
    }
    let needs = Arc::new(Requirement::default().require("orders:write").unwrap());
    let refused = ours.ask(&inner(caller), &needs).unwrap_err();
    assert_eq!(refused.reason().code(), "insufficient_scope");
    between.settle(Some(200));
    outer.settle(Some(200));
    assert_eq!((ours.metered().len(), theirs.metered().len()), (1, 1));
}

#[test]
fn a_verdict_on_an_admitted_request_is_told_if_asked_for_and_a_refusal_further_in_stays() {
    let silent = desk();
    assert!(silent.ask(&key(&silent), &any_key()).unwrap().verdict(None).is_none());

    let desk = Desk::new(PLANS, GateBuilder::tell_admitted);
    let outer = desk.ask(&key(&desk), &any_key()).unwrap();
    let further = desk.ask(&inner(outer.caller()), &any_key()).unwrap();
    let needs = Arc::new(Requirement::default().require("orders:write").unwrap());
    let refused = Verdict::Rejected(desk.ask(&inner(outer.caller()), &needs).unwrap_err());
    for passage in [&outer, &further] {
        let Some(Verdict::Admitted(admitted)) = passage.verdict(None) else { panic!("no verdict") };
        assert_eq!(admitted.caller().key_id(), outer.caller().key_id());
        assert!(passage.verdict(Some(&Verdict::Admitted(admitted))).is_some());
        assert!(passage.verdict(Some(&refused)).is_none());
    }
}
