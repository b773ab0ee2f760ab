//! Rates and quotas, as a client meets them.

use std::{sync::Arc, thread, time::Duration};

use keygate::{
    Plans,
    clock::{Clock, Timestamp},
    keyring::{Issued, NewKey},
    requirement::Requirement,
    verdict::{Reason, Rejection},
};

use crate::support::{Desk, Request, any_key, field, noon};

fn desk(limits: &str) -> Desk {
    Desk::new(&plans(limits), |gate| gate)
}

fn plans(limits: &str) -> String {
    format!("[plans.free]\nlimits = [{limits}]")
}

fn key(desk: &Desk, consumer: &str) -> Issued {
    desk.issue(NewKey::new(consumer, "free"))
}

fn request(desk: &Desk) -> Request {
    Request::bearer(key(desk, "acme").key.expose())
}

fn costing(cost: u64) -> Arc<Requirement> {
    Arc::new(Requirement::default().cost(cost))
}

fn operation(name: &str) -> Arc<Requirement> {
    Arc::new(Requirement::default().operation(name).unwrap())
}

/// What remains of each limit, in the order of the plan.
fn remaining(desk: &Desk, request: &Request) -> Vec<u64> {
    let look = desk.ask(request, &costing(0)).unwrap();
    let counted = look.admitted().counted();
    counted.iter().map(|(_, reading)| reading.remaining).collect()
}

/// Everything a refusal for limits must be; its Retry-After, in seconds.
#[track_caller]
fn retry_after(rejection: &Rejection) -> u64 {
    let reply = rejection.reply();
    assert_eq!(reply.status, 429);
    assert_eq!(field(&reply.headers, "www-authenticate"), None);
    let problem: serde_json::Value = serde_json::from_str(&reply.body).unwrap();
    let kind = "https://iana.org/assignments/http-problem-types#quota-exceeded";
    assert_eq!(problem["type"], kind);
    assert_eq!(problem["code"], rejection.reason().code());
    let failed = rejection.counted().iter();
    let failed = failed.filter(|(_, reading)| !reading.within);
    let failed: Vec<_> = failed.map(|(limit, _)| limit.name().as_str()).collect();
    assert_eq!(problem["violated-policies"], serde_json::json!(failed));

    let told = field(&reply.headers, "retry-after").expect("when to come back");
    let seconds: u64 = told.parse().unwrap();
    assert!(seconds >= 1);
    let fields = field(&reply.headers, "ratelimit").unwrap();
    for item in fields.split(", ") {
        let (name, rest) = item.split_once(";r=").unwrap();
        let (_, reset) = rest.split_once(";t=").unwrap();
        if failed.contains(&name.trim_matches('"')) {
            assert!(seconds >= reset.parse().unwrap(), "{told} is before {item}");
        }
    }
    seconds
}

#[test]
fn whoever_comes_back_on_time_is_admitted() {
    let limits = [
        r#"{ name = "a", rate = "1/s" }"#,
        r#"{ name = "a", rate = "3/s", burst = 1 }"#,
        r#"{ name = "a", rate = "1000/s", burst = 5 }"#,
        r#"{ name = "a", rate = "7/min", burst = 3 }"#,
        r#"{ name = "a", rate = "1/h" }"#,
        r#"{ name = "a", rate = "5/day", burst = 2 }"#,
        r#"{ name = "a", quota = 4, per = "hour" }"#,
        r#"{ name = "a", quota = 4, per = "day", zone = "Pacific/Auckland" }"#,
        r#"{ name = "a", quota = 4, per = "month", anchor = 31 }"#,
        r#"{ name = "a", rate = "2/s" }, { name = "b", quota = 3, per = "week" }"#,
        r#"{ name = "a", rate = "2/s" }, { name = "b", rate = "3/min" }"#,
    ];
    for limits in limits {
        for begin in [0, 1, 499_999, 999_999] {
            let desk = desk(limits);
            let request = request(&desk);
            desk.clock.advance(Duration::from_micros(begin));
            let mut refusals = 0;
            for _ in 0..40 {
                if let Err(rejection) = desk.ask(&request, &any_key()) {
                    refusals += 1;
                    let seconds = retry_after(&rejection);
                    desk.clock.advance(Duration::from_secs(seconds));
                    let again = desk.ask(&request, &any_key());
                    assert!(again.is_ok(), "{limits}: too early after {seconds} s");
                }
                desk.clock.advance(Duration::from_micros(7));
            }
            assert!(refusals > 0, "{limits} never refused");
        }
    }
}

