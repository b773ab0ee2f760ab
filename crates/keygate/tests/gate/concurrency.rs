//! Slots: how many requests are under way at once.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Barrier,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Waker},
    thread,
};

use keygate::{
    Plans,
    keyring::NewKey,
    memory::{MemoryCounters, MemoryKeys},
    requirement::Requirement,
    usage::{Outcome, StatusClass},
    verdict::{Caller, Passage, Reason},
};

use crate::{
    stores::{Mood, MoodyCounters},
    support::{Desk, Request, any_key, field},
};

const PLANS: &str = r#"
    [plans.free]
    scopes = ["orders:*"]
    limits = [
        { name = "parallel", concurrency = 2 },
        { name = "daily", quota = 100, per = "day", on_failure = "open" },
    ]
    [plans.closed]
    limits = [{ name = "parallel", concurrency = 2, on_failure = "closed" }]
    [plans.shared]
    limits = [
        { name = "parallel", concurrency = 4, on_failure = "local_share" },
        { name = "daily", quota = 100, per = "day", on_failure = "open" },
    ]
    [plans.tight]
    limits = [
        { name = "parallel", concurrency = 2 },
        { name = "burst", rate = "1/s", burst = 4 },
        { name = "daily", quota = 5, per = "day" },
    ]
    [plans.exports]
    limits = [{ name = "exports", concurrency = 1, operations = ["export"] }]
    [plans.unlimited]
"#;

struct Bench {
    desk: Desk,
    counters: Arc<MoodyCounters>,
}

impl Bench {
    fn new() -> Self {
        let counters = Arc::new(MoodyCounters::shared_by(2));
        let desk = Desk::new(PLANS, |gate| gate.counters(counters.clone()).tell_admitted());
        Self { desk, counters }
    }

    fn key(&self, plan: &str) -> Request {
        let key = self.desk.issue(NewKey::new("acme", plan).scopes(["orders:read"]));
        Request::bearer(key.key.expose())
    }

    fn enter(&self, request: &Request) -> Passage {
        self.desk.ask(request, &any_key()).unwrap()
    }

    /// Slots that are free, as a request of cost 0 sees them.
    #[track_caller]
    fn free(&self, request: &Request) -> u64 {
        free(&self.desk, request)
    }

    /// Polls a request at the gate once, and goes away.
    fn come_and_leave(&self, request: &Request) {
        let presented = self.desk.gate.present(request, &any_key()).unwrap();
        let mut future = Box::pin(self.desk.gate.admit(presented));
        let mut context = Context::from_waker(Waker::noop());
        assert!(future.as_mut().poll(&mut context).is_pending());
    }
}

#[track_caller]
fn free(desk: &Desk, request: &Request) -> u64 {
    let look = desk.ask(request, &costing(0)).unwrap();
    let counted = look.admitted().counted();
    let slots = counted.iter().find(|(limit, _)| limit.is_concurrency());
    slots.unwrap().1.remaining
}

fn costing(cost: u64) -> Arc<Requirement> {
    Arc::new(Requirement::default().cost(cost))
}

fn answer(passage: Passage) {
    passage.settle(Some(200));
}

/// The request as an inner layer sees it.
fn inner(caller: Caller) -> Request {
    Request { caller: Some(caller), ..Request::get("/orders") }
}

#[test]
fn as_many_requests_as_there_are_slots_are_under_way_at_once() {
    let bench = Bench::new();
    let request = bench.key("free");
    let (first, second) = (bench.enter(&request), bench.enter(&request));
    let refused = bench.desk.ask(&request, &costing(7)).unwrap_err();
    assert_eq!(refused.reason(), Reason::TooManyConcurrent);
    assert_eq!(refused.violated().len(), 1);
    assert_eq!(refused.violated()[0].as_str(), "parallel");
    let reply = refused.reply();
    assert_eq!(reply.status, 429);
    assert_eq!(field(&reply.headers, "retry-after"), Some("1"));
    answer(first);
    let third = bench.enter(&request);
    assert!(bench.desk.ask(&request, &any_key()).is_err());
    drop((second, third));
    assert_eq!(bench.free(&request), 2);
}

#[test]
fn a_slot_is_free_once_its_request_was_answered_or_given_up() {
    let bench = Bench::new();
    let request = bench.key("free");
    let ends: [fn(Passage); 4] = [
        answer,
        |passage| passage.settle(None),
        drop,
        |passage| {
            let handler = AssertUnwindSafe(|| {
                let _held = passage;
                panic!("in the handler");
            });
            assert!(catch_unwind(handler).is_err());
        },
    ];
    for end in ends {
        let passage = bench.enter(&request);
        assert_eq!(bench.free(&request), 1);
        bench.desk.metered();
        end(passage);
        let metered = bench.desk.metered();
        assert_eq!(metered.len(), 1, "{metered:?}");
        assert_eq!(bench.free(&request), 2);
    }
}

