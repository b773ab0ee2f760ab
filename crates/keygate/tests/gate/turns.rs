//! Stores that answer at once, and stores that take their time.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use keygate::{
    key::KeyFormat,
    keyring::{Issued, NewKey},
    port::Answer,
    requirement::Requirement,
    usage::Outcome,
    verdict::{Passage, Rejection},
};

use crate::{
    rigged::{RiggedKeys, Way},
    stores::{Mood, MoodyCounters},
    support::{Desk, Event, Request, any_key},
};

const PLANS: &str = r#"
    [plans.free]
    scopes = ["orders:read"]
    limits = [
        { name = "parallel", concurrency = 1 },
        { name = "daily", quota = 3, per = "day" },
    ]
"#;

/// How finding and charging go: at once, or not.
const WAYS: [(Way, Mood); 4] = [
    (Way::Well, Mood::Well),
    (Way::Slow, Mood::Well),
    (Way::Well, Mood::Slow),
    (Way::Slow, Mood::Slow),
];

type Verdict = Result<Passage, Rejection>;

struct Bench {
    desk: Desk,
    keys: Arc<RiggedKeys>,
    counters: Arc<MoodyCounters>,
    issued: Issued,
}

impl Bench {
    fn new() -> Self {
        let keys = Arc::new(RiggedKeys::default());
        let counters = Arc::new(MoodyCounters::shared_by(1));
        let desk = Desk::new(PLANS, |gate| gate.keys(keys.clone()).counters(counters.clone()));
        let issued = desk.issue(NewKey::new("acme", "free").scopes(["orders:read"]));
        Self { desk, keys, counters, issued }
    }

    fn goes(&self, (keys, counters): (Way, Mood)) {
        self.keys.finding(keys);
        self.counters.turn(counters);
    }

    fn request(&self) -> Request {
        Request::bearer(self.issued.key.expose())
    }

    fn admit(&self, request: &Request, requirement: &Arc<Requirement>) -> Answer<'static, Verdict> {
        self.desk.gate.admit(self.desk.gate.present(request, requirement).unwrap())
    }

    /// What is left of each limit, by a charge of nothing.
    fn left(&self) -> Vec<u64> {
        self.goes((Way::Well, Mood::Well));
        let look = self.desk.ask(&self.request(), &costing(0)).unwrap();
        let left = look.admitted().counted().iter().map(|(_, it)| it.remaining).collect();
        look.settle(Some(200));
        self.desk.metered();
        left
    }

    /// Drops a request after so many polls, and tells how it was metered.
    #[track_caller]
    fn dropped_after(&self, polls: usize, way: (Way, Mood)) -> Event {
        self.goes(way);
        let mut answer = self.admit(&self.request(), &any_key());
        for poll in 0..polls {
            assert!(poll_once(&mut answer).is_pending(), "{way:?}: poll {poll}");
        }
        assert!(self.desk.metered().is_empty(), "{way:?}");
        drop(answer);
        let metered = self.desk.metered();
        assert_eq!(metered.len(), 1, "{way:?} after {polls} polls: {metered:?}");
        assert_eq!(metered[0].outcome, Outcome::Aborted, "{way:?} after {polls} polls");
        metered[0].clone()
    }
}

fn poll_once(answer: &mut Answer<'static, Verdict>) -> Poll<Verdict> {
    Pin::new(answer).poll(&mut Context::from_waker(Waker::noop()))
}

fn costing(cost: u64) -> Arc<Requirement> {
    Arc::new(Requirement::default().cost(cost))
}

fn told(verdict: Verdict) -> String {
    match verdict {
        Ok(passage) => {
            let told = passage.fields().iter().map(|(_, value)| &**value).collect();
            passage.settle(Some(200));
            told
        }
        Err(rejection) => format!("{}: {:?}", rejection.reason().code(), rejection.reply()),
    }
}

#[test]
fn what_stores_know_at_once_is_decided_at_once() {
    let bench = Bench::new();
    let passage = bench.admit(&bench.request(), &any_key()).at_once().unwrap().unwrap();
    let refused = bench.admit(&bench.request(), &any_key()).at_once().unwrap();
    assert_eq!(refused.unwrap_err().reason().code(), "too_many_concurrent");
    drop(passage);
    let nobody = bench.admit(&Request::get("/"), &any_key());
    assert_eq!(nobody.at_once().unwrap().unwrap_err().reason().code(), "missing_key");
}

