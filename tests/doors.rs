//! Doors of every framework before one quota: together they admit what one would.

// So that the lints that spare tests spare their helpers.
#![cfg(test)]

use keygate_tests::{Answer, Api, Keygate, RedisServer, Replica, calm_zone, on_connections_to};

/// Connections to each door.
const EACH: usize = 10;

const QUOTA: u64 = 1_000;

fn plans() -> String {
    let zone = calm_zone();
    format!(
        "[plans.only]\nlimits = [{{ name = \"daily\", quota = {QUOTA}, per = \"day\", zone = \"{zone}\" }}]\n"
    )
}

#[test]
fn of_3000_calls_through_all_doors_a_quota_of_1000_admits_exactly_1000() {
    let redis = RedisServer::start();
    let keygate = Keygate::at(&redis.url());
    keygate.apply(&plans());
    let key = keygate.issue("acme", "only", &[]);
    let doors = [Api::axum, Api::actix].map(|door| door(&redis.url()).patient().start());
    let addresses = doors.each_ref().map(Replica::address);
    let calls = 3_000 / (EACH * doors.len());

    let answers = on_connections_to(&addresses, EACH, |client, number| {
        let door = number % addresses.len();
        (0..calls).map(|_| (door, client.get("/v1/echo", &key.text))).collect()
    });
    let admitted = |answer: &Answer| answer.remaining("daily").filter(|_| answer.status == 200);
    let mut left: Vec<_> = answers.iter().filter_map(|(_, answer)| admitted(answer)).collect();
    left.sort_unstable();
    assert_eq!(left, (0..QUOTA).collect::<Vec<_>>(), "each unit was given once");
    for (_, refused) in answers.iter().filter(|(_, answer)| answer.status != 200) {
        refused.refused(429, "quota_exhausted");
        assert_eq!(refused.remaining("daily"), Some(0));
    }
    let by = [0, 1].map(|it| {
        answers.iter().filter(|(door, answer)| *door == it && answer.status == 200).count()
    });
    println!("{} calls, admitted by door: {by:?}", answers.len());
    assert!(by.iter().all(|admitted| *admitted > 0), "every door was open: {by:?}");
}
