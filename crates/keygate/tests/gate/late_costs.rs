//! Costs that are known when the request has been served.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use keygate::{
    Plans,
    keyring::NewKey,
    requirement::Requirement,
    usage::{Outcome, StatusClass},
    verdict::{Passage, Reason},
};

use crate::{
    stores::{Mood, MoodyCounters},
    support::{Desk, Request, any_key, field},
};

const PLANS: &str = r#"
    [plans.tokens]
    limits = [
        { name = "daily", quota = 100, per = "day" },
        { name = "parallel", concurrency = 4 },
    ]
    [plans.paced]
    limits = [{ name = "pace", rate = "1/s", burst = 10 }]
    [plans.open]
    limits = [{ name = "daily", quota = 100, per = "day", on_failure = "open" }]
    [plans.shared]
    limits = [{ name = "daily", quota = 100, per = "day", on_failure = "local_share" }]
"#;

fn desk() -> Desk {
    Desk::new(PLANS, |gate| gate)
}

fn key(desk: &Desk, plan: &str) -> Request {
    Request::bearer(desk.issue(NewKey::new("acme", plan)).key.expose())
}

fn costing(cost: u64) -> Arc<Requirement> {
    Arc::new(Requirement::default().cost(cost))
}

fn enter(desk: &Desk, request: &Request, cost: u64) -> Passage {
    desk.ask(request, &costing(cost)).unwrap()
}

fn answer(passage: Passage) {
    passage.settle(Some(200));
}

/// What is left of the first limit of the plan.
#[track_caller]
fn left(desk: &Desk, request: &Request) -> u64 {
    let look = enter(desk, request, 0);
    let counted = look.admitted().counted();
    counted.iter().next().unwrap().1.remaining
}

#[test]
fn a_request_that_weighed_more_is_charged_the_rest() {
    let desk = desk();
    let request = key(&desk, "tokens");
    let passage = enter(&desk, &request, 10);
    passage.admission().settle_cost(25);
    assert_eq!(passage.admitted().cost(), 25);
    assert_eq!(left(&desk, &request), 75);
    desk.metered();
    answer(passage);
    assert_eq!(desk.metered()[0].cost, 25);
}

#[test]
fn a_request_that_weighed_less_gets_the_rest_back() {
    let desk = desk();
    let request = key(&desk, "tokens");
    let passage = enter(&desk, &request, 40);
    passage.admission().settle_cost(15);
    assert_eq!(left(&desk, &request), 85);
    desk.metered();
    answer(passage);
    assert_eq!(desk.metered()[0].cost, 15);
}

#[test]
fn of_what_a_request_weighed_the_last_word_counts() {
    let desk = desk();
    let request = key(&desk, "tokens");
    let passage = enter(&desk, &request, 10);
    for (cost, remaining) in [(30, 70), (30, 70), (5, 95), (0, 100), (60, 40), (10, 90)] {
        passage.admission().clone().settle_cost(cost);
        assert_eq!(left(&desk, &request), remaining, "after {cost}");
    }
    let background = passage.admission().clone();
    answer(passage);
    background.settle_cost(12);
    assert_eq!(left(&desk, &request), 88, "after the answer, too");
    desk.metered();
    drop(background);
    let metered = desk.metered();
    assert_eq!(metered.len(), 1);
    assert_eq!(metered[0].cost, 12);
}

#[test]
fn what_is_beyond_a_quota_denies_the_next_until_the_window_turns() {
    let desk = desk();
    let request = key(&desk, "tokens");
    let passage = enter(&desk, &request, 10);
    passage.admission().settle_cost(250);
    answer(passage);
    assert_eq!(left(&desk, &request), 0);
    let refused = desk.ask(&request, &any_key()).unwrap_err();
    assert_eq!(refused.reason(), Reason::QuotaExhausted);
    assert_eq!(refused.retry_after(), Some(Duration::from_secs(43_200)));
    desk.clock.advance(Duration::from_micros(43_200_000_000 - 1));
    assert!(desk.ask(&request, &any_key()).is_err());
    desk.clock.advance(Duration::from_micros(1));
    assert_eq!(left(&desk, &request), 100, "the debt is forgotten with the window");
}

