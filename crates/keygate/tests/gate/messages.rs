//! A request that is charged message by message.

use std::{sync::Arc, time::Duration};

use keygate::{
    Plans,
    keyring::{Issued, NewKey},
    port::{Commit, KeyStore},
    record::KeyRecord,
    requirement::Requirement,
    usage::{Outcome, StatusClass},
    verdict::{Counted, Passage, Reason, Rejection},
};

use crate::{
    rigged::{RiggedKeys, Way},
    stores::{Mood, MoodyCounters},
    support::{Desk, Request, any_key, noon},
};

const PLANS: &str = r#"
    [plans.chat]
    scopes = ["chat:*"]
    limits = [
        { name = "parallel", concurrency = 2 },
        { name = "messages", rate = "1/s", burst = 10 },
        { name = "daily", quota = 50, per = "day" },
        { name = "calls", quota = 6, per = "day", operations = ["call"] },
    ]
    [plans.slots]
    limits = [{ name = "parallel", concurrency = 2 }]
    [plans.open]
    limits = [{ name = "messages", rate = "1/s", burst = 10 }]
    [plans.closed]
    limits = [{ name = "daily", quota = 50, per = "day" }]
    [plans.shared]
    limits = [{ name = "daily", quota = 50, per = "day", on_failure = "local_share" }]
    [plans.free]
"#;

struct Bench {
    desk: Desk,
    keys: Arc<RiggedKeys>,
    counters: Arc<MoodyCounters>,
}

impl Bench {
    fn new() -> Self {
        let keys = Arc::new(RiggedKeys::default());
        let counters = Arc::new(MoodyCounters::shared_by(10));
        let desk = Desk::new(PLANS, |gate| gate.keys(keys.clone()).counters(counters.clone()));
        Self { desk, keys, counters }
    }

    fn key(&self, plan: &str) -> Issued {
        self.desk.issue(NewKey::new("acme", plan).scopes(["chat:*"]))
    }

    fn connect(&self, key: &Issued) -> Passage {
        self.desk.ask(&Request::bearer(key.key.expose()), &any_key()).unwrap()
    }
}

/// A desk whose counters go by its clock.
fn timed() -> (Desk, Issued) {
    let desk = Desk::new(PLANS, |gate| gate);
    let key = desk.issue(NewKey::new("acme", "chat"));
    (desk, key)
}

fn send(connection: &Passage, cost: u64) -> Result<Counted, Rejection> {
    pollster::block_on(connection.admission().charge(cost))
}

#[track_caller]
fn refused(connection: &Passage, cost: u64) -> Reason {
    send(connection, cost).unwrap_err().reason()
}

/// What each limit has left, by name.
fn left(counted: &Counted) -> Vec<(&str, u64)> {
    counted.iter().map(|(limit, reading)| (limit.name().as_str(), reading.remaining)).collect()
}

#[test]
fn each_message_is_charged_by_the_limits_that_weigh() {
    let bench = Bench::new();
    let connection = bench.connect(&bench.key("chat"));
    let counted = send(&connection, 3).unwrap();
    assert_eq!(left(&counted), [("messages", 6), ("daily", 46)]);
    let counted = send(&connection, 0).unwrap();
    assert_eq!(left(&counted), [("messages", 6), ("daily", 46)], "one of cost 0 only looks");
    assert_eq!(connection.admitted().cost(), 4);
}

#[test]
fn a_connection_is_metered_once_with_all_its_messages() {
    let bench = Bench::new();
    let connection = bench.connect(&bench.key("chat"));
    for cost in [2, 3, 1] {
        let _ = send(&connection, cost).unwrap();
    }
    assert_eq!(refused(&connection, 9), Reason::RateLimited);
    assert!(bench.desk.metered().is_empty(), "neither messages nor refusals are requests");
    let admission = connection.admission().clone();
    connection.settle(Some(101));
    assert!(bench.desk.metered().is_empty(), "the connection is open");
    pollster::block_on(admission.charge(1)).unwrap();
    drop(admission);
    let metered = bench.desk.metered();
    assert_eq!(metered.len(), 1);
    assert_eq!(metered[0].outcome, Outcome::Admitted(StatusClass::Informational));
    assert_eq!(metered[0].cost, 8);
}