#[test]
fn a_panic_of_the_handler_is_metered_as_a_failure_of_the_service() {
    let bench = Bench::new();
    let passage = bench.enter(&bench.key("free"));
    let handler = AssertUnwindSafe(|| {
        let _held = (passage.admission().clone(), passage);
        panic!("in the handler");
    });
    assert!(catch_unwind(handler).is_err());
    let metered = bench.desk.metered();
    assert_eq!(metered.len(), 1);
    assert_eq!(metered[0].outcome, Outcome::Admitted(StatusClass::ServerError));
}

#[test]
fn what_weighs_nothing_takes_no_slot_and_needs_none() {
    let bench = Bench::new();
    let request = bench.key("free");
    let looks = [(); 5].map(|()| bench.desk.ask(&request, &costing(0)).unwrap());
    assert!(looks.iter().all(|look| look.for_body().is_none()));
    let heavy = bench.desk.ask(&request, &costing(90)).unwrap();
    assert_eq!(bench.free(&request), 1, "a slot is a slot, whatever the request weighs");
    drop((looks, heavy));
    assert_eq!(bench.free(&request), 2);
}

#[test]
fn a_client_that_goes_away_while_it_is_counted_leaves_no_slot_behind() {
    let bench = Bench::new();
    let request = bench.key("free");
    let under_way = bench.enter(&request);
    // Whether the store had counted before it fell silent, nobody knows.
    for mood in [Mood::Silent, Mood::Lost] {
        bench.counters.turn(mood);
        bench.come_and_leave(&request);
        bench.counters.turn(Mood::Well);
        assert_eq!(bench.free(&request), 1, "{mood:?}: the other request still has its slot");
    }
    answer(under_way);
    assert_eq!(bench.free(&request), 2);
}

#[test]
fn a_fault_of_the_store_leaves_no_slot_behind() {
    let bench = Bench::new();
    let request = bench.key("free");
    let under_way = bench.enter(&request);
    for mood in [Mood::Broken, Mood::Mute, Mood::Late] {
        bench.counters.turn(mood);
        let uncounted = bench.enter(&request);
        assert!(uncounted.admitted().is_degraded());
        assert!(uncounted.for_body().is_none(), "{mood:?}: it has no slot");
        bench.counters.turn(Mood::Well);
        assert_eq!(bench.free(&request), 1, "{mood:?}: while it is under way");
        answer(uncounted);
        assert_eq!(bench.free(&request), 1, "{mood:?}: the other request still has its slot");
    }
    answer(under_way);
    assert_eq!(bench.free(&request), 2);
}

#[test]
fn a_store_that_was_not_even_asked_is_spared_the_settlement() {
    let bench = Bench::new();
    let request = bench.key("free");
    for (mood, settlements) in [(Mood::Paused, 0), (Mood::Broken, 1)] {
        let before = bench.counters.settled();
        bench.counters.turn(mood);
        answer(bench.enter(&request));
        assert_eq!(bench.counters.settled() - before, settlements, "{mood:?}");
    }
    bench.counters.turn(Mood::Well);
    assert_eq!(bench.free(&request), 2);
}

#[test]
fn a_request_that_is_refused_for_something_else_takes_no_slot() {
    let bench = Bench::new();
    let request = bench.key("tight");
    let scoped = Arc::new(Requirement::default().require("orders:write").unwrap());
    let refused = bench.desk.ask(&request, &scoped).unwrap_err();
    assert_eq!(refused.reason(), Reason::InsufficientScope);
    let refused = bench.desk.ask(&request, &costing(6)).unwrap_err();
    assert_eq!(refused.reason(), Reason::CostExceedsLimit);
    answer(bench.desk.ask(&request, &costing(4)).unwrap());
    for _ in 0..3 {
        let refused = bench.desk.ask(&request, &any_key()).unwrap_err();
        assert_eq!(refused.reason(), Reason::RateLimited);
    }
    assert_eq!(bench.free(&request), 2);
}

#[test]
fn a_request_that_finds_no_slot_uses_nothing_up() {
    let bench = Bench::new();
    let request = bench.key("free");
    let held = [bench.enter(&request), bench.enter(&request)];
    for _ in 0..5 {
        assert!(bench.desk.ask(&request, &costing(20)).is_err());
    }
    let look = bench.desk.ask(&request, &costing(0)).unwrap();
    let left: Vec<_> = look.admitted().counted().iter().map(|(_, r)| r.remaining).collect();
    assert_eq!(left, [0, 98]);
    drop(held);
}