#[test]
fn what_is_beyond_a_rate_flows_back_at_its_pace() {
    let desk = desk();
    let request = key(&desk, "paced");
    let passage = enter(&desk, &request, 4);
    passage.admission().settle_cost(15);
    answer(passage);
    let refused = desk.ask(&request, &any_key()).unwrap_err();
    assert_eq!(refused.reason(), Reason::RateLimited);
    assert_eq!(refused.retry_after(), Some(Duration::from_secs(6)), "5 owed, and one more");
    desk.clock.advance(Duration::from_micros(6_000_000 - 1));
    assert!(desk.ask(&request, &any_key()).is_err());
    desk.clock.advance(Duration::from_micros(1));
    assert!(desk.ask(&request, &any_key()).is_ok());
    assert!(desk.ask(&request, &any_key()).is_err());
}

#[test]
fn what_came_back_by_itself_is_not_given_back_again() {
    let desk = desk();
    let request = key(&desk, "paced");
    let long = enter(&desk, &request, 8);
    desk.clock.advance(Duration::from_secs(5));
    answer(enter(&desk, &request, 5));
    assert_eq!(left(&desk, &request), 2);
    long.admission().settle_cost(0);
    assert_eq!(left(&desk, &request), 5, "of 8 there were 5 back");
}

#[test]
fn a_request_over_midnight_gives_nothing_back_to_the_day_after() {
    let desk = desk();
    let request = key(&desk, "tokens");
    desk.clock.advance(Duration::from_secs(43_199));
    let long = enter(&desk, &request, 50);
    desk.clock.advance(Duration::from_secs(1));
    answer(enter(&desk, &request, 30));
    long.admission().settle_cost(10);
    assert_eq!(left(&desk, &request), 70);
    long.admission().settle_cost(25);
    assert_eq!(left(&desk, &request), 55, "but more is taken from the day it is");
}

