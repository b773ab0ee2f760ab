//! Counting over replicas that share a Redis: together they admit what one would.

// So that the lints that spare tests spare their helpers.
#![cfg(test)]

use std::{thread, time::Duration};

use keygate_tests::{
    Answer, Client, IssuedKey, PATIENCE, Replicas, Timed, assert_paced, calm_zone, now,
};
use serde_json::json;

/// Connections to each replica.
const EACH: usize = 8;

/// A plan with these quotas a day: of a name, so much, for each of these.
fn plan(quotas: &[(&str, u64, &str)]) -> String {
    let zone = calm_zone();
    let limits = quotas.iter().map(|(name, quota, partition)| {
        format!(
            r#"{{ name = "{name}", quota = {quota}, per = "day", zone = "{zone}", partition = "{partition}" }}"#
        )
    });
    format!("[plans.only]\nlimits = [{}]\n", limits.collect::<Vec<_>>().join(", "))
}

#[track_caller]
fn issue(replicas: &Replicas, consumer: &str) -> IssuedKey {
    replicas.keygate().issue(consumer, "only", &[])
}

/// Sends so many calls from each of the connections to each replica, all at once. A call has one of
/// these keys, in turn.
#[track_caller]
fn answers_to(replicas: &Replicas, calls: usize, keys: &[&IssuedKey]) -> Vec<(usize, Answer)> {
    replicas.on_threads(EACH, |client, number| {
        let key = |call| (number + call) % keys.len();
        (0..calls).map(|call| (key(call), client.get("/v1/echo", &keys[key(call)].text))).collect()
    })
}

/// What those that were admitted say remains of a limit, the most first.
fn remaining<'a>(answers: impl IntoIterator<Item = &'a Answer>, limit: &str) -> Vec<u64> {
    let admitted = answers.into_iter().filter(|it| it.status == 200);
    let mut remaining: Vec<_> = admitted.map(|it| it.remaining(limit).unwrap()).collect();
    remaining.sort_unstable_by(|a, b| b.cmp(a));
    remaining
}

/// The numbers below this one, the greatest first: each once.
fn below(quota: u64) -> Vec<u64> {
    (0..quota).rev().collect()
}

#[test]
fn of_6000_calls_to_three_replicas_a_quota_of_1000_admits_exactly_1000() {
    let replicas = Replicas::start(&plan(&[("daily", 1_000, "consumer")]));
    let key = issue(&replicas, "acme");
    let answers = answers_to(&replicas, 250, &[&key]);
    let answers: Vec<_> = answers.into_iter().map(|(_, answer)| answer).collect();
    assert_eq!(answers.len(), 6_000);
    assert_eq!(remaining(&answers, "daily"), below(1_000));
    for refused in answers.iter().filter(|it| it.status != 200) {
        refused.refused(429, "quota_exhausted");
        assert_eq!(refused.remaining("daily"), Some(0));
    }
}

#[test]
fn a_rate_over_three_replicas_admits_what_the_model_says() {
    let limit = r#"{ name = "burst", rate = "50/s", burst = 50 }"#;
    let replicas = Replicas::start(&format!("[plans.only]\nlimits = [{limit}]\n"));
    let key = issue(&replicas, "acme");
    let end = now() + Duration::from_secs(4);
    let calls = replicas.on_threads(EACH, |client, _| Timed::until(end, client, &key.text));
    assert_paced(&calls, 50, 50);
}

#[test]
fn two_keys_of_a_consumer_fill_its_quota_and_neither_more_than_its_own() {
    let replicas = Replicas::start(&plan(&[("each", 300, "key"), ("all", 500, "consumer")]));
    let [one, other] = ["acme", "acme"].map(|consumer| issue(&replicas, consumer));
    // One of them comes twice as often, and so is at the end of its own quota first.
    let answers = answers_to(&replicas, 75, &[&one, &one, &other]);
    let answers_of = |key: &[usize]| {
        let of = answers.iter().filter(|(number, _)| key.contains(number));
        of.map(|(_, answer)| answer).collect::<Vec<_>>()
    };
    assert_eq!(remaining(answers_of(&[0, 1, 2]), "all"), below(500));
    let [one, other] = [&[0, 1][..], &[2]].map(|key| remaining(answers_of(key), "each"));
    for left in [&one, &other] {
        assert_eq!(left[..], below(300)[..left.len()], "what `all` refused cost `each` nothing");
    }
    for refused in answers_of(&[0, 1, 2]).into_iter().filter(|it| it.status != 200) {
        let violated = refused.refused(429, "quota_exhausted")["violated-policies"].clone();
        let full = |limit| refused.remaining(limit) == Some(0);
        let expected: Vec<_> = ["each", "all"].into_iter().filter(|limit| full(limit)).collect();
        assert_eq!(violated, json!(expected), "{refused:?}");
    }
}

/// Waits until each replica tells this key of such a quota. That costs units.
#[track_caller]
fn wait_for_quota(clients: &mut [Client], key: &IssuedKey, quota: u64) {
    let start = now();
    let told = format!("\"daily\";q={quota};");
    for client in clients {
        let mut tells = || {
            let answer = client.get("/v1/echo", &key.text);
            answer.field("ratelimit-policy").is_some_and(|policy| policy.contains(&told))
        };
        while !tells() {
            assert!(now().duration_since(start) < PATIENCE, "a replica does not see the plan");
            thread::sleep(Duration::from_millis(10));
        }
    }
}

#[test]
fn a_plan_edit_keeps_what_was_used_on_all_replicas() {
    let daily = |quota| plan(&[("daily", quota, "consumer")]);
    let replicas = Replicas::start(&daily(100));
    let [key, another] = ["acme", "another"].map(|consumer| issue(&replicas, consumer));
    let mut clients = replicas.clients();
    let mut call = |call: usize| clients[call % 3].get("/v1/echo", &key.text);
    let before: Vec<_> = (0..40).map(&mut call).collect();
    assert_eq!(remaining(&before, "daily"), (60..100).rev().collect::<Vec<_>>());
    for (quota, left) in [(50, 10), (65, 15), (30, 0), (70, 5)] {
        replicas.keygate().apply(&daily(quota));
        wait_for_quota(&mut replicas.clients(), &another, quota);
        let after: Vec<_> = (0..30).map(&mut call).collect();
        assert_eq!(remaining(&after, "daily"), below(left), "of {quota}");
    }
}

#[test]
fn a_rotated_key_goes_on_with_its_counters_on_all_replicas() {
    let replicas = Replicas::start(&plan(&[("daily", 100, "key")]));
    let old = issue(&replicas, "acme");
    let mut clients = replicas.clients();
    let before: Vec<_> = (0..40).map(|call| clients[call % 3].get("/v1/echo", &old.text)).collect();
    assert_eq!(remaining(&before, "daily"), (60..100).rev().collect::<Vec<_>>());
    let new = replicas.keygate().rotate(&old);
    assert_ne!(old.text, new.text);
    let after = answers_to(&replicas, 10, &[&old, &new]);
    assert_eq!(remaining(after.iter().map(|(_, answer)| answer), "daily"), below(60));
    for key in [0, 1] {
        assert!(after.iter().any(|(number, it)| *number == key && it.status == 200), "{key}");
    }
}