#[test]
fn slots_are_the_reason_only_if_no_rate_and_no_quota_is() {
    let bench = Bench::new();
    let request = bench.key("tight");
    let held = [bench.enter(&request), bench.enter(&request)];
    let reason = |cost| bench.desk.ask(&request, &costing(cost)).unwrap_err().reason();
    assert_eq!(reason(1), Reason::TooManyConcurrent);
    assert_eq!(reason(3), Reason::RateLimited, "2 of a burst of 4 are left");
    assert_eq!(reason(4), Reason::QuotaExhausted, "3 of a quota of 5 are left");
    let refused = bench.desk.ask(&request, &costing(4)).unwrap_err();
    let violated: Vec<_> = refused.violated().iter().map(ToString::to_string).collect();
    assert_eq!(violated, ["parallel", "burst", "daily"]);
    drop(held);
    assert_eq!(reason(3), Reason::RateLimited);
}

#[test]
fn a_slot_stays_for_as_long_as_somebody_holds_the_admission() {
    let bench = Bench::new();
    let request = bench.key("free");
    let passage = bench.enter(&request);
    let (background, body) = (passage.admission().clone(), passage.for_body());
    assert!(body.is_some());
    bench.desk.metered();
    let verdict = passage.verdict(None).unwrap();
    passage.settle(Some(202));
    let another = background.clone();
    drop(background);
    assert_eq!(bench.free(&request), 1);
    drop(body);
    assert_eq!(bench.free(&request), 1);
    bench.desk.metered();
    drop(another);
    let metered = bench.desk.metered();
    assert_eq!(metered.len(), 1, "once, and when it is over");
    assert_eq!(metered[0].outcome, Outcome::Admitted(StatusClass::Success));
    assert_eq!(bench.free(&request), 2, "a verdict in a log holds nothing");
    drop(verdict);
}

#[test]
fn the_latency_of_a_request_ends_with_its_answer() {
    let bench = Bench::new();
    let passage = bench.enter(&bench.key("free"));
    let background = passage.admission().clone();
    bench.desk.clock.advance(std::time::Duration::from_millis(3));
    answer(passage);
    bench.desk.clock.advance(std::time::Duration::from_secs(60));
    assert!(bench.desk.metered().is_empty(), "it is not over");
    drop(background);
    assert_eq!(bench.desk.metered()[0].latency_micros, 3_000);
}

#[test]
fn the_body_holds_nothing_where_there_are_no_slots() {
    let bench = Bench::new();
    let passage = bench.enter(&bench.key("unlimited"));
    assert!(passage.for_body().is_none());
    let exports = bench.enter(&bench.key("exports"));
    assert!(exports.for_body().is_none(), "of another operation");
}

#[test]
fn slots_are_of_the_operations_that_the_limit_names() {
    let bench = Bench::new();
    let request = bench.key("exports");
    let export = Arc::new(Requirement::default().operation("export").unwrap());
    let under_way = bench.desk.ask(&request, &export).unwrap();
    assert!(bench.desk.ask(&request, &export).is_err());
    let others = [bench.enter(&request), bench.enter(&request)];
    drop(under_way);
    assert!(bench.desk.ask(&request, &export).is_ok());
    drop(others);
}

#[test]
fn layers_of_one_gate_share_one_slot() {
    let bench = Bench::new();
    let request = bench.key("free");
    let outer = bench.enter(&request);
    let within = bench.desk.ask(&inner(outer.caller()), &any_key()).unwrap();
    assert_eq!(bench.free(&request), 1);
    assert!(within.for_body().is_none(), "the outer layer's body holds it");
    bench.desk.metered();
    answer(outer);
    assert_eq!(bench.free(&request), 1, "the inner layer is not done");
    bench.desk.metered();
    answer(within);
    assert_eq!(bench.desk.metered().len(), 1);
    assert_eq!(bench.free(&request), 2);
}

#[test]
fn a_refusal_of_an_inner_layer_does_not_end_the_request() {
    let bench = Bench::new();
    let request = bench.key("free");
    let outer = bench.enter(&request);
    let scoped = Arc::new(Requirement::default().require("orders:write").unwrap());
    let refused = bench.desk.ask(&inner(outer.caller()), &scoped).unwrap_err();
    assert_eq!(refused.reason(), Reason::InsufficientScope);
    assert_eq!(bench.free(&request), 1);
    answer(outer);
    assert_eq!(bench.free(&request), 2);
}

