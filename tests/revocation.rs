//! What an operator changes reaches every replica, announced or not.

// So that the lints that spare tests spare their helpers.
#![cfg(test)]

use std::{
    fmt,
    sync::{
        Barrier,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use keygate_tests::{Client, OnDrop, PATIENCE, Replicas, now};

/// How soon every replica must know of a change that is announced.
const ANNOUNCED: Duration = Duration::from_secs(1);

/// How soon it must know of one that is not: five seconds, and one for slow machines.
const UNANNOUNCED: Duration = Duration::from_secs(6);

/// A plan that lets its keys search, or not. It has no limits: to count takes time of its own.
fn plan(lets_search: bool) -> String {
    let scope = if lets_search { "search:*" } else { "orders:*" };
    format!("[plans.only]\nscopes = [\"{scope}\"]\n")
}

fn replicas() -> Replicas {
    Replicas::start(&plan(true))
}

/// Asks until the answer has this status, and a while longer: it must never go back. Says when it was
/// there first.
#[track_caller]
fn first_seen(client: &mut Client, key: &str, before: u16, after: u16, begun: &Barrier) -> Instant {
    let mut status = || client.get("/v1/search", key).status;
    assert_eq!(status(), before, "nothing has changed yet");
    begun.wait();
    let start = now();
    loop {
        match status() {
            it if it == after => break,
            it => assert_eq!(it, before, "neither as before nor as it must be"),
        }
        assert!(now().duration_since(start) < PATIENCE, "a replica never knew");
        thread::sleep(Duration::from_millis(1));
    }
    let seen = now();
    for _ in 0..20 {
        assert_eq!(status(), after, "a replica went back");
    }
    seen
}

/// How long the last replica took to know, since the command that makes a change was begun, and since
/// it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Took {
    since_end: Duration,
    since_begin: Duration,
}

impl fmt::Display for Took {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { since_end, since_begin } = self;
        write!(f, "{since_end:.0?} ({since_begin:.0?} with the command)")
    }
}

/// Makes a change by which the status of searches with this key becomes another.
#[track_caller]
fn took(replicas: &Replicas, key: &str, from_to: [u16; 2], change: impl FnOnce()) -> Took {
    let (begun, [from, to]) = (&Barrier::new(4), from_to);
    thread::scope(|scope| {
        let watch =
            |mut client: Client| scope.spawn(move || first_seen(&mut client, key, from, to, begun));
        let watching = replicas.clients().map(watch);
        begun.wait();
        let begin = now();
        change();
        let end = now();
        let seen = watching.map(|thread| thread.join().expect("no thread fails"));
        let last = seen.into_iter().max().unwrap();
        Took {
            since_end: last.saturating_duration_since(end),
            since_begin: last.duration_since(begin),
        }
    })
}

#[track_caller]
fn assert_within(bound: Duration, what: &str, mut times: Vec<Took>) {
    times.sort_unstable();
    let (median, last) = (times[times.len() / 2], times[times.len() - 1]);
    println!("{what}: median {median}, longest {last}, of {}", times.len());
    assert!(last.since_end <= bound, "{what}: {times:?}");
}

/// Makes so many changes of both kinds, and asserts that all of them are known within this time.
#[track_caller]
fn assert_changes_are_known(replicas: &Replicas, times: usize, bound: Duration, how: &str) {
    let keygate = replicas.keygate();
    let issue = || keygate.issue("acme", "only", &["search:*"]);
    let revocations = (0..times).map(|_| {
        let key = issue();
        took(replicas, &key.text, [200, 401], || keygate.revoke(&key))
    });
    assert_within(bound, &format!("revocations, {how}"), revocations.collect());

    let key = issue();
    let edits = (0..times).map(|edit| {
        let lets_search = edit % 2 == 1;
        let from_to = if lets_search { [403, 200] } else { [200, 403] };
        took(replicas, &key.text, from_to, || keygate.apply(&plan(lets_search)))
    });
    assert_within(bound, &format!("plan edits, {how}"), edits.collect());
}

#[test]
fn announced_changes_are_known_within_a_second() {
    assert_changes_are_known(&replicas(), 10, ANNOUNCED, "announced");
}

#[test]
fn changes_are_known_within_seconds_though_announcements_are_cut_off_all_the_time() {
    let replicas = replicas();
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Relaxed) {
                replicas.redis().cli(&["client", "kill", "type", "pubsub"]);
            }
        });
        let _over = OnDrop(|| over.store(true, Relaxed));
        assert_changes_are_known(&replicas, 4, UNANNOUNCED, "cut off");
    });
}

#[test]
fn changes_are_known_within_seconds_though_nobody_may_listen() {
    let replicas = replicas();
    replicas.redis().cli(&["acl", "setuser", "default", "-subscribe"]);
    replicas.redis().cli(&["client", "kill", "type", "pubsub"]);
    assert_changes_are_known(&replicas, 4, UNANNOUNCED, "polled for");
}
