//! Many tasks, one quota.

use std::sync::atomic::Ordering::SeqCst;

use http::StatusCode;
use keygate::{usage::Outcome, verdict::Reason};
use tower::{Layer as _, ServiceExt as _};

use crate::{
    inner::Strict,
    support::{Door, SUCCESS},
};

const REQUESTS: usize = 2_000;
const QUOTA: u64 = 777;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_tasks_are_admitted_exactly_as_often_as_the_quota_says() {
    let door = Door::of(QUOTA).await;
    let strict = Strict::default();
    let service = door.layer().layer(strict.clone());
    let tasks: Vec<_> = (0..REQUESTS)
        .map(|_| tokio::spawn(service.clone().oneshot(door.get("/").body(()).unwrap())))
        .collect();
    let mut admitted = 0;
    for task in tasks {
        match task.await.unwrap().unwrap().status() {
            StatusCode::OK => admitted += 1,
            status => assert_eq!(status, StatusCode::TOO_MANY_REQUESTS),
        }
    }
    assert_eq!(admitted, QUOTA);
    assert_eq!(strict.log.calls.load(SeqCst) as u64, QUOTA);
    let refused = REQUESTS as u64 - QUOTA;
    let denied = Outcome::Denied(Reason::QuotaExhausted);
    assert_eq!(door.usage().await, [(SUCCESS, QUOTA, QUOTA), (denied, refused, 0)]);
}