#[test]
fn a_message_that_is_refused_consumes_nothing_and_says_when_to_try_again() {
    let (desk, key) = timed();
    let connection = desk.ask(&Request::bearer(key.key.expose()), &any_key()).unwrap();
    let _ = send(&connection, 8).unwrap();
    for _ in 0..5 {
        let rejection = send(&connection, 4).unwrap_err();
        assert_eq!(rejection.reason(), Reason::RateLimited);
        assert_eq!(rejection.retry_after(), Some(Duration::from_secs(3)));
        assert_eq!(rejection.violated().len(), 1);
        assert_eq!(rejection.caller().unwrap().consumer().as_str(), "acme");
        assert_eq!(left(rejection.counted()), [("messages", 1), ("daily", 41)]);
        assert_eq!(rejection.reply().status, 429);
    }
    assert_eq!(connection.admitted().cost(), 9);
    desk.clock.advance(Duration::from_micros(3_000_000 - 1));
    assert_eq!(refused(&connection, 4), Reason::RateLimited);
    desk.clock.advance(Duration::from_micros(1));
    let counted = send(&connection, 4).unwrap();
    assert_eq!(left(&counted), [("messages", 0), ("daily", 37)]);
}

#[test]
fn a_message_that_no_limit_can_ever_hold_has_no_retry() {
    let bench = Bench::new();
    let connection = bench.connect(&bench.key("chat"));
    let rejection = send(&connection, 11).unwrap_err();
    assert_eq!(rejection.reason(), Reason::CostExceedsLimit);
    assert_eq!(rejection.retry_after(), None);
    assert_eq!(rejection.violated()[0].as_str(), "messages");
}

#[test]
fn messages_need_no_slot_beside_that_of_their_connection() {
    let bench = Bench::new();
    for plan in ["chat", "slots"] {
        let key = bench.key(plan);
        let connections = [bench.connect(&key), bench.connect(&key)];
        let request = Request::bearer(key.key.expose());
        assert!(bench.desk.ask(&request, &any_key()).is_err(), "all slots are taken");
        for connection in &connections {
            let _ = send(connection, 1).unwrap();
        }
        drop(connections);
        assert!(bench.desk.ask(&request, &any_key()).is_ok());
    }
}

#[test]
fn where_nothing_weighs_messages_are_only_metered() {
    let bench = Bench::new();
    for plan in ["free", "slots"] {
        let connection = bench.connect(&bench.key(plan));
        for cost in [5, u64::MAX, u64::MAX] {
            assert!(send(&connection, cost).unwrap().is_empty());
        }
        drop(connection);
        assert_eq!(bench.desk.metered()[0].cost, u64::MAX, "and the sum does not wrap");
    }
}

#[test]
fn messages_count_as_the_operation_of_their_connection() {
    let bench = Bench::new();
    let key = bench.key("chat");
    let request = Request::bearer(key.key.expose());
    let call = Arc::new(Requirement::default().operation("call").unwrap());
    let connection = bench.desk.ask(&request, &call).unwrap();
    let counted = send(&connection, 2).unwrap();
    assert_eq!(left(&counted), [("messages", 7), ("daily", 47), ("calls", 3)]);
    assert_eq!(refused(&connection, 4), Reason::QuotaExhausted);
    let counted = send(&bench.connect(&key), 4).unwrap();
    assert_eq!(left(&counted), [("messages", 2), ("daily", 42)], "another operation");
}