#[test]
fn a_rate_says_rate_limited_and_a_quota_quota_exhausted() {
    let rate = desk(r#"{ name = "burst", rate = "1/s" }"#);
    let to_rate = request(&rate);
    assert!(rate.ask(&to_rate, &any_key()).is_ok());
    let refused = rate.ask(&to_rate, &any_key()).unwrap_err();
    assert_eq!(refused.reason(), Reason::RateLimited);
    assert_eq!(retry_after(&refused), 1);

    let quota = desk(r#"{ name = "daily", quota = 1, per = "day" }"#);
    let to_quota = request(&quota);
    assert!(quota.ask(&to_quota, &any_key()).is_ok());
    let refused = quota.ask(&to_quota, &any_key()).unwrap_err();
    assert_eq!(refused.reason(), Reason::QuotaExhausted);
    assert_eq!(retry_after(&refused), 43_200);
    assert_eq!(refused.violated()[0].as_str(), "daily");
}

#[test]
fn a_retry_is_rounded_up_and_the_wait_never_grows() {
    let desk = desk(r#"{ name = "daily", quota = 1, per = "day" }"#);
    let request = request(&desk);
    assert!(desk.ask(&request, &any_key()).is_ok());
    let mut before = u64::MAX;
    let midnight = Timestamp::from(noon()).micros() + 43_200_000_000;
    for micros in [43_200_000_000, 43_199_999_999, 43_199_000_000, 1_000_001, 1_000_000, 1_u64] {
        desk.clock.set(Timestamp::from_micros(midnight - micros));
        let told = retry_after(&desk.ask(&request, &any_key()).unwrap_err());
        assert_eq!(told, micros.div_ceil(1_000_000));
        assert!(told <= before, "refusals must not prolong the wait");
        before = told;
    }
    desk.clock.advance(Duration::from_micros(1));
    assert!(desk.ask(&request, &any_key()).is_ok());
}

#[test]
fn of_several_limits_that_fail_the_longest_wait_is_told() {
    let limits = r#"
        { name = "burst", rate = "2/s" },
        { name = "hourly", quota = 2, per = "hour" },
        { name = "daily", quota = 2, per = "day" },
        { name = "monthly", quota = 100, per = "month" }"#;
    let desk = desk(&limits.replace('\n', " "));
    let request = request(&desk);
    assert!(desk.ask(&request, &costing(2)).is_ok());
    let refused = desk.ask(&request, &any_key()).unwrap_err();
    assert_eq!(refused.reason(), Reason::QuotaExhausted);
    let violated: Vec<_> = refused.violated().iter().map(ToString::to_string).collect();
    assert_eq!(violated, ["burst", "hourly", "daily"]);
    assert_eq!(retry_after(&refused), 43_200);

    desk.clock.advance(Duration::from_secs(3600));
    let refused = desk.ask(&request, &any_key()).unwrap_err();
    let violated: Vec<_> = refused.violated().iter().map(ToString::to_string).collect();
    assert_eq!(violated, ["daily"]);
    assert_eq!(retry_after(&refused), 39_600);
}

#[test]
fn a_refused_request_consumes_nothing_anywhere() {
    let limits = r#"
        { name = "burst", rate = "1/s", burst = 2 },
        { name = "daily", quota = 10, per = "day" }"#;
    let desk = desk(&limits.replace('\n', " "));
    let request = request(&desk);
    assert!(desk.ask(&request, &costing(2)).is_ok());
    for _ in 0..50 {
        assert!(desk.ask(&request, &any_key()).is_err());
    }
    assert_eq!(remaining(&desk, &request), [0, 8]);
    desk.clock.advance(Duration::from_secs(1));
    assert!(desk.ask(&request, &any_key()).is_ok(), "not locked out");
    assert_eq!(remaining(&desk, &request), [0, 7]);
}

#[test]
fn a_cost_above_the_capacity_is_refused_without_a_retry() {
    let limits = r#"
        { name = "burst", rate = "10/s", burst = 5 },
        { name = "daily", quota = 7, per = "day" },
        { name = "monthly", quota = 100, per = "month" }"#;
    let desk = desk(&limits.replace('\n', " "));
    let request = request(&desk);
    for (cost, violated) in [(6, &["burst"][..]), (8, &["burst", "daily"])] {
        let refused = desk.ask(&request, &costing(cost)).unwrap_err();
        assert_eq!(refused.reason(), Reason::CostExceedsLimit);
        let reply = refused.reply();
        assert_eq!(reply.status, 429);
        assert_eq!(reply.headers.len(), 1, "{:?}", reply.headers);
        let problem: serde_json::Value = serde_json::from_str(&reply.body).unwrap();
        assert_eq!(problem["violated-policies"], serde_json::json!(violated));
        assert_eq!(problem["code"], "cost_exceeds_limit");
    }
    let refused = desk.ask(&request, &costing(u64::MAX)).unwrap_err();
    assert_eq!(refused.violated().len(), 3);
    assert_eq!(remaining(&desk, &request), [5, 7, 100]);
    assert!(desk.ask(&request, &costing(5)).is_ok());
}

#[test]
fn a_cost_of_nothing_is_checked_and_metered_but_not_charged() {
    let desk = desk(r#"{ name = "daily", quota = 1, per = "day" }"#);
    let request = request(&desk);
    for left in [1, 0] {
        for _ in 0..3 {
            let admission = desk.ask(&request, &costing(0)).unwrap();
            let fields = admission.fields();
            let state = field(&fields, "ratelimit").unwrap();
            assert!(state.starts_with(&format!(r#""daily";r={left};"#)), "{state}");
            admission.settle(Some(200));
        }
        let metered = desk.metered();
        assert_eq!(metered.len(), 3);
        assert!(metered.iter().all(|event| event.cost == 0));
        if left == 1 {
            desk.ask(&request, &any_key()).unwrap().settle(Some(200));
            desk.metered();
        }
    }
    assert!(desk.ask(&Request::get("/"), &costing(0)).is_err());
}

#[test]
fn a_limit_is_of_the_consumer_unless_it_is_of_the_key() {
    let limits = r#"
        { name = "all", quota = 3, per = "day" },
        { name = "each", quota = 2, per = "day", partition = "key" }"#;
    let desk = desk(&limits.replace('\n', " "));
    let bearer = |key: &Issued| Request::bearer(key.key.expose());
    let (one, two) = (bearer(&key(&desk, "acme")), bearer(&key(&desk, "acme")));
    let other = bearer(&key(&desk, "other"));
    assert!(desk.ask(&one, &costing(2)).is_ok());
    let refused = desk.ask(&one, &any_key()).unwrap_err();
    assert_eq!(refused.violated()[0].as_str(), "each");
    assert_eq!(refused.violated().len(), 1);
    assert!(desk.ask(&two, &any_key()).is_ok());
    let refused = desk.ask(&two, &any_key()).unwrap_err();
    assert_eq!(refused.violated()[0].as_str(), "all");
    assert_eq!(refused.violated().len(), 1);
    assert_eq!(remaining(&desk, &other), [3, 2]);
}

#[test]
fn a_rotated_key_takes_its_counters_along() {
    let desk = desk(r#"{ name = "each", quota = 2, per = "day", partition = "key" }"#);
    let old = key(&desk, "acme");
    let keyring = desk.gate.keyring();
    let rotated = keyring.rotate(old.record.id, Duration::from_secs(60));
    let new = pollster::block_on(rotated).unwrap();
    let old = Request::bearer(old.key.expose());
    let new = Request::bearer(new.key.expose());
    assert!(desk.ask(&old, &any_key()).is_ok());
    assert!(desk.ask(&new, &any_key()).is_ok());
    assert!(desk.ask(&old, &any_key()).is_err());
    assert!(desk.ask(&new, &any_key()).is_err());
    desk.clock.advance(Duration::from_secs(60));
    let expired = desk.ask(&old, &any_key()).unwrap_err();
    assert_eq!(expired.reason(), Reason::ExpiredKey);
}

#[test]
fn a_limit_counts_the_operations_it_names() {
    let limits = r#"
        { name = "all", quota = 9, per = "day" },
        { name = "exports", quota = 1, per = "day", operations = ["export", "dump"] }"#;
    let desk = desk(&limits.replace('\n', " "));
    let request = request(&desk);
    assert!(desk.ask(&request, &operation("export")).is_ok());
    let refused = desk.ask(&request, &operation("dump")).unwrap_err();
    assert_eq!(refused.violated()[0].as_str(), "exports");
    let searched = desk.ask(&request, &operation("search")).unwrap();
    assert_eq!(searched.admitted().counted().iter().count(), 1);
    let fields = searched.fields();
    assert_eq!(field(&fields, "ratelimit"), Some(r#""all";r=7;t=43200"#));
    assert!(desk.ask(&request, &any_key()).is_ok());
}

#[test]
fn an_edit_of_a_limit_helps_or_clamps_at_once_and_keeps_what_was_used() {
    let quota = |amount: u64| format!(r#"{{ name = "daily", quota = {amount}, per = "day" }}"#);
    let desk = desk(&quota(3));
    let request = request(&desk);
    assert!(desk.ask(&request, &costing(3)).is_ok());
    assert!(desk.ask(&request, &any_key()).is_err());
    for (amount, left) in [(5, 2), (2, 0), (10, 7)] {
        let edited = Plans::from_toml(&plans(&quota(amount))).unwrap();
        desk.gate.replace_plans(edited);
        assert_eq!(remaining(&desk, &request), [left], "of {amount}");
    }
}

#[test]
fn a_clock_that_steps_back_grants_no_second_allowance() {
    let desk = desk(r#"{ name = "hourly", quota = 1, per = "hour" }"#);
    let request = request(&desk);
    assert!(desk.ask(&request, &any_key()).is_ok());
    let before = desk.clock.now().micros() - 7_200_000_000;
    desk.clock.set(Timestamp::from_micros(before));
    let refused = desk.ask(&request, &any_key()).unwrap_err();
    let seconds = retry_after(&refused);
    desk.clock.advance(Duration::from_secs(seconds));
    assert!(desk.ask(&request, &any_key()).is_ok());
}

#[test]
fn a_quota_is_exact_under_threads() {
    let desk = desk(r#"{ name = "daily", quota = 100, per = "day" }"#);
    let requests = [request(&desk), request(&desk)];
    let admitted: usize = thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|number| {
                let (desk, request) = (&desk, &requests[number % 2]);
                let asks = move || (0..100).filter(|_| desk.ask(request, &any_key()).is_ok());
                scope.spawn(move || asks().count())
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(admitted, 100);
    assert_eq!(desk.metered().len(), 400);
}
