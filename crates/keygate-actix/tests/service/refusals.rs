//! Whatever the reason, a refusal is a response, and is given without the service.

use std::{
    num::NonZeroU64,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use actix_web::{
    App,
    test::{TestRequest, init_service},
    web,
};
use keygate::{
    ApiKey, NewKey, Plans, Verdict,
    clock::ManualClock,
    key::{KeyDigest, KeyId},
    keyring::Issued,
    limit::Readings,
    port::{
        Answer, Charge, Commit, CounterStore, Found, KeyFilter, KeyStore, Owner, Settlement,
        StoreError,
    },
    record::KeyRecord,
    usage::Outcome,
    verdict::Reason,
};
use keygate_actix::Keygate;

use crate::{
    send,
    support::{Door, NOON},
};

const HOUR: Duration = Duration::from_secs(3600);

/// Sends one request that must be refused for this reason, and holds what follows from it.
async fn is_refused(door: &Door, keys: Keygate, request: TestRequest, reason: Reason) {
    let calls = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&calls);
    let handler = move || {
        count.fetch_add(1, SeqCst);
        async { "served" }
    };
    let app = init_service(App::new().default_service(web::to(handler)).wrap(keys)).await;
    let before = door.usage().await;
    let answer = send::send(&app, request).await;

    assert_eq!(calls.load(SeqCst), 0, "{reason:?} reached the service");
    assert!(!answer.was_err && answer.error.is_none(), "{answer:?}");
    let Some(Verdict::Rejected(rejection)) = &answer.verdict else { panic!("{answer:?}") };
    assert_eq!(rejection.reason(), reason);
    // Word for word what the wire says, and nothing else.
    let reply = rejection.reply();
    assert_eq!((answer.status, &answer.text), (reply.status, &reply.body));
    assert_eq!(answer.headers.len(), reply.headers.len(), "{:?}", answer.headers);
    for (name, value) in &reply.headers {
        let name = name.as_str();
        assert!(answer.values(name).contains(&&**value), "{name} of {:?}", answer.headers);
    }
    let mut expected = before;
    expected.push((Outcome::Denied(reason), 1, 0));
    expected.sort_unstable();
    assert_eq!(door.usage().await, expected, "{reason:?} is metered once");
}

fn showing(key: &str) -> TestRequest {
    TestRequest::get().insert_header(("x-api-key", key))
}

#[actix_web::test]
async fn without_a_good_key() {
    let (door, other) = (Door::of(9).await, Door::of(9).await);
    is_refused(&door, door.keys(), TestRequest::get(), Reason::MissingKey).await;
    is_refused(&door, door.keys(), showing("kg_live_x"), Reason::MalformedKey).await;
    let foreign = showing(other.issued.key.expose());
    is_refused(&door, door.keys(), foreign, Reason::UnknownKey).await;
}

#[actix_web::test]
async fn with_two_keys_or_one_header_twice() {
    let door = Door::of(9).await;
    let another = door.get("/").insert_header(("x-api-key", "another"));
    is_refused(&door, door.keys(), another, Reason::AmbiguousCredential).await;
}

#[actix_web::test]
async fn with_one_header_twice() {
    let door = Door::of(9).await;
    let twice = door.get("/").append_header(("authorization", "Basic YTpi"));
    is_refused(&door, door.keys(), twice, Reason::AmbiguousCredential).await;
}

#[actix_web::test]
async fn with_a_key_that_is_out_of_use() {
    let door = Door::of(9).await;
    let keyring = door.gate.keyring();
    let noon = door.issued.record.created;
    let new = || NewKey::new("acme", "free");
    let late = keyring.issue(new().not_before(noon + HOUR)).await.unwrap();
    is_refused(&door, door.keys(), showing(late.key.expose()), Reason::KeyNotYetValid).await;
    keyring.disable(door.issued.record.id).await.unwrap();
    is_refused(&door, door.keys(), door.get("/"), Reason::DisabledKey).await;
    let Issued { key, record, .. } = keyring.issue(new()).await.unwrap();
    keyring.revoke(record.id).await.unwrap();
    is_refused(&door, door.keys(), showing(key.expose()), Reason::RevokedKey).await;
}

