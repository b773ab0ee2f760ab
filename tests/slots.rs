//! How many requests are under way at once: never more than the plan allows, whatever clients do, and no
//! slot is lost.

// So that the lints that spare tests spare their helpers.
#![cfg(test)]

#[path = "slots/storm.rs"]
mod storm;
#[path = "slots/visit.rs"]
mod visit;

use std::{net::SocketAddr, thread, time::Duration};

use keygate_tests::{
    Answer, Api, Client, Keygate, PATIENCE, Random, Raw, RedisServer, Replicas, Server, now,
};

use storm::Storm;
use visit::request;

/// Requests at once that the plan of the exports allows.
const SLOTS: usize = 10;

/// Rows a month that it allows, and how many an export is charged until its rows are known.
const QUOTA: u64 = 1_000_000;
const GUESS: u64 = 5;

/// The plan of the exports.
const PLANS: &str = r#"
    [plans.standard]
    scopes = ["exports:read"]
    limits = [
      { name = "at-once", concurrency = 10 },
      { name = "rows", quota = 1000000, per = "month" },
    ]
"#;

/// No slot is free because its lease has run out.
const ENDLESS: Duration = Duration::from_secs(3_600);

/// Replicas whose slots are leased for so long, and a key.
#[track_caller]
fn replicas(lease: Duration) -> (Replicas, String) {
    let lease = lease.as_millis().to_string();
    let api = |redis: &str| Api::exports(redis).env("KEYGATE_SLOT_LEASE_MS", &lease);
    let replicas = Replicas::of(api, PLANS);
    let key = replicas.keygate().issue("acme", "standard", &["exports:read"]);
    (replicas, key.text)
}

/// What the handlers of a process counted themselves: how many are under way, and the most there ever
/// were.
#[track_caller]
fn under_way(client: &mut Client) -> [u64; 2] {
    let told = client.get("/under-way", "").json();
    ["now", "most"].map(|name| told[name].as_u64().unwrap())
}

#[track_caller]
fn wait_until_under_way(client: &mut Client, count: u64) {
    let start = now();
    while under_way(client)[0] != count {
        assert!(now().duration_since(start) < PATIENCE, "{:?}, not {count}", under_way(client));
        thread::sleep(Duration::from_millis(1));
    }
}

/// An export that is over at once and has no rows.
fn glance(client: &mut Client, key: &str) -> Answer {
    client.get("/v1/export?millis=0&units=0", key)
}

