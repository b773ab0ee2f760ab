//! Doors of every framework before one quota: together they admit what one would.

// So that the lints that spare tests spare their helpers.
#![cfg(test)]

use std::{net::SocketAddr, thread};

use keygate_tests::{Api, Client, Grpc, Keygate, RedisServer, Replica, calm_zone};
use tonic::Code;

/// Connections to each of three doors, and calls of each connection.
const EACH: usize = 10;
const CALLS: usize = 100;

const QUOTA: u64 = 1_000;

fn plans() -> String {
    let zone = calm_zone();
    format!(
        "[plans.only]\nscopes = [\"orders:*\"]\nlimits = [{{ name = \"daily\", quota = {QUOTA}, per = \"day\", zone = \"{zone}\" }}]\n"
    )
}

/// What each door answered: the units it gave, by what remained, and the calls it refused.
#[derive(Debug, Default)]
struct Answered {
    remaining: Vec<u64>,
    refused: usize,
}

impl Answered {
    /// A response that tells of the quota.
    #[track_caller]
    fn add(&mut self, is_admitted: bool, ratelimit: &str) {
        let told = ratelimit.strip_prefix("\"daily\";r=").expect("the quota");
        let left = told.split(';').next().unwrap().parse().unwrap();
        if is_admitted {
            self.remaining.push(left);
        } else {
            assert_eq!(left, 0, "refused while there was some left");
            self.refused += 1;
        }
    }
}

#[track_caller]
fn over_http(address: SocketAddr, key: &str) -> Answered {
    let (mut client, mut answered) = (Client::to(address), Answered::default());
    for _ in 0..CALLS {
        let answer = client.get("/v1/echo", key);
        if answer.status != 200 {
            answer.refused(429, "quota_exhausted");
        }
        answered.add(answer.status == 200, answer.field("ratelimit").expect("the quota"));
    }
    answered
}

#[track_caller]
fn over_grpc(address: SocketAddr, key: &str) -> Answered {
    let (grpc, mut answered) = (Grpc::to(address), Answered::default());
    for _ in 0..CALLS {
        let called = grpc.call("/orders.v1.Orders/Place", &[("x-api-key", key)], "tea");
        let metadata = match &called {
            Ok(response) => response.metadata(),
            Err(status) => {
                assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
                status.metadata()
            }
        };
        answered.add(called.is_ok(), metadata.get("ratelimit").unwrap().to_str().unwrap());
    }
    answered
}

/// A door of the quota, and how to go through it.
struct Door {
    name: &'static str,
    replica: Replica,
    call: fn(SocketAddr, &str) -> Answered,
}

#[test]
fn of_3000_calls_through_all_doors_a_quota_of_1000_admits_exactly_1000() {
    let redis = RedisServer::start();
    let keygate = Keygate::at(&redis.url());
    keygate.apply(&plans());
    let key = keygate.issue("acme", "only", &["orders:write"]).text;
    let start = |api: fn(&str) -> Api| api(&redis.url()).patient().start();
    let doors = [
        Door { name: "axum", replica: start(Api::axum), call: over_http },
        Door { name: "actix", replica: start(Api::actix), call: over_http },
        Door { name: "grpc", replica: start(Api::grpc), call: over_grpc },
    ];

    let answered = thread::scope(|scope| {
        let go = |door: &Door| {
            let (address, call, key) = (door.replica.address(), door.call, &key);
            [(); EACH].map(|()| scope.spawn(move || call(address, key)))
        };
        let running = doors.each_ref().map(go);
        running.map(|threads| threads.map(|it| it.join().expect("no thread fails")))
    });
    for (door, answered) in doors.iter().zip(&answered) {
        let admitted: usize = answered.iter().map(|it| it.remaining.len()).sum();
        println!("{admitted} of {} through {}", EACH * CALLS, door.name);
        assert!(admitted > 0, "{} was never open", door.name);
    }
    let answered = || answered.iter().flatten();
    let mut remaining: Vec<_> = answered().flat_map(|it| it.remaining.clone()).collect();
    remaining.sort_unstable();
    assert_eq!(remaining, (0..QUOTA).collect::<Vec<_>>(), "each unit was given once");
    assert_eq!(answered().map(|it| it.refused).sum::<usize>(), 2_000);
}