#[actix_web::test]
async fn with_a_key_that_has_expired() {
    let clock = Arc::new(ManualClock::at(NOON));
    let door = Door::built(9, |builder| builder.clock(Arc::clone(&clock) as _)).await;
    let end = door.issued.record.created + HOUR;
    let short = door.gate.keyring().issue(NewKey::new("acme", "free").expires(end)).await.unwrap();
    clock.advance(HOUR);
    is_refused(&door, door.keys(), showing(short.key.expose()), Reason::ExpiredKey).await;
}

#[actix_web::test]
async fn without_a_scope_and_it_costs_nothing() {
    let door = Door::of(1).await;
    let keys = door.keys().require("users:read").unwrap();
    is_refused(&door, keys, door.get("/"), Reason::InsufficientScope).await;
    let app = init_service(App::new().default_service(web::to(|| async { "" })).wrap(door.keys()));
    assert_eq!(send::status(&app.await, door.get("/")).await, 200);
}

async fn used_up(door: &Door) {
    let keys = door.keys();
    let app = init_service(App::new().default_service(web::to(|| async { "" })).wrap(keys)).await;
    assert_eq!(send::status(&app, door.get("/")).await, 200);
}

#[actix_web::test]
async fn beyond_a_quota_a_rate_and_a_capacity() {
    let door = Door::of(1).await;
    used_up(&door).await;
    is_refused(&door, door.keys(), door.get("/"), Reason::QuotaExhausted).await;
    is_refused(&door, door.keys().cost(2), door.get("/"), Reason::CostExceedsLimit).await;
    let door = Door::limited("name = 'burst', rate = '1/min', burst = 1", |it| it).await;
    used_up(&door).await;
    is_refused(&door, door.keys(), door.get("/"), Reason::RateLimited).await;
}

#[derive(Debug)]
struct Broken;

fn fault<'a, T: Send + 'a>() -> Answer<'a, Result<T, StoreError>> {
    Answer::later(std::future::ready(Err(StoreError::new("out of reach"))))
}

impl CounterStore for Broken {
    fn charge(&self, _: &Charge<'_>) -> Answer<'static, Result<Readings, StoreError>> {
        fault()
    }

    fn settle(&self, _: &Settlement<'_>) -> Answer<'static, ()> {
        Answer::ready(())
    }

    fn reset<'a>(&'a self, _: Owner<'a>) -> Answer<'a, Result<(), StoreError>> {
        fault()
    }

    fn replicas(&self) -> NonZeroU64 {
        NonZeroU64::MIN
    }
}

impl KeyStore for Broken {
    fn find(&self, _: &KeyDigest) -> Answer<'static, Found> {
        fault()
    }

    fn load(&self, _: KeyId) -> Answer<'_, Result<Option<Arc<KeyRecord>>, StoreError>> {
        fault()
    }

    fn list<'a>(&'a self, _: &'a KeyFilter) -> Answer<'a, Result<Vec<Arc<KeyRecord>>, StoreError>> {
        fault()
    }

    fn commit<'a>(&'a self, _: &'a [KeyRecord]) -> Answer<'a, Result<Commit, StoreError>> {
        Answer::ready(Ok(Commit::Done))
    }
}

#[actix_web::test]
async fn when_counters_or_keys_are_out_of_reach() {
    let door = Door::built(1, |builder| builder.counters(Arc::new(Broken))).await;
    is_refused(&door, door.keys(), door.get("/"), Reason::LimiterUnavailable).await;
    let door = Door::built(1, |builder| builder.keys(Arc::new(Broken))).await;
    is_refused(&door, door.keys(), door.get("/"), Reason::KeysUnavailable).await;
}

#[actix_web::test]
async fn when_its_plan_is_gone() {
    let door = Door::of(1).await;
    door.gate.replace_plans(Plans::from_toml("[plans.other]").unwrap());
    is_refused(&door, door.keys(), door.get("/"), Reason::PlanUnavailable).await;
}

/// The text of the key is nowhere in what a refusal shows.
#[actix_web::test]
async fn no_refusal_repeats_the_key() {
    let door = Door::of(9).await;
    let app = App::new().default_service(web::to(|| async { "" })).wrap(door.keys().cost(10));
    let answer = send::send(&init_service(app).await, door.get("/")).await;
    let key: &ApiKey = &door.issued.key;
    assert!(!format!("{answer:?}").contains(key.expose()));
}