/// Asks until the answer is like this.
#[track_caller]
fn eventually(client: &mut Client, key: &str, is_it: impl Fn(&Answer) -> bool) -> Answer {
    let start = now();
    loop {
        let answer = glance(client, key);
        if is_it(&answer) {
            return answer;
        }
        assert!(now().duration_since(start) < PATIENCE, "it stays so: {answer:?}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Takes so many slots at once, for as long as the connections are there.
#[track_caller]
fn take(address: SocketAddr, client: &mut Client, key: &str, slots: usize) -> Vec<Raw> {
    let mut taken: Vec<_> = (0..slots).map(|_| Raw::connect(address)).collect();
    taken.iter_mut().for_each(|raw| raw.write(request(key, ENDLESS, GUESS)));
    wait_until_under_way(client, slots as u64);
    taken
}

/// Asserts that a storm of requests at these processes never had more than its slots, loses none of them,
/// and charges every row that was served. Gives the most that were seen under way in each process.
#[track_caller]
fn assert_survived(storm: &Storm, addresses: &[SocketAddr], key: &str) -> Vec<u64> {
    println!("{storm}");
    assert!(storm.most_at_once() <= SLOTS, "{} at once", storm.most_at_once());
    let mut clients: Vec<_> = addresses.iter().map(|address| Client::to(*address)).collect();
    let most: Vec<_> = clients.iter_mut().map(|client| under_way(client)[1]).collect();
    println!("at most {most:?} under way by the handlers' own count");
    assert!(most.iter().all(|most| *most <= SLOTS as u64), "{most:?}");

    // What costs turned out to be, and slots, may be on their way.
    let is_free = |answer: &Answer| answer.remaining("at-once") == Some(SLOTS as u64 - 1);
    let unfinished = |answer: &Answer| {
        let used = QUOTA - answer.remaining("rows").expect("a limit of rows") - GUESS;
        let rest = used.checked_sub(storm.rows())?;
        (rest % GUESS == 0 && storm.unfinished().contains(&(rest / GUESS))).then_some(rest / GUESS)
    };
    let client = &mut clients[0];
    let answer = eventually(client, key, |it| is_free(it) && unfinished(it).is_some());
    println!("{} rows served, {:?} exports cut off", storm.rows(), unfinished(&answer));

    let all = take(addresses[0], client, key, SLOTS);
    glance(client, key).refused(429, "too_many_concurrent");
    drop(all);
    wait_until_under_way(client, 0);
    eventually(client, key, is_free);
    most
}

#[track_caller]
fn assert_survives_in_memory(requests: usize) {
    let server = Server::exports();
    let (addresses, key) = ([server.address()], server.key("standard"));
    let storm = Storm::at(&addresses, key, requests, Duration::from_millis(8));
    let most = assert_survived(&storm, &addresses, key);
    assert_eq!(most, [SLOTS as u64], "as many as may be");
}

#[track_caller]
fn assert_survives_over_redis(requests: usize) {
    let (replicas, key) = replicas(ENDLESS);
    let addresses = replicas.addresses();
    let storm = Storm::at(&addresses, &key, requests, Duration::from_millis(60));
    assert_survived(&storm, &addresses, &key);
}

#[test]
fn of_2000_requests_with_clients_that_go_away_never_more_than_10_are_under_way() {
    assert_survives_in_memory(2_000);
}

#[test]
#[ignore = "slow: 10,000 requests that take their time"]
fn of_10000_requests_with_clients_that_go_away_never_more_than_10_are_under_way() {
    assert_survives_in_memory(10_000);
}

#[test]
fn of_2000_requests_to_three_replicas_never_more_than_10_are_under_way() {
    assert_survives_over_redis(2_000);
}

#[test]
#[ignore = "slow: 10,000 requests that take their time"]
fn of_10000_requests_to_three_replicas_never_more_than_10_are_under_way() {
    assert_survives_over_redis(10_000);
}

#[test]
fn the_slots_of_a_replica_that_was_killed_are_free_after_their_lease_and_no_others() {
    const LEASE: Duration = Duration::from_secs(3);
    let (mut replicas, key) = replicas(LEASE);
    let (addresses, [mut killed, mut living, mut other]) =
        (replicas.addresses(), replicas.clients());
    let lost = take(addresses[0], &mut killed, &key, 7);
    let _held = take(addresses[1], &mut living, &key, 3);
    glance(&mut other, &key).refused(429, "too_many_concurrent");

    replicas.kill(0);
    let start = now();
    drop(lost);
    glance(&mut other, &key).refused(429, "too_many_concurrent");
    let freed = |answer: &Answer| answer.remaining("at-once").is_some_and(|left| left >= 6);
    let answer = eventually(&mut other, &key, freed);
    let took = now().duration_since(start);
    println!("free {took:.2?} after the kill, with a lease of {LEASE:?}");
    assert!(took < LEASE + PATIENCE / 10, "{took:?}");
    assert_eq!(answer.remaining("at-once"), Some(6), "three are held, and one is ours: {answer:?}");
    // Those that are held have been renewed by now.
    assert_eq!(under_way(&mut living)[0], 3);
}

/// Short requests, half of whose clients go away at once.
#[track_caller]
fn hurry(address: SocketAddr, key: &str) {
    let request = format!("GET /v1/echo HTTP/1.1\r\nhost: test\r\nx-api-key: {key}\r\n\r\n");
    let client = |number: u64| {
        let mut random = Random::of(number);
        for _ in 0..60 {
            let mut raw = Raw::connect(address);
            raw.write(&request);
            if random.within(0..2) == 0 {
                let status = raw.answer().expect("an answer").status;
                assert!([200, 429].contains(&status), "{status}");
            }
        }
    };
    let client = &client;
    thread::scope(|scope| {
        let running: Vec<_> = (0..16).map(|number| scope.spawn(move || client(number))).collect();
        running.into_iter().for_each(|it| it.join().expect("no client fails"));
    });
}

#[test]
fn no_slot_is_lost_by_either_framework_when_clients_go_away_at_once() {
    let redis = RedisServer::start();
    let keygate = Keygate::at(&redis.url());
    keygate.apply(PLANS);
    for (api, consumer) in [(Api::axum as fn(&str) -> Api, "one"), (Api::actix, "other")] {
        let key = keygate.issue(consumer, "standard", &[]).text;
        let lease = ENDLESS.as_millis().to_string();
        let api = api(&redis.url()).patient().env("KEYGATE_SLOT_LEASE_MS", lease).start();
        hurry(api.address(), &key);
        let (start, mut client) = (now(), api.client());
        while client.get("/v1/echo", &key).remaining("at-once") != Some(SLOTS as u64 - 1) {
            assert!(now().duration_since(start) < PATIENCE, "a slot is lost");
            thread::sleep(Duration::from_millis(1));
        }
    }
}

#[test]
fn an_export_costs_the_rows_it_turned_out_to_have() {
    let server = Server::exports();
    let (mut client, key) = (server.client(), server.key("standard"));
    let mut used = 0;
    for rows in [0, 1, GUESS, 700, 3] {
        let path = format!("/v1/export?millis=0&units={rows}");
        let answer = client.get(&path, key);
        assert_eq!((answer.status, answer.remaining("rows")), (200, Some(QUOTA - used - GUESS)));
        assert_eq!(answer.body.iter().filter(|byte| **byte == b'\n').count(), 4, "{answer:?}");
        used += rows;
    }
}
