//! Responses of gRPC that say with their trailers how they end.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use keygate::{
    keyring::NewKey,
    requirement::Requirement,
    usage::{Outcome, StatusClass},
    verdict::Passage,
};

use crate::support::{Desk, Event, Request, any_key};

const PLANS: &str = r#"
    [plans.free]
    limits = [{ name = "daily", quota = 100, per = "day" }]
    [plans.narrow]
    limits = [
        { name = "daily", quota = 100, per = "day" },
        { name = "at-once", concurrency = 1 },
    ]
"#;

const GRPC: &str = "application/grpc";
const SUCCESS: Outcome = Outcome::Admitted(StatusClass::Success);
const CLIENT_ERROR: Outcome = Outcome::Admitted(StatusClass::ClientError);
const SERVER_ERROR: Outcome = Outcome::Admitted(StatusClass::ServerError);

/// What a head or trailers have, by name.
type Lines<'l> = &'l [(&'l str, &'l str)];

/// The head of a response of gRPC that has begun well.
const BEGUN: Lines<'static> = &[("content-type", "application/grpc+proto")];

fn desk() -> Desk {
    Desk::new(PLANS, |gate| gate)
}

fn call(desk: &Desk, plan: &str) -> Request {
    let key = desk.issue(NewKey::new("acme", plan));
    Request::bearer(key.key.expose()).with("content-type", GRPC)
}

fn find<'l>(lines: Lines<'l>, name: &str) -> Option<&'l [u8]> {
    let line = lines.iter().find(|(it, _)| *it == name);
    line.map(|(_, value)| value.as_bytes())
}

/// The service has answered 200 with this head.
fn answer(passage: Passage, head: Lines<'_>) -> Option<Passage> {
    passage.settle_by_head(200, |name| find(head, name))
}

fn end(passage: &mut Passage, trailers: Lines<'_>) {
    passage.settle_by_trailers(|name| find(trailers, name));
}

#[track_caller]
fn metered_once(desk: &Desk) -> Event {
    let events = desk.metered();
    assert_eq!(events.len(), 1, "{events:?}");
    events[0].clone()
}

/// What is left of the quota.
#[track_caller]
fn left(desk: &Desk, request: &Request) -> u64 {
    let look = desk.ask(request, &Arc::new(Requirement::default().cost(0))).unwrap();
    let left = look.admitted().counted().iter().next().unwrap().1.remaining;
    drop(look);
    desk.metered();
    left
}