#[test]
fn what_takes_its_time_is_not_asked_before_it_is_polled() {
    for way in [(Way::Slow, Mood::Well), (Way::Well, Mood::Slow), (Way::Slow, Mood::Slow)] {
        let bench = Bench::new();
        bench.goes(way);
        let answer = bench.admit(&bench.request(), &any_key()).at_once().unwrap_err();
        assert_eq!(bench.left(), [1, 3], "{way:?}");
        bench.goes(way);
        let passage = pollster::block_on(answer).unwrap();
        assert_eq!(bench.left(), [0, 2], "{way:?}");
        drop(passage);
        assert_eq!(bench.left(), [1, 2], "{way:?}");
    }
}

#[test]
fn verdicts_and_what_is_metered_are_the_same_whatever_waits() {
    let stray = KeyFormat::default().mint().unwrap();
    let scoped = Arc::new(Requirement::default().require("orders:write").unwrap());
    let everything = WAYS.map(|way| {
        let bench = Bench::new();
        bench.goes(way);
        let good = bench.request();
        let requests = [
            (Request::get("/"), any_key()),
            (Request::bearer("x"), any_key()),
            (Request::bearer(stray.expose()), any_key()),
            (good.clone(), scoped.clone()),
            (good.clone(), costing(4)),
            (good.clone(), costing(2)),
            (good.clone(), costing(2)),
            (good.clone(), costing(1)),
            (good, costing(0)),
        ];
        requests.map(|(request, requirement)| {
            let told = told(pollster::block_on(bench.admit(&request, &requirement)));
            let [event] = &bench.desk.metered()[..] else { panic!("{way:?}: not metered once") };
            let key = event.key.as_ref().map(|(_, consumer)| consumer.clone());
            (told, Event { key: None, ..event.clone() }, key)
        })
    });
    let [at_once, slow @ ..] = everything;
    assert_eq!(
        at_once.iter().filter(|(_, it, _)| matches!(it.outcome, Outcome::Admitted(_))).count(),
        3
    );
    for slow in slow {
        assert_eq!(slow, at_once);
    }
}

#[test]
fn a_verdict_that_nobody_takes_is_aborted_and_gives_its_slot_back() {
    let bench = Bench::new();
    let event = bench.dropped_after(0, (Way::Well, Mood::Well));
    assert_eq!((event.key.map(|(id, _)| id), event.cost), (Some(bench.issued.record.id), 1));
    assert_eq!(bench.left(), [1, 2], "it was counted");
}

#[test]
fn a_request_that_is_dropped_while_its_key_is_looked_for_is_nobodys() {
    for counters in [Mood::Well, Mood::Slow] {
        let bench = Bench::new();
        for polls in [0, 1] {
            let event = bench.dropped_after(polls, (Way::Slow, counters));
            assert_eq!((event.key, event.cost), (None, 0));
            assert_eq!(bench.left(), [1, 3]);
        }
        assert_eq!(bench.counters.settled(), 0, "there was nothing to give back");
    }
}

#[test]
fn a_request_that_is_dropped_while_it_is_counted_is_of_its_key() {
    let cases = [
        (Way::Well, Mood::Slow, 0),
        (Way::Well, Mood::Slow, 1),
        (Way::Slow, Mood::Slow, 2),
        (Way::Well, Mood::Silent, 1),
    ];
    for (keys, counters, polls) in cases {
        let bench = Bench::new();
        let event = bench.dropped_after(polls, (keys, counters));
        assert_eq!((event.key.map(|(id, _)| id), event.cost), (Some(bench.issued.record.id), 0));
        assert_eq!(bench.left(), [1, 3], "{keys:?}, {counters:?}");
    }
}

/// A store that counts early, before it is polled, keeps no promise; but a slot would be lost for good.
#[test]
fn a_slot_that_may_have_been_taken_is_given_back_whenever_the_request_is_dropped() {
    for (keys, polls) in [(Way::Well, 0), (Way::Well, 1), (Way::Slow, 2)] {
        let bench = Bench::new();
        let event = bench.dropped_after(polls, (keys, Mood::Lost));
        assert_eq!(event.key.map(|(id, _)| id), Some(bench.issued.record.id));
        assert_eq!(bench.left(), [1, 2], "{keys:?} after {polls} polls");
    }
}
