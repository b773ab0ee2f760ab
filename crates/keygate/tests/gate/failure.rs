//! What becomes of requests when a store fails.

use std::sync::Arc;

use keygate::{
    Plans,
    keyring::NewKey,
    requirement::Requirement,
    usage::{Outcome, StatusClass},
    verdict::{Reason, Rejection},
};

use crate::{
    rigged::{RiggedKeys, Way},
    stores::{Mood, MoodyCounters},
    support::{Desk, Request, any_key, field},
};

const PLANS: &str = r#"
    [plans.open]
    limits = [{ name = "burst", rate = "10/s" }]
    [plans.closed]
    limits = [{ name = "burst", rate = "10/s", on_failure = "closed" }]
    [plans.mixed]
    limits = [
        { name = "burst", rate = "10/s" },
        { name = "daily", quota = 1000, per = "day" },
    ]
    [plans.soft]
    limits = [{ name = "daily", quota = 1000, per = "day", on_failure = "open" }]
    [plans.routes]
    limits = [
        { name = "burst", rate = "10/s" },
        { name = "exports", quota = 10, per = "day", operations = ["export"] },
    ]
    [plans.shared]
    limits = [
        { name = "daily", quota = 10, per = "day", on_failure = "local_share" },
        { name = "burst", rate = "10/s" },
    ]
    [plans.free]
"#;

struct Bench {
    desk: Desk,
    keys: Arc<RiggedKeys>,
    counters: Arc<MoodyCounters>,
}

impl Bench {
    fn new() -> Self {
        Self::of_replicas(1)
    }

    fn of_replicas(replicas: u64) -> Self {
        let keys = Arc::new(RiggedKeys::default());
        let counters = Arc::new(MoodyCounters::shared_by(replicas));
        let desk = Desk::new(PLANS, |gate| gate.keys(keys.clone()).counters(counters.clone()));
        Self { desk, keys, counters }
    }

    fn request(&self, plan: &str) -> Request {
        let key = self.desk.issue(NewKey::new("acme", plan));
        Request::bearer(key.key.expose())
    }
}

#[track_caller]
fn assert_unavailable(rejection: &Rejection, code: &str) {
    assert_eq!(rejection.reason().code(), code);
    let reply = rejection.reply();
    assert_eq!(reply.status, 503);
    let names: Vec<_> = reply.headers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["content-type", "retry-after"]);
    assert_eq!(field(&reply.headers, "retry-after"), Some("1"));
    let problem: serde_json::Value = serde_json::from_str(&reply.body).unwrap();
    assert_eq!(problem["code"], code);
    assert_eq!(problem["status"], 503);
    assert_eq!(problem.get("violated-policies"), None);
    assert!(!reply.body.contains("broken"), "faults are not told");
}

#[test]
fn limits_that_are_open_on_failure_admit_uncounted_and_say_so() {
    let bench = Bench::new();
    for plan in ["open", "soft"] {
        let request = bench.request(plan);
        for mood in [Mood::Broken, Mood::Mute] {
            bench.counters.turn(mood);
            let admission = bench.desk.ask(&request, &any_key()).unwrap();
            assert!(admission.admitted().is_degraded(), "{plan}, {mood:?}");
            assert!(admission.admitted().counted().is_empty());
            assert!(admission.fields().is_empty());
            admission.settle(Some(200));
        }
        bench.counters.turn(Mood::Well);
        let admission = bench.desk.ask(&request, &any_key()).unwrap();
        assert!(!admission.admitted().is_degraded());
        assert_eq!(admission.fields().len(), 2);
    }
}

#[test]
fn one_limit_that_is_closed_on_failure_refuses_with_503() {
    let bench = Bench::new();
    for plan in ["closed", "mixed"] {
        let request = bench.request(plan);
        for mood in [Mood::Broken, Mood::Mute] {
            bench.counters.turn(mood);
            let rejection = bench.desk.ask(&request, &any_key()).unwrap_err();
            assert_unavailable(&rejection, "limiter_unavailable");
            assert_eq!(rejection.caller().unwrap().consumer().as_str(), "acme");
        }
        bench.counters.turn(Mood::Well);
        assert!(bench.desk.ask(&request, &any_key()).is_ok());
    }
}

#[test]
fn a_closed_limit_that_does_not_count_the_operation_refuses_nothing() {
    let bench = Bench::new();
    let request = bench.request("routes");
    bench.counters.turn(Mood::Broken);
    let admission = bench.desk.ask(&request, &any_key()).unwrap();
    assert!(admission.admitted().is_degraded());
    let export = Requirement::default().operation("export").unwrap();
    let rejection = bench.desk.ask(&request, &Arc::new(export)).unwrap_err();
    assert_unavailable(&rejection, "limiter_unavailable");
}

