//! Counting under load: never one too many, never one too few.

// So that the lints that spare tests spare their helpers.
#![cfg(test)]

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use keygate_tests::{Answer, Call, Server, Timed, assert_paced, calm_zone, now, on_threads};

const THREADS: usize = 64;

fn server_with_quota(quota: u64) -> Server {
    let zone = calm_zone();
    Server::with_plans(format!(
        r#"
        [plans.only]
        scopes = ["orders:write"]
        limits = [{{ name = "daily", quota = {quota}, per = "day", zone = "{zone}" }}]
        "#
    ))
}

/// Sends as many calls, from many connections at once.
fn answers_to(server: &Server, calls: usize, call: impl Fn(usize) -> Call + Sync) -> Vec<Answer> {
    let sent = AtomicUsize::new(0);
    on_threads(server, THREADS, |client, _| {
        let next = || Some(sent.fetch_add(1, Ordering::Relaxed)).filter(|number| *number < calls);
        std::iter::from_fn(next).map(|number| client.send(call(number))).collect()
    })
}

/// What the admitted say remains, the most first. All others must be refused for the quota.
fn remaining_of_admitted(answers: &[Answer]) -> Vec<u64> {
    let (admitted, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|it| it.status == 200);
    for answer in refused {
        answer.refused(429, "quota_exhausted");
    }
    let mut remaining: Vec<u64> =
        admitted.iter().map(|it| it.remaining("daily").unwrap()).collect();
    remaining.sort_unstable_by(|a, b| b.cmp(a));
    remaining
}

#[test]
fn of_3000_concurrent_calls_a_quota_of_1000_admits_exactly_1000() {
    let server = server_with_quota(1_000);
    let key = server.key("only");
    let answers = answers_to(&server, 3_000, |_| Call::get("/v1/echo").key(key));
    assert_eq!(answers.len(), 3_000);
    let remaining = remaining_of_admitted(&answers);
    assert_eq!(remaining, (0..1_000).rev().collect::<Vec<_>>(), "each number once");
    let refused = answers.iter().filter(|it| it.status != 200);
    assert!(refused.clone().all(|it| it.remaining("daily") == Some(0)));
    assert_eq!(refused.count(), 2_000);
}

#[test]
fn orders_of_five_units_fill_a_quota_to_the_last_whole_one() {
    let server = server_with_quota(1_003);
    let key = server.key("only");
    let answers = answers_to(&server, 300, |_| Call::post("/v1/orders").key(key));
    let remaining = remaining_of_admitted(&answers);
    assert_eq!(remaining, (0..200).map(|order| 998 - 5 * order).collect::<Vec<_>>());
    // What is left is too little for an order, and enough for three lighter calls.
    let mut client = server.client();
    let statuses = [(); 4].map(|()| client.get("/v1/echo", key).status);
    assert_eq!(statuses, [200, 200, 200, 429]);
}

#[test]
fn calls_of_different_weight_use_a_quota_up_exactly() {
    let server = server_with_quota(1_000);
    let key = server.key("only");
    let is_order = |number: usize| number.is_multiple_of(3);
    let weighed = |number| match is_order(number) {
        true => Call::post("/v1/orders").key(key),
        false => Call::get("/v1/echo").key(key),
    };
    let answers = answers_to(&server, 1_500, weighed);
    let remaining = remaining_of_admitted(&answers);
    let admitted = answers.iter().filter(|it| it.status == 200);
    let orders = admitted.filter(|it| it.json().get("status").is_some()).count();
    let echoes = remaining.len() - orders;
    assert_eq!((5 * orders + echoes, remaining.last()), (1_000, Some(&0)));
    assert!(orders > 0 && echoes > 0, "{orders} orders, {echoes} echoes");
    assert!(remaining.windows(2).all(|pair| [1, 5].contains(&(pair[0] - pair[1]))));
}

#[test]
fn a_rate_under_load_admits_what_the_model_says() {
    let server = Server::with_plans(
        "[plans.only]\nlimits = [{ name = \"burst\", rate = \"50/s\", burst = 100 }]\n",
    );
    let (key, end) = (server.key("only"), now() + Duration::from_secs(2));
    let calls = on_threads(&server, 8, |client, _| Timed::until(end, client, key));
    assert_paced(&calls, 50, 100);
}
