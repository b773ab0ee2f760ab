//! How many requests are under way at once: never more than the plan allows, whatever clients do, and no
//! slot is lost.

// So that the lints that spare tests spare their helpers.
#![cfg(test)]

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    thread,
    time::Duration,
};

use keygate_tests::{Answer, PATIENCE, Random, Raw, Server, now};

/// Requests at once that the plan of the exports allows.
const SLOTS: usize = 10;

/// Rows a month that it allows, and how many an export is charged until its rows are known.
const QUOTA: u64 = 1_000_000;
const GUESS: u64 = 5;

/// Clients at once: more than there are slots.
const CLIENTS: usize = 24;

/// When a client goes away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Leaves {
    /// In the middle of its request.
    Asking,
    /// Before the head of the response.
    Waiting,
    /// In the middle of its body.
    Reading,
    /// After its body.
    Served,
    /// It was refused, and stays.
    Refused,
}

impl Leaves {
    /// Half of the clients read to the end.
    fn any(random: &mut Random) -> Self {
        match random.within(0..8) {
            0 => Self::Asking,
            1 => Self::Waiting,
            2 | 3 => Self::Reading,
            _ => Self::Served,
        }
    }
}

/// An export that takes so long and has so many rows.
fn request(key: &str, millis: u64, rows: u64) -> String {
    format!(
        "GET /v1/export?millis={millis}&units={rows} HTTP/1.1\r\nhost: test\r\nx-api-key: {key}\r\n\r\n"
    )
}

/// Asks for an export with these rows, and goes away as it is told to, unless it is refused.
fn visit(raw: &mut Raw, key: &str, leaves: Leaves, rows: u64, random: &mut Random) -> Leaves {
    let text = request(key, random.within(0..9), rows);
    if leaves == Leaves::Asking {
        let some = usize::try_from(random.within(0..text.len() as u64)).unwrap();
        raw.write(&text.as_bytes()[..some]);
        return leaves;
    }
    raw.write(text);
    if leaves == Leaves::Waiting {
        // Somewhere in the work of the handler, or before it, or when it is refused.
        thread::sleep(Duration::from_micros(random.within(0..2_000)));
        return leaves;
    }
    let answer = raw.answer_without_body().expect("a head");
    if answer.status != 200 {
        let length = answer.field("content-length").expect("its length").parse().unwrap();
        let refused = Answer { body: raw.bytes(length), ..answer };
        let problem = refused.refused(429, "too_many_concurrent");
        assert_eq!(problem["violated-policies"], serde_json::json!(["at-once"]));
        assert_eq!((refused.retry_after(), refused.remaining("at-once")), (1, Some(0)));
        return Leaves::Refused;
    }
    assert!(answer.remaining("at-once").is_some_and(|left| left < SLOTS as u64), "{answer:?}");
    let chunks = if leaves == Leaves::Reading { random.within(0..4) } else { u64::MAX };
    let read = (0..chunks).map_while(|_| raw.chunk()).count();
    assert!(leaves == Leaves::Reading || read == 4, "{read} chunks");
    leaves
}

/// What so many requests ended as, and the rows of those that were served.
fn storm(address: SocketAddr, key: &str, requests: usize) -> (BTreeMap<Leaves, u64>, u64) {
    let left = AtomicUsize::new(requests);
    let client = |number: usize| {
        let (mut random, mut raw) = (Random::of(number as u64), Raw::connect(address));
        let (mut seen, mut served) = (BTreeMap::<_, u64>::new(), 0);
        while left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok() {
            let leaves = Leaves::any(&mut random);
            // Who may be cut off at any time pays the same either way.
            let rows = if leaves == Leaves::Served { random.within(0..10) } else { GUESS };
            let ended = visit(&mut raw, key, leaves, rows, &mut random);
            *seen.entry(ended).or_default() += 1;
            match ended {
                Leaves::Served => served += rows,
                Leaves::Refused => {}
                _ => raw = Raw::connect(address),
            }
        }
        (seen, served)
    };
    let client = &client;
    thread::scope(|scope| {
        let running: Vec<_> =
            (0..CLIENTS).map(|number| scope.spawn(move || client(number))).collect();
        let (mut all, mut rows) = (BTreeMap::<_, u64>::new(), 0);
        for thread in running {
            let (seen, served) = thread.join().expect("no client fails");
            seen.into_iter().for_each(|(end, count)| *all.entry(end).or_default() += count);
            rows += served;
        }
        (all, rows)
    })
}

/// What the handlers counted themselves.
fn under_way(server: &Server) -> [u64; 2] {
    let told = server.client().get("/under-way", "").json();
    ["now", "most"].map(|name| told[name].as_u64().unwrap())
}

/// Waits until so many exports are under way.
#[track_caller]
fn wait_until_under_way(server: &Server, count: u64) {
    let start = now();
    while under_way(server)[0] != count {
        assert!(now().duration_since(start) < PATIENCE, "{:?}, not {count}", under_way(server));
        thread::sleep(Duration::from_millis(1));
    }
}

/// Waits until all slots are free, but the one of the request that is told so.
#[track_caller]
fn wait_until_free(server: &Server, key: &str) -> Answer {
    let (start, mut client) = (now(), server.client());
    loop {
        let answer = client.get("/v1/export?millis=0&units=0", key);
        if answer.remaining("at-once") == Some(SLOTS as u64 - 1) {
            return answer;
        }
        assert!(now().duration_since(start) < PATIENCE, "a slot is lost: {answer:?}");
    }
}

/// Takes all slots at once, for as long as the connections are there.
#[track_caller]
fn take_all(server: &Server, key: &str) -> Vec<Raw> {
    let hour = 3_600_000;
    let mut all: Vec<_> = (0..SLOTS).map(|_| Raw::connect(server.address())).collect();
    all.iter_mut().for_each(|raw| raw.write(request(key, hour, GUESS)));
    wait_until_under_way(server, SLOTS as u64);
    all
}

/// Asserts that a storm of requests never had more than its slots, loses none of them, and charges every
/// row that was served.
#[track_caller]
fn assert_survives(requests: usize) {
    let server = Server::exports();
    let (key, start) = (server.key("standard"), now());
    let (ended, rows) = storm(server.address(), key, requests);
    let took = now().duration_since(start);
    let most = under_way(&server)[1];
    println!("{ended:?} in {took:.2?}, at most {most} under way");
    assert_eq!(ended.values().sum::<u64>(), requests as u64);
    assert_eq!(most, SLOTS as u64, "as many as may be, and never more");

    let used = QUOTA - wait_until_free(&server, key).remaining("rows").unwrap() - GUESS;
    let unfinished = (used - rows) / GUESS;
    assert_eq!(used, rows + unfinished * GUESS, "{rows} rows were served");
    let [waiting, reading] = [Leaves::Waiting, Leaves::Reading].map(|it| ended[&it]);
    assert!((reading..=reading + waiting).contains(&unfinished), "{unfinished} were cut off");

    let all = take_all(&server, key);
    server.client().get("/v1/export?millis=0&units=0", key).refused(429, "too_many_concurrent");
    drop(all);
    wait_until_under_way(&server, 0);
    wait_until_free(&server, key);
}

#[test]
fn of_2000_requests_with_clients_that_go_away_never_more_than_10_are_under_way() {
    assert_survives(2_000);
}

#[test]
#[ignore = "slow: 10,000 requests that take their time"]
fn of_10000_requests_with_clients_that_go_away_never_more_than_10_are_under_way() {
    assert_survives(10_000);
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