#[test]
fn a_plan_without_limits_needs_no_counters() {
    let bench = Bench::new();
    let request = bench.request("free");
    bench.counters.turn(Mood::Broken);
    let admission = bench.desk.ask(&request, &any_key()).unwrap();
    assert!(!admission.admitted().is_degraded());
}

#[test]
fn a_cost_that_never_fits_is_no_fault_even_when_the_counters_fail() {
    let bench = Bench::new();
    let request = bench.request("open");
    bench.counters.turn(Mood::Broken);
    let dear = Arc::new(Requirement::default().cost(11));
    let rejection = bench.desk.ask(&request, &dear).unwrap_err();
    assert_eq!(rejection.reason().code(), "cost_exceeds_limit");
}

#[test]
fn a_failing_key_store_is_503_and_never_401() {
    let bench = Bench::new();
    let request = bench.request("open");
    bench.keys.finding(Way::Fails);
    let rejection = bench.desk.ask(&request, &any_key()).unwrap_err();
    assert_unavailable(&rejection, "keys_unavailable");
    assert!(rejection.caller().is_none());
    let metered = bench.desk.metered();
    assert_eq!(metered[0].outcome, Outcome::Denied(rejection.reason()));
    assert_eq!(metered[0].key, None);

    let nobody = bench.desk.ask(&Request::get("/"), &any_key());
    assert_eq!(nobody.unwrap_err().reason().code(), "missing_key");
}

#[test]
fn a_plan_that_is_gone_is_503_until_it_is_back() {
    let bench = Bench::new();
    let request = bench.request("open");
    bench.desk.gate.replace_plans(Plans::from_toml("[plans.other]").unwrap());
    let rejection = bench.desk.ask(&request, &any_key()).unwrap_err();
    assert_unavailable(&rejection, "plan_unavailable");
    assert!(bench.desk.metered()[0].key.is_some());
    bench.desk.gate.replace_plans(Plans::from_toml(PLANS).unwrap());
    assert!(bench.desk.ask(&request, &any_key()).is_ok());
}

#[test]
fn a_local_share_is_counted_here_and_is_the_limit_divided() {
    let bench = Bench::of_replicas(3);
    let request = bench.request("shared");
    bench.counters.turn(Mood::Broken);
    for remaining in [2, 1, 0] {
        let admission = bench.desk.ask(&request, &any_key()).unwrap();
        assert!(admission.admitted().is_degraded());
        let counted = admission.admitted().counted().iter();
        let told: Vec<_> =
            counted.map(|(limit, reading)| (limit.name().as_str(), reading.remaining)).collect();
        assert_eq!(told, [("daily", remaining)], "only what is counted is told");
    }
    let rejection = bench.desk.ask(&request, &any_key()).unwrap_err();
    assert_eq!(rejection.reason(), Reason::QuotaExhausted);
    assert_eq!(bench.desk.gate.degraded(), 4);
    bench.counters.turn(Mood::Well);
    let admission = bench.desk.ask(&request, &any_key()).unwrap();
    assert!(!admission.admitted().is_degraded());
}

#[test]
fn a_cost_that_the_plan_allows_but_a_share_cannot_hold_is_not_told_as_too_dear() {
    let bench = Bench::of_replicas(3);
    let request = bench.request("shared");
    bench.counters.turn(Mood::Broken);
    let dear = Arc::new(Requirement::default().cost(4));
    assert_unavailable(&bench.desk.ask(&request, &dear).unwrap_err(), "limiter_unavailable");
}

#[test]
fn a_degraded_request_is_metered_as_what_it_was() {
    let bench = Bench::new();
    let request = bench.request("open");
    bench.counters.turn(Mood::Broken);
    let dear = Arc::new(Requirement::default().cost(3));
    bench.desk.ask(&request, &dear).unwrap().settle(Some(201));
    let metered = bench.desk.metered();
    let outcome = Outcome::Admitted(StatusClass::Success);
    assert_eq!((metered[0].outcome, metered[0].cost), (outcome, 3));
    assert_eq!(metered.len(), 1);
}

#[test]
fn a_script_of_another_origin_may_read_when_to_come_back() {
    let bench = Bench::new();
    let request = bench.request("closed").with("origin", "https://app.example");
    bench.counters.turn(Mood::Broken);
    let reply = bench.desk.ask(&request, &any_key()).unwrap_err().reply();
    assert_eq!(field(&reply.headers, "retry-after"), Some("1"));
    let exposed = field(&reply.headers, "access-control-expose-headers");
    assert_eq!(exposed, Some("Retry-After"));
}
