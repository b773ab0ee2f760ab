//! Many clients, several workers, one quota.

use std::{collections::HashSet, sync::Mutex, thread::ThreadId};

use actix_web::{
    App,
    web::{self, Data},
};
use keygate::{usage::Outcome, verdict::Reason};

use crate::{
    support::{Door, SUCCESS},
    talk::{Client, metered, serve},
};

const CLIENTS: usize = 12;
const CALLS_EACH: usize = 250;
const CALLS: u64 = 3_000;
const QUOTA: u64 = 1_000;

async fn note(seen: Data<Mutex<HashSet<ThreadId>>>) -> &'static str {
    seen.lock().unwrap().insert(std::thread::current().id());
    "served"
}

#[actix_web::test]
async fn of_three_thousand_calls_to_four_workers_a_thousand_are_admitted() {
    let door = Door::of(QUOTA).await;
    let (keys, seen) = (door.keys(), Data::new(Mutex::new(HashSet::<ThreadId>::new())));
    let notes = seen.clone();
    let server = serve!(
        App::new().app_data(notes.clone()).route("/", web::get().to(note)).wrap(keys.clone()),
        workers(4)
    );
    let bearer = door.bearer().1;
    let call = async || {
        let (mut client, mut admitted) = (Client::connect(&server).await, 0);
        for _ in 0..CALLS_EACH {
            client.send("GET /", &[("authorization", &bearer)]).await;
            let (head, _) = client.response().await;
            match head.split(' ').nth(1) {
                Some("200") => admitted += 1,
                other => assert_eq!(other, Some("429"), "{head}"),
            }
        }
        admitted
    };
    let admitted = futures_util::future::join_all((0..CLIENTS).map(|_| call())).await;
    assert_eq!(admitted.iter().sum::<u64>(), QUOTA);
    let denied = Outcome::Denied(Reason::QuotaExhausted);
    let usage = metered(&door, CALLS).await;
    assert_eq!(usage, [(SUCCESS, QUOTA, QUOTA), (denied, CALLS - QUOTA, 0)]);
    assert_eq!(seen.lock().unwrap().len(), 4, "every worker had its part");
}
