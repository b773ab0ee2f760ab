//! Every request is metered once, as what it was.

use std::{
    sync::{Arc, Barrier},
    task::{Context, Waker},
    thread,
    time::Duration,
};

use keygate::{
    key::KeyFormat,
    keyring::NewKey,
    requirement::Requirement,
    usage::{Outcome, StatusClass},
    verdict::Reason,
};

use crate::{
    rigged::{RiggedKeys, Way},
    stores::{Mood, MoodyCounters},
    support::{Desk, Event, Request, any_key},
};

const PLANS: &str = r#"
    [plans.free]
    limits = [{ name = "daily", quota = 5, per = "day" }]
"#;

struct Bench {
    desk: Desk,
    keys: Arc<RiggedKeys>,
    counters: Arc<MoodyCounters>,
}

impl Bench {
    fn new() -> Self {
        let keys = Arc::new(RiggedKeys::default());
        let counters = Arc::new(MoodyCounters::shared_by(1));
        let desk = Desk::new(PLANS, |gate| gate.keys(keys.clone()).counters(counters.clone()));
        Self { desk, keys, counters }
    }

    #[track_caller]
    fn metered_once(&self) -> Event {
        let events = self.desk.metered();
        assert_eq!(events.len(), 1, "{events:?}");
        events[0].clone()
    }
}

fn search(cost: u64) -> Arc<Requirement> {
    let requirement = Requirement::default().operation("search").unwrap();
    Arc::new(requirement.cost(cost))
}

#[test]
fn an_answered_request_is_metered_with_its_status_cost_and_latency() {
    let bench = Bench::new();
    let key = bench.desk.issue(NewKey::new("acme", "free"));
    let request = Request::bearer(key.key.expose());
    let classes = [
        (101, StatusClass::Informational),
        (204, StatusClass::Success),
        (304, StatusClass::Redirection),
        (404, StatusClass::ClientError),
        (500, StatusClass::ServerError),
    ];
    for (status, class) in classes {
        let admission = bench.desk.ask(&request, &search(1)).unwrap();
        assert!(bench.desk.metered().is_empty(), "not before it is settled");
        bench.desk.clock.advance(Duration::from_micros(1234));
        admission.settle(Some(status));
        let expected = Event {
            key: Some((key.record.id, "acme".to_owned())),
            operation: Some("search".to_owned()),
            outcome: Outcome::Admitted(class),
            cost: 1,
            latency_micros: 1234,
        };
        assert_eq!(bench.metered_once(), expected);
    }
}

#[test]
fn a_refused_request_is_metered_with_its_reason_and_costs_nothing() {
    let bench = Bench::new();
    let key = bench.desk.issue(NewKey::new("acme", "free"));
    let known = Some((key.record.id, "acme".to_owned()));
    let text = key.key.expose();
    let stray = KeyFormat::default().mint().unwrap();
    let twice = Request::bearer(text).with("x-api-key", "other");
    let good = Request::bearer(text);
    let scoped = Requirement::default().operation("search").unwrap();
    let scoped = Arc::new(scoped.require("orders").unwrap());
    bench.desk.ask(&good, &search(5)).unwrap().settle(Some(200));
    let _ = bench.metered_once();

    let cases = [
        (Request::get("/"), search(1), Reason::MissingKey, None),
        (Request::bearer("x"), search(1), Reason::MalformedKey, None),
        (twice, search(1), Reason::AmbiguousCredential, None),
        (Request::bearer(stray.expose()), search(1), Reason::UnknownKey, None),
        (good.clone(), scoped, Reason::InsufficientScope, known.clone()),
        (good.clone(), search(1), Reason::QuotaExhausted, known.clone()),
        (good.clone(), search(6), Reason::CostExceedsLimit, known.clone()),
    ];
    for (request, requirement, reason, key) in cases {
        assert_eq!(bench.desk.ask(&request, &requirement).unwrap_err().reason(), reason);
        let expected = Event {
            key,
            operation: Some("search".to_owned()),
            outcome: Outcome::Denied(reason),
            cost: 0,
            latency_micros: 0,
        };
        assert_eq!(bench.metered_once(), expected);
    }
    pollster::block_on(bench.desk.gate.keyring().disable(key.record.id)).unwrap();
    assert!(bench.desk.ask(&good, &search(1)).is_err());
    let event = bench.metered_once();
    assert_eq!(event.outcome, Outcome::Denied(Reason::DisabledKey));
    assert_eq!(event.key, known, "whose key it is is known");
}