#[test]
fn a_key_that_was_switched_off_or_ended_sends_no_more() {
    let bench = Bench::new();
    let key = bench.key("chat");
    let (connection, id) = (bench.connect(&key), key.record.id);
    let keyring = bench.desk.gate.keyring();
    pollster::block_on(keyring.disable(id)).unwrap();
    assert_eq!(refused(&connection, 1), Reason::DisabledKey);
    pollster::block_on(keyring.enable(id)).unwrap();
    let counted = send(&connection, 1).unwrap();
    assert_eq!(left(&counted), [("messages", 8), ("daily", 48)], "refusals took nothing");
    pollster::block_on(keyring.revoke(id)).unwrap();
    let rejection = send(&connection, 1).unwrap_err();
    assert_eq!(rejection.reason(), Reason::RevokedKey);
    assert_eq!(rejection.retry_after(), None);
    assert_eq!(rejection.reply().status, 401);
}

#[test]
fn a_key_that_expired_sends_no_more() {
    let bench = Bench::new();
    let soon = noon() + Duration::from_secs(60);
    let key = bench.desk.issue(NewKey::new("acme", "chat").expires(soon));
    let connection = bench.connect(&key);
    bench.desk.clock.advance(Duration::from_micros(60_000_000 - 1));
    let _ = send(&connection, 1).unwrap();
    bench.desk.clock.advance(Duration::from_micros(1));
    assert_eq!(refused(&connection, 1), Reason::ExpiredKey);
}

#[test]
fn a_rotated_key_sends_for_as_long_as_it_is_let() {
    let bench = Bench::new();
    let key = bench.key("chat");
    let connection = bench.connect(&key);
    let keyring = bench.desk.gate.keyring();
    let rotated = keyring.rotate(key.record.id, Duration::from_secs(60));
    let successor = pollster::block_on(rotated).unwrap();
    let _ = send(&connection, 2).unwrap();
    let counted = send(&bench.connect(&successor), 1).unwrap();
    assert_eq!(left(&counted), [("messages", 5), ("daily", 45)], "they count as one");
    bench.desk.clock.advance(Duration::from_secs(60));
    assert_eq!(refused(&connection, 1), Reason::ExpiredKey);
}