#[test]
fn fields_tell_what_was_known_at_the_gate() {
    let desk = desk();
    let passage = enter(&desk, &key(&desk, "paced"), 2);
    passage.admission().settle_cost(7);
    let fields = passage.fields();
    assert_eq!(field(&fields, "ratelimit"), Some(r#""pace";r=8;t=1"#));
}

#[test]
fn a_failure_costs_nothing_where_the_route_says_so() {
    let desk = desk();
    let request = key(&desk, "tokens");
    let fair = Requirement::default().cost(10).refund_on(500..=599).refund_on(404..=404);
    let fair = Arc::new(fair);
    let cases = [
        (Some(200), 90, 10),
        (Some(404), 90, 0),
        (Some(403), 80, 10),
        (Some(500), 80, 0),
        (Some(599), 80, 0),
        (None, 80, 0),
    ];
    for (status, remaining, cost) in cases {
        desk.ask(&request, &fair).unwrap().settle(status);
        let metered = desk.metered();
        assert_eq!((metered.len(), metered[0].cost), (1, cost), "{status:?}");
        assert_eq!(metered[0].outcome, Outcome::answered(status));
        assert_eq!(left(&desk, &request), remaining, "{status:?}");
        desk.metered();
    }
    let unfair = enter(&desk, &request, 10);
    unfair.settle(Some(500));
    assert_eq!(left(&desk, &request), 70);
}

#[test]
fn a_failure_gives_back_what_was_settled_and_charged_meanwhile() {
    let desk = desk();
    let request = key(&desk, "tokens");
    let fair = Arc::new(Requirement::default().cost(10).refund_on(500..=599));
    let passage = desk.ask(&request, &fair).unwrap();
    passage.admission().settle_cost(30);
    pollster::block_on(passage.admission().charge(5)).unwrap();
    assert_eq!(left(&desk, &request), 65);
    passage.settle(Some(503));
    assert_eq!(left(&desk, &request), 100);
}

/// As a service that fails without a response.
#[test]
fn a_panic_is_refunded_as_a_failure_and_a_client_that_went_away_is_not() {
    let desk = desk();
    let request = key(&desk, "tokens");
    let fair = Arc::new(Requirement::default().cost(10).refund_on(500..=500));
    let passage = desk.ask(&request, &fair).unwrap();
    let handler = AssertUnwindSafe(|| {
        let _held = passage;
        panic!("in the handler");
    });
    assert!(catch_unwind(handler).is_err());
    let metered = desk.metered();
    assert_eq!((metered[0].outcome, metered[0].cost), (Outcome::answered(None), 0));
    assert_eq!(left(&desk, &request), 100);
    desk.metered();
    drop(desk.ask(&request, &fair).unwrap());
    let metered = desk.metered();
    assert_eq!((metered[0].outcome, metered[0].cost), (Outcome::Aborted, 10));
    assert_eq!(left(&desk, &request), 90);
}

#[test]
fn an_inner_layer_settles_the_cost_of_the_one_request() {
    let desk = desk();
    let request = key(&desk, "tokens");
    let outer = enter(&desk, &request, 10);
    let within = Request { caller: Some(outer.caller()), ..Request::get("/orders") };
    let refunding = Arc::new(Requirement::default().refund_on(500..=599));
    let inner = desk.ask(&within, &refunding).unwrap();
    drop(within);
    inner.admission().settle_cost(20);
    inner.settle(Some(500));
    assert_eq!(left(&desk, &request), 80, "refunds belong to the first layer");
    desk.metered();
    outer.settle(Some(500));
    let metered = desk.metered();
    assert_eq!(metered.len(), 1);
    assert_eq!(metered[0].cost, 20);
}

#[test]
fn a_request_of_cost_0_may_turn_out_to_weigh_something() {
    let desk = desk();
    let request = key(&desk, "tokens");
    let passage = enter(&desk, &request, 0);
    passage.admission().settle_cost(7);
    answer(passage);
    assert_eq!(left(&desk, &request), 93);
}

/// A correction goes by the limit that charged; what a larger one has counted since stays counted.
#[test]
fn a_raised_burst_does_not_forget_what_was_used_when_an_old_request_ends() {
    let desk = desk();
    let request = key(&desk, "paced");
    let long = enter(&desk, &request, 5);
    let raised = "[plans.paced]\nlimits = [{ name = \"pace\", rate = \"1/s\", burst = 1000 }]";
    desk.gate.replace_plans(Plans::from_toml(raised).unwrap());
    answer(enter(&desk, &request, 700));
    assert_eq!(left(&desk, &request), 295);
    long.admission().settle_cost(2);
    assert_eq!(left(&desk, &request), 298);
    answer(long);
}

#[test]
fn a_limit_that_is_gone_is_corrected_without_harm() {
    let desk = desk();
    let request = key(&desk, "tokens");
    let long = enter(&desk, &request, 50);
    let renamed = "[plans.tokens]\nlimits = [{ name = \"other\", quota = 100, per = \"day\" }]";
    desk.gate.replace_plans(Plans::from_toml(renamed).unwrap());
    answer(enter(&desk, &request, 30));
    long.admission().settle_cost(0);
    assert_eq!(left(&desk, &request), 70);
    desk.gate.replace_plans(Plans::from_toml(PLANS).unwrap());
    assert_eq!(left(&desk, &request), 100);
    answer(long);
}

#[test]
fn a_request_that_nobody_counted_is_corrected_nowhere() {
    let (desk, counters) = moody();
    let request = key(&desk, "open");
    answer(enter(&desk, &request, 50));
    counters.turn(Mood::Broken);
    let uncounted = enter(&desk, &request, 20);
    counters.turn(Mood::Well);
    uncounted.admission().settle_cost(0);
    assert_eq!(left(&desk, &request), 50);
    uncounted.admission().settle_cost(90);
    assert_eq!(left(&desk, &request), 50);
    desk.metered();
    answer(uncounted);
    assert_eq!(desk.metered()[0].cost, 90, "metered it is");
}

#[test]
fn a_request_that_was_counted_here_is_corrected_here() {
    let (desk, counters) = moody();
    let request = key(&desk, "shared");
    answer(enter(&desk, &request, 30));
    counters.turn(Mood::Broken);
    let local = enter(&desk, &request, 20);
    local.admission().settle_cost(5);
    assert_eq!(left(&desk, &request), 45, "of half of it, for there are 2 replicas");
    counters.turn(Mood::Well);
    local.admission().settle_cost(35);
    assert_eq!(left(&desk, &request), 70, "not there");
    counters.turn(Mood::Broken);
    assert_eq!(left(&desk, &request), 15);
    drop(local);
}

/// Messages that came while the store was away were not counted by it, so it gives none of them back.
#[test]
fn what_the_store_did_not_count_it_does_not_give_back() {
    let (desk, counters) = moody();
    for plan in ["open", "shared"] {
        // A consumer each.
        let key = desk.issue(NewKey::new(plan, plan));
        let request = Request::bearer(key.key.expose());
        answer(enter(&desk, &request, 40));
        let passage = enter(&desk, &request, 10);
        counters.turn(Mood::Broken);
        pollster::block_on(passage.admission().charge(30)).unwrap();
        counters.turn(Mood::Well);
        assert_eq!(passage.admitted().cost(), 40);
        for (cost, used) in [(35, 45), (0, 40), (42, 52), (40, 50)] {
            passage.admission().settle_cost(cost);
            assert_eq!(left(&desk, &request), 100 - used, "{plan}: {cost}, beside 30 elsewhere");
        }
        desk.metered();
        answer(passage);
        let metered = desk.metered();
        let outcome = Outcome::Admitted(StatusClass::Success);
        assert_eq!((metered[0].outcome, metered[0].cost), (outcome, 40));
    }
}

/// Nor does a limit that came with another plan.
#[test]
fn what_another_limit_counted_is_not_given_back_by_this_one() {
    let desk = desk();
    let issued = desk.issue(NewKey::new("acme", "tokens"));
    let request = Request::bearer(issued.key.expose());
    answer(enter(&desk, &request, 40));
    let passage = enter(&desk, &request, 10);
    let (keyring, id) = (desk.gate.keyring(), issued.record.id);
    let _ = pollster::block_on(keyring.move_to_plan(id, "paced")).unwrap();
    pollster::block_on(passage.admission().charge(8)).unwrap();
    passage.admission().settle_cost(0);
    answer(passage);
    assert_eq!(left(&desk, &request), 2, "of the pace");
    let _ = pollster::block_on(keyring.move_to_plan(id, "tokens")).unwrap();
    assert_eq!(left(&desk, &request), 60, "of the quota: what the other request used");
}

#[test]
fn what_the_same_limit_counted_under_an_edited_plan_is_given_back() {
    let desk = desk();
    let request = key(&desk, "tokens");
    let passage = enter(&desk, &request, 10);
    let edited = "[plans.tokens]\nlimits = [{ name = \"daily\", quota = 200, per = \"day\" }]";
    desk.gate.replace_plans(Plans::from_toml(edited).unwrap());
    pollster::block_on(passage.admission().charge(30)).unwrap();
    passage.admission().settle_cost(5);
    assert_eq!(left(&desk, &request), 195);
    answer(passage);
}

/// An hour ended while the request was served, but the plan counts by the day by then.
#[test]
fn what_is_missing_is_taken_by_the_plan_of_now() {
    let plan = |limit: &str| format!("[plans.tokens]\nlimits = [{limit}]");
    let quota = |per: &str| plan(&format!(r#"{{ name = "tokens", quota = 100, per = "{per}" }}"#));
    let other = plan(r#"{ name = "tokens", rate = "1/s", burst = 9 }"#);
    for (edited, remaining) in [(quota("day"), 45), (quota("hour"), 85), (other, 9)] {
        let desk = Desk::new(&quota("hour"), |gate| gate);
        let request = key(&desk, "tokens");
        answer(enter(&desk, &request, 30));
        let passage = enter(&desk, &request, 10);
        desk.clock.advance(Duration::from_secs(3_600));
        desk.gate.replace_plans(Plans::from_toml(&edited).unwrap());
        passage.admission().settle_cost(25);
        assert_eq!(left(&desk, &request), remaining, "{edited}");
    }
}

/// If the plan is gone, by that of then.
#[test]
fn what_is_missing_is_taken_though_the_plan_is_gone() {
    let desk = desk();
    let request = key(&desk, "tokens");
    let passage = enter(&desk, &request, 10);
    desk.gate.replace_plans(Plans::default());
    passage.admission().settle_cost(25);
    desk.gate.replace_plans(Plans::from_toml(PLANS).unwrap());
    assert_eq!(left(&desk, &request), 75);
}

fn moody() -> (Desk, Arc<MoodyCounters>) {
    let counters = Arc::new(MoodyCounters::shared_by(2));
    let desk = Desk::new(PLANS, |gate| gate.counters(counters.clone()));
    (desk, counters)
}