#[test]
fn a_response_that_has_begun_is_metered_by_its_trailers() {
    let desk = desk();
    let request = call(&desk, "free");
    let fair = Arc::new(Requirement::default().cost(10).refund_on(404..=404).refund_on(503..=503));
    let cases: [(Lines<'_>, Outcome, u64, u64); 6] = [
        (&[("grpc-status", "0")], SUCCESS, 10, 90),
        (&[("grpc-status", "5"), ("grpc-message", "none")], CLIENT_ERROR, 0, 90),
        (&[("grpc-status", "7")], CLIENT_ERROR, 10, 80),
        (&[("grpc-status", "14")], SERVER_ERROR, 0, 80),
        (&[("grpc-status", "nonsense")], SERVER_ERROR, 10, 70),
        (&[("x-checksum", "abc")], SERVER_ERROR, 10, 60),
    ];
    for (trailers, outcome, cost, remaining) in cases {
        let passage = desk.ask(&request, &fair).unwrap();
        desk.clock.advance(Duration::from_micros(300));
        let mut passage = answer(passage, BEGUN).expect("the body is to tell");
        assert!(!passage.is_settled());
        desk.clock.advance(Duration::from_micros(700));
        end(&mut passage, trailers);
        assert!(passage.is_settled());
        desk.clock.advance(Duration::from_secs(1));
        // What comes after the end says nothing.
        end(&mut passage, &[("grpc-status", "13")]);
        assert!(desk.metered().is_empty(), "the body is not sent yet");
        drop(passage);
        let event = metered_once(&desk);
        assert_eq!((event.outcome, event.cost), (outcome, cost), "{trailers:?}");
        assert_eq!(event.latency_micros, 1_000, "from the gate to the trailers");
        assert_eq!(left(&desk, &request), remaining, "{trailers:?}");
    }
}

#[test]
fn a_body_that_is_dropped_before_its_end_is_aborted_and_not_refunded() {
    let desk = desk();
    let request = call(&desk, "free");
    let fair = Arc::new(Requirement::default().cost(10).refund_on(0..=599));
    let passage = answer(desk.ask(&request, &fair).unwrap(), BEGUN).unwrap();
    desk.clock.advance(Duration::from_micros(300));
    assert!(desk.metered().is_empty());
    drop(passage);
    let event = metered_once(&desk);
    assert_eq!((event.outcome, event.cost), (Outcome::Aborted, 10));
    assert_eq!(event.latency_micros, 300);
    assert_eq!(left(&desk, &request), 90);
}

#[test]
fn a_body_that_panics_is_refunded_as_a_failure() {
    let desk = desk();
    let request = call(&desk, "free");
    let fair = Arc::new(Requirement::default().cost(10).refund_on(500..=500));
    let passage = answer(desk.ask(&request, &fair).unwrap(), BEGUN).unwrap();
    let body = AssertUnwindSafe(|| {
        let _held = passage;
        panic!("in the body");
    });
    assert!(catch_unwind(body).is_err());
    let event = metered_once(&desk);
    assert_eq!((event.outcome, event.cost), (SERVER_ERROR, 0));
    assert_eq!(left(&desk, &request), 100);
}

#[test]
fn messages_belong_to_the_request_that_its_trailers_settle() {
    let desk = desk();
    let request = call(&desk, "free");
    let fair = Arc::new(Requirement::default().refund_on(500..=599));
    for (code, outcome, cost, remaining) in [("0", SUCCESS, 6, 94), ("2", SERVER_ERROR, 0, 94)] {
        let passage = desk.ask(&request, &fair).unwrap();
        let handler = passage.admission().clone();
        let mut passage = answer(passage, BEGUN).unwrap();
        pollster::block_on(handler.charge(5)).unwrap();
        end(&mut passage, &[("grpc-status", code)]);
        drop(passage);
        assert!(desk.metered().is_empty(), "the handler works on");
        drop(handler);
        let event = metered_once(&desk);
        assert_eq!((event.outcome, event.cost), (outcome, cost), "{code}");
        assert_eq!(left(&desk, &request), remaining, "{code}");
    }
}

#[test]
fn a_slot_is_held_beyond_the_trailers_until_the_body_is_dropped() {
    let desk = desk();
    let request = call(&desk, "narrow");
    let mut passage = answer(desk.ask(&request, &any_key()).unwrap(), BEGUN).unwrap();
    assert!(desk.ask(&request, &any_key()).is_err());
    end(&mut passage, &[("grpc-status", "0")]);
    assert!(desk.ask(&request, &any_key()).is_err());
    desk.metered();
    drop(passage);
    assert_eq!(metered_once(&desk).outcome, SUCCESS);
    assert!(desk.ask(&request, &any_key()).is_ok());
}

/// Whatever the trailers say then.
#[test]
fn a_head_that_tells_settles_the_request() {
    let desk = desk();
    let (grpc, key) = (call(&desk, "narrow"), desk.issue(NewKey::new("else", "narrow")));
    let plain = Request::bearer(key.key.expose());
    let web = plain.clone().with("content-type", "application/grpc-web+proto");
    let cases: [(&Request, u16, Lines<'_>, Outcome); 7] = [
        (&grpc, 200, &[BEGUN[0], ("grpc-status", "5")], CLIENT_ERROR),
        (&grpc, 200, &[BEGUN[0], ("grpc-status", "0")], SUCCESS),
        (&grpc, 503, BEGUN, SERVER_ERROR),
        (&grpc, 200, &[("content-type", "text/plain")], SUCCESS),
        (&grpc, 200, &[], SUCCESS),
        (&web, 200, &[("content-type", "application/grpc-web+proto")], SUCCESS),
        (&plain, 200, BEGUN, SUCCESS),
    ];
    for (request, status, head, outcome) in cases {
        let passage = desk.ask(request, &any_key()).unwrap();
        let held = passage.settle_by_head(status, |name| find(head, name));
        let mut held = held.expect("the slot is held");
        assert!(held.is_settled(), "{head:?}");
        end(&mut held, &[("grpc-status", "13")]);
        drop(held);
        assert_eq!(metered_once(&desk).outcome, outcome, "{head:?}");
    }
}

#[test]
fn a_body_holds_nothing_that_has_neither_a_slot_nor_an_end_to_tell() {
    let desk = desk();
    let request = call(&desk, "free");
    let settled: Lines<'_> = &[BEGUN[0], ("grpc-status", "0")];
    assert!(answer(desk.ask(&request, &any_key()).unwrap(), settled).is_none());
    assert_eq!(metered_once(&desk).outcome, SUCCESS);
}

#[test]
fn only_the_first_layer_of_a_gate_waits_for_the_trailers() {
    let desk = desk();
    let outer = desk.ask(&call(&desk, "narrow"), &any_key()).unwrap();
    let within = Request { caller: Some(outer.caller()), ..Request::get("/orders") };
    let within = within.with("content-type", GRPC);
    let inner = desk.ask(&within, &any_key()).unwrap();
    drop(within);
    assert!(answer(inner, BEGUN).is_none());
    let mut outer = answer(outer, BEGUN).unwrap();
    assert!(desk.metered().is_empty());
    end(&mut outer, &[("grpc-status", "16")]);
    drop(outer);
    assert_eq!(metered_once(&desk).outcome, CLIENT_ERROR);
}