#[test]
fn an_edit_of_the_plan_is_in_force_with_the_next_message() {
    let bench = Bench::new();
    let connection = bench.connect(&bench.key("closed"));
    let _ = send(&connection, 9).unwrap();
    let edited = |limits: &str| {
        let plan = format!("[plans.closed]\nlimits = [{limits}]");
        bench.desk.gate.replace_plans(Plans::from_toml(&plan).unwrap());
    };
    edited(r#"{ name = "daily", quota = 12, per = "day" }"#);
    assert_eq!(refused(&connection, 3), Reason::QuotaExhausted);
    assert_eq!(left(&send(&connection, 2).unwrap()), [("daily", 0)]);
    edited(
        r#"{ name = "daily", quota = 60, per = "day" }, { name = "b", rate = "1/s", burst = 5 }"#,
    );
    assert_eq!(left(&send(&connection, 5).unwrap()), [("daily", 43), ("b", 0)]);
    bench.desk.gate.replace_plans(Plans::from_toml("[plans.other]").unwrap());
    let rejection = send(&connection, 1).unwrap_err();
    assert_eq!(rejection.reason(), Reason::PlanUnavailable);
    assert_eq!(rejection.retry_after(), Some(Duration::from_secs(1)));
}

#[test]
fn a_key_that_moved_sends_by_its_new_plan() {
    let bench = Bench::new();
    let key = bench.key("closed");
    let connection = bench.connect(&key);
    let keyring = bench.desk.gate.keyring();
    let _ = pollster::block_on(keyring.move_to_plan(key.record.id, "open")).unwrap();
    assert_eq!(left(&send(&connection, 4).unwrap()), [("messages", 6)]);
    assert_eq!(connection.caller().plan().name().as_str(), "closed", "as it was at the gate");
}

#[test]
fn a_plan_that_lost_a_scope_refuses_the_next_message() {
    let bench = Bench::new();
    let request = Request::bearer(bench.key("chat").key.expose());
    let chat = Arc::new(Requirement::default().require("chat:send").unwrap());
    let connection = bench.desk.ask(&request, &chat).unwrap();
    let _ = send(&connection, 1).unwrap();
    let less = "[plans.chat]\nscopes = [\"chat:read\"]\nlimits = []";
    bench.desk.gate.replace_plans(Plans::from_toml(less).unwrap());
    assert_eq!(refused(&connection, 1), Reason::InsufficientScope);
}

#[test]
fn a_store_that_fails_decides_about_messages_as_about_requests() {
    let bench = Bench::new();
    let [open, closed, shared] =
        ["open", "closed", "shared"].map(|plan| bench.connect(&bench.key(plan)));
    for mood in [Mood::Broken, Mood::Mute] {
        bench.counters.turn(mood);
        assert!(send(&open, 10).unwrap().is_empty(), "{mood:?}: uncounted");
        assert_eq!(refused(&closed, 1), Reason::LimiterUnavailable, "{mood:?}");
        assert_eq!(refused(&shared, 6), Reason::LimiterUnavailable, "{mood:?}: a tenth is 5");
    }
    assert_eq!(left(&send(&shared, 4).unwrap()), [("daily", 1)]);
    assert_eq!(refused(&shared, 2), Reason::QuotaExhausted);
    bench.counters.turn(Mood::Well);
    assert_eq!(left(&send(&open, 1).unwrap()), [("messages", 8)]);
    bench.keys.finding(Way::Fails);
    let rejection = send(&open, 1).unwrap_err();
    assert_eq!(rejection.reason(), Reason::KeysUnavailable);
    assert_eq!(rejection.retry_after(), Some(Duration::from_secs(1)));
    bench.keys.finding(Way::Well);
    assert_eq!(left(&send(&open, 1).unwrap()), [("messages", 7)]);
}

#[test]
fn a_message_that_is_given_up_leaves_the_connection_as_it_was() {
    let bench = Bench::new();
    let connection = bench.connect(&bench.key("chat"));
    bench.counters.turn(Mood::Silent);
    let mut message = Box::pin(connection.admission().charge(5));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(message.as_mut().poll(&mut context).is_pending());
    drop(message);
    bench.counters.turn(Mood::Well);
    assert_eq!(connection.admitted().cost(), 1);
    assert_eq!(left(&send(&connection, 1).unwrap()), [("messages", 8), ("daily", 48)]);
    assert!(bench.desk.metered().is_empty());
}

#[test]
fn what_messages_weighed_can_be_settled_as_a_whole() {
    let bench = Bench::new();
    let connection = bench.connect(&bench.key("chat"));
    for cost in [4, 4] {
        let _ = send(&connection, cost).unwrap();
    }
    connection.admission().settle_cost(3);
    let counted = send(&connection, 1).unwrap();
    let ("daily", 46) = left(&counted)[1] else { panic!("{counted:?}") };
    drop(connection);
    assert_eq!(bench.desk.metered()[0].cost, 4);
}

#[test]
fn what_another_consumer_was_charged_is_not_given_back_to_the_first() {
    let bench = Bench::new();
    let key = bench.key("chat");
    let connection = bench.connect(&key);
    let theirs = bench.connect(&bench.key("chat"));
    let _ = send(&theirs, 6).unwrap();
    let mut moved = KeyRecord::clone(&key.record);
    moved.consumer = "umbrella".parse().unwrap();
    moved.revision += 1;
    assert_eq!(pollster::block_on(bench.keys.commit(&[moved])).unwrap(), Commit::Done);
    assert_eq!(left(&send(&connection, 5).unwrap()), [("messages", 5), ("daily", 45)]);
    connection.admission().settle_cost(0);
    let counted = send(&theirs, 0).unwrap();
    assert_eq!(left(&counted)[1], ("daily", 43), "only the request itself was given back");
}