#[test]
fn an_admission_that_is_dropped_is_aborted() {
    let bench = Bench::new();
    let key = bench.desk.issue(NewKey::new("acme", "free"));
    let request = Request::bearer(key.key.expose());
    drop(bench.desk.ask(&request, &search(2)).unwrap());
    let event = bench.metered_once();
    assert_eq!(event.outcome, Outcome::Aborted);
    assert_eq!((event.cost, event.key.is_some()), (2, true));
}

#[test]
fn a_request_that_is_dropped_while_a_store_is_silent_is_aborted() {
    let bench = Bench::new();
    let key = bench.desk.issue(NewKey::new("acme", "free"));
    let request = Request::bearer(key.key.expose());
    let cases = [(Way::Hangs, Mood::Well), (Way::Well, Mood::Silent)];
    for (keys, counters) in cases {
        bench.keys.finding(keys);
        bench.counters.turn(counters);
        let presented = bench.desk.gate.present(&request, &search(1)).unwrap();
        let mut future = Box::pin(bench.desk.gate.admit(presented));
        let mut context = Context::from_waker(Waker::noop());
        assert!(future.as_mut().poll(&mut context).is_pending());
        assert!(bench.desk.metered().is_empty());
        drop(future);
        let event = bench.metered_once();
        assert_eq!(event.outcome, Outcome::Aborted);
        assert_eq!(event.key.is_some(), keys == Way::Well);
        assert_eq!(event.operation.as_deref(), Some("search"));
    }
}

#[test]
fn a_cost_given_at_presentation_outweighs_the_route() {
    let bench = Bench::new();
    let key = bench.desk.issue(NewKey::new("acme", "free"));
    let request = Request::bearer(key.key.expose());
    let presented = bench.desk.gate.present(&request, &search(1)).unwrap();
    let admission = pollster::block_on(bench.desk.gate.admit(presented.costing(4)));
    let admission = admission.unwrap();
    assert_eq!(admission.admitted().cost(), 4);
    let counted = admission.admitted().counted();
    assert_eq!(counted.iter().map(|(_, reading)| reading.remaining).sum::<u64>(), 1);
    admission.settle(Some(200));
    assert_eq!(bench.metered_once().cost, 4);
}

#[test]
fn a_rejection_that_is_answered_or_dropped_is_not_metered_again() {
    let bench = Bench::new();
    let rejection = bench.desk.ask(&Request::get("/"), &any_key()).unwrap_err();
    let _ = bench.metered_once();
    let copy = rejection.clone();
    assert_eq!(rejection.reply(), copy.reply());
    drop((rejection, copy));
    assert!(bench.desk.metered().is_empty());
}

#[test]
fn a_request_that_many_let_go_of_at_once_is_metered_once() {
    const TIMES: usize = 2_000;
    let bench = Bench::new();
    let key = bench.desk.issue(NewKey::new("acme", "free"));
    let request = Request::bearer(key.key.expose());
    for _ in 0..TIMES {
        let passage = bench.desk.ask(&request, &search(0)).unwrap();
        let (caller, start) = (passage.caller(), Barrier::new(3));
        let [one, other] = [(); 2].map(|()| passage.admission().clone());
        passage.settle(Some(200));
        thread::scope(|threads| {
            for admission in [one, other] {
                let start = &start;
                threads.spawn(move || {
                    start.wait();
                    drop(admission);
                });
            }
            start.wait();
            // Made and let go while the others are, and when they have been.
            for _ in 0..20 {
                drop(caller.admission());
            }
        });
    }
    assert_eq!(bench.desk.metered().len(), TIMES);
}