#[test]
fn a_local_share_of_the_slots_is_taken_and_given_back_here() {
    let bench = Bench::new();
    let request = bench.key("shared");
    bench.counters.turn(Mood::Broken);
    for _ in 0..3 {
        let held = [bench.enter(&request), bench.enter(&request)];
        assert!(held.iter().all(|passage| passage.admitted().is_degraded()));
        let refused = bench.desk.ask(&request, &any_key()).unwrap_err();
        assert_eq!(refused.reason(), Reason::TooManyConcurrent, "2 of 4, for there are 2 replicas");
        let [one, other] = held;
        answer(one);
        drop(other);
    }
}

/// A slot is given back where it was taken, whatever the store does meanwhile.
#[test]
fn a_slot_goes_back_where_it_came_from() {
    let bench = Bench::new();
    let request = bench.key("shared");
    let well = bench.enter(&request);
    bench.counters.turn(Mood::Broken);
    let local = [bench.enter(&request), bench.enter(&request)];
    bench.counters.turn(Mood::Well);
    assert_eq!(bench.free(&request), 3);
    drop(local);
    assert_eq!(bench.free(&request), 3, "those were not taken there");
    bench.counters.turn(Mood::Broken);
    drop(well);
    let local = [bench.enter(&request), bench.enter(&request)];
    assert!(bench.desk.ask(&request, &any_key()).is_err(), "that was not taken here");
    bench.counters.turn(Mood::Well);
    assert_eq!(bench.free(&request), 4);
    drop(local);
}

#[test]
fn slots_that_are_closed_on_failure_refuse_with_503() {
    let bench = Bench::new();
    let request = bench.key("closed");
    for mood in [Mood::Broken, Mood::Late] {
        bench.counters.turn(mood);
        let refused = bench.desk.ask(&request, &any_key()).unwrap_err();
        assert_eq!(refused.reason(), Reason::LimiterUnavailable);
        bench.counters.turn(Mood::Well);
        assert_eq!(bench.free(&request), 2, "{mood:?}");
    }
}

#[test]
fn an_edit_of_the_plan_neither_frees_nor_loses_a_slot() {
    let bench = Bench::new();
    let request = bench.key("free");
    let with = |limits: &str| Plans::from_toml(&format!("[plans.free]\nlimits = [{limits}]"));
    let of = |slots: u64| with(&format!(r#"{{ name = "parallel", concurrency = {slots} }}"#));
    let held = [bench.enter(&request), bench.enter(&request)];
    for (slots, left) in [(5, 3), (1, 0), (3, 1)] {
        bench.desk.gate.replace_plans(of(slots).unwrap());
        assert_eq!(bench.free(&request), left, "of {slots}");
    }
    bench.desk.gate.replace_plans(with("").unwrap());
    let [one, other] = held;
    answer(one);
    bench.desk.gate.replace_plans(of(3).unwrap());
    assert_eq!(bench.free(&request), 2, "one was given back while the plan had no slots");
    answer(other);
    assert_eq!(bench.free(&request), 3);
}

#[test]
fn gates_that_share_their_counters_do_not_give_back_each_others_slots() {
    let counters = Arc::new(MemoryCounters::default());
    let keys = Arc::new(MemoryKeys::default());
    let desk = || Desk::new(PLANS, |gate| gate.counters(counters.clone()).keys(keys.clone()));
    let (one, two) = (desk(), desk());
    let key = one.issue(NewKey::new("acme", "free"));
    let request = Request::bearer(key.key.expose());
    let here = one.ask(&request, &any_key()).unwrap();
    let there = two.ask(&request, &any_key()).unwrap();
    assert_eq!(one.ask(&request, &any_key()).unwrap_err().reason(), Reason::TooManyConcurrent);
    answer(here);
    assert_eq!(free(&two, &request), 1);
    answer(there);
    assert_eq!(free(&one, &request), 2);
}

#[test]
fn threads_never_hold_more_than_there_is_and_leave_everything_free() {
    let bench = Bench::new();
    let request = bench.key("free");
    let (at_it, start) = (AtomicUsize::new(0), Barrier::new(4));
    let admitted: usize = thread::scope(|scope| {
        let work = || {
            start.wait();
            (0..10).filter(|_| come_and_go(&bench.desk, &request, &at_it)).count()
        };
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(work)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert!(admitted >= 10, "{admitted}");
    assert_eq!(bench.free(&request), 2);
}

fn come_and_go(desk: &Desk, request: &Request, at_it: &AtomicUsize) -> bool {
    let Ok(passage) = desk.ask(request, &any_key()) else { return false };
    assert!(at_it.fetch_add(1, SeqCst) < 2);
    thread::yield_now();
    at_it.fetch_sub(1, SeqCst);
    answer(passage);
    true
}
