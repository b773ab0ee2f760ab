//! Callers without a key, under a plan of their own.

use std::{net::IpAddr, sync::Arc};

use keygate::{
    Gate, Plans,
    gate::{GateBuilder, GateError},
    keyring::NewKey,
    requirement::Requirement,
    usage::{Outcome, StatusClass},
    verdict::Reason,
    wire::Wire,
};

use crate::support::{Desk, Request, any_key, field};

const PLANS: &str = r#"
    [plans.visitors]
    scopes = ["search:read"]
    limits = [
      { name = "hourly", quota = 2, per = "hour" },
      { name = "own", quota = 1, per = "day", partition = "key", operations = ["export"] },
    ]

    [plans.free]
    scopes = ["search:*", "orders:*"]
    limits = [{ name = "hourly", quota = 100, per = "hour" }]
"#;

fn open_to_visitors(gate: GateBuilder) -> GateBuilder {
    gate.anonymous("visitors").wire(Wire::default().trusted_proxies("10.0.0.0/8".parse().unwrap()))
}

fn desk() -> Desk {
    Desk::new(PLANS, open_to_visitors)
}

fn from(peer: &str) -> Request {
    Request { peer: Some(peer.parse::<IpAddr>().unwrap()), ..Request::get("/search") }
}

fn operation(name: &str) -> Arc<Requirement> {
    Arc::new(Requirement::default().operation(name).unwrap())
}

/// The reason for which a request is refused, or the consumer it is admitted as.
fn consumer(desk: &Desk, request: &Request) -> Result<String, Reason> {
    match desk.ask(request, &any_key()) {
        Ok(passage) => Ok(passage.caller().consumer().to_string()),
        Err(rejection) => Err(rejection.reason()),
    }
}

#[test]
fn each_address_has_the_whole_plan() {
    let desk = desk();
    for address in ["203.0.113.7", "203.0.113.8"] {
        let who = || consumer(&desk, &from(address));
        assert_eq!(who(), Ok(format!("ip:{address}")));
        assert_eq!(who(), Ok(format!("ip:{address}")));
        assert_eq!(who(), Err(Reason::QuotaExhausted));
    }
}

#[test]
fn a_visitor_has_no_key_and_what_the_plan_grants() {
    let desk = desk();
    let passage = desk.ask(&from("203.0.113.7"), &any_key()).unwrap();
    let caller = passage.caller();
    assert!(caller.is_anonymous());
    assert_eq!((caller.key_id(), caller.record()), (None, None));
    assert_eq!((caller.plan().name().as_str(), caller.attribute("country")), ("visitors", None));
    assert!(caller.may(&"search:read".parse().unwrap()));
    assert!(!caller.may(&"orders:write".parse().unwrap()));
    assert_eq!(field(&passage.fields(), "ratelimit"), Some(r#""hourly";r=1;t=3600"#));
}

#[test]
fn what_a_visitor_may_not_do_needs_a_key() {
    let desk = desk();
    let ordering = Arc::new(Requirement::default().require("orders:write").unwrap());
    let rejection = desk.ask(&from("203.0.113.7"), &ordering).unwrap_err();
    assert_eq!((rejection.reason(), rejection.reply().status), (Reason::MissingKey, 401));
}

#[test]
fn what_a_visitor_may_not_do_needs_a_key_further_in_and_later_on_too() {
    let desk = desk();
    let searching = Arc::new(Requirement::default().require("search:read").unwrap());
    let ordering = Arc::new(Requirement::default().require("orders:write").unwrap());
    let passage = desk.ask(&from("203.0.113.7"), &searching).unwrap();
    let within = Request { caller: Some(passage.caller()), ..from("203.0.113.7") };
    let rejection = desk.ask(&within, &ordering).unwrap_err();
    assert_eq!((rejection.reason(), rejection.reply().status), (Reason::MissingKey, 401));

    desk.gate.replace_plans(Plans::from_toml("[plans.visitors]").unwrap());
    let rejection = pollster::block_on(passage.admission().charge(1)).unwrap_err();
    assert_eq!(rejection.reason(), Reason::MissingKey);
}

#[test]
fn addresses_of_one_v6_network_are_one_visitor() {
    let desk = desk();
    let network = Ok("ip:2001:db8:1:2::/64".to_owned());
    assert_eq!(consumer(&desk, &from("2001:db8:1:2::7")), network);
    assert_eq!(consumer(&desk, &from("2001:db8:1:2:ffff::1")), network);
    assert_eq!(consumer(&desk, &from("2001:db8:1:2::8")), Err(Reason::QuotaExhausted));
    assert!(consumer(&desk, &from("2001:db8:1:3::7")).is_ok());
}

#[test]
fn behind_a_trusted_proxy_it_is_the_client_who_counts() {
    let desk = desk();
    let through = |said: &str| from("10.0.0.1").with("x-forwarded-for", said);
    let lying = through("192.0.2.1, 203.0.113.7");
    assert_eq!(consumer(&desk, &lying), Ok("ip:203.0.113.7".to_owned()));
    let endless = through(&format!("{}203.0.113.7", "1.1.1.1, ".repeat(100_000)));
    assert_eq!(consumer(&desk, &endless), Ok("ip:203.0.113.7".to_owned()));
    let from_outside = from("203.0.113.9").with("x-forwarded-for", "192.0.2.1");
    assert_eq!(consumer(&desk, &from_outside), Ok("ip:203.0.113.9".to_owned()));
}

#[test]
fn limits_by_key_count_a_visitor_by_address() {
    let desk = desk();
    let exports = operation("export");
    for address in ["203.0.113.7", "203.0.113.8"] {
        assert!(desk.ask(&from(address), &exports).is_ok());
        let refused = desk.ask(&from(address), &exports).unwrap_err();
        assert_eq!(refused.violated(), ["own".parse().unwrap()]);
    }
}

#[test]
fn a_key_that_is_no_good_makes_nobody_a_visitor() {
    let desk = desk();
    let bad = from("203.0.113.7").with("x-api-key", "kg_live_nonsense");
    assert_eq!(consumer(&desk, &bad), Err(Reason::MalformedKey));
    let issued = desk.issue(NewKey::new("acme", "free"));
    pollster::block_on(desk.gate.keyring().revoke(issued.record.id)).unwrap();
    let revoked = from("203.0.113.7").with("x-api-key", issued.key.expose());
    assert_eq!(consumer(&desk, &revoked), Err(Reason::RevokedKey));
}

#[test]
fn a_key_is_counted_as_ever() {
    let desk = desk();
    let issued = desk.issue(NewKey::new("acme", "free"));
    let request = from("203.0.113.7").with("x-api-key", issued.key.expose());
    assert_eq!(consumer(&desk, &request), Ok("acme".to_owned()));
}

#[test]
fn without_an_address_there_is_no_visitor() {
    assert_eq!(consumer(&desk(), &Request::get("/search")), Err(Reason::MissingKey));
}

#[test]
fn visitors_are_refused_unless_a_plan_is_named() {
    let desk = Desk::new(PLANS, |gate| gate);
    assert_eq!(consumer(&desk, &from("203.0.113.7")), Err(Reason::MissingKey));
}

#[test]
fn a_plan_that_is_not_there_is_told_as_such() {
    let desk = Desk::new("[plans.free]", |gate| gate.anonymous("visitors"));
    assert_eq!(consumer(&desk, &from("203.0.113.7")), Err(Reason::PlanUnavailable));
    let plans = Plans::from_toml(PLANS).unwrap();
    let impossible = Gate::builder(plans).anonymous("for all").build();
    assert!(matches!(impossible, Err(GateError::Anonymous(_))));
}

#[test]
fn visitors_are_metered_under_no_key() {
    let desk = desk();
    desk.ask(&from("203.0.113.7"), &any_key()).unwrap().settle(Some(200));
    let metered = desk.metered();
    assert_eq!(metered.len(), 1);
    assert_eq!(metered[0].outcome, Outcome::Admitted(StatusClass::Success));
    assert_eq!((&metered[0].key, metered[0].cost), (&None, 1));
}

#[test]
fn messages_of_a_visitor_draw_on_the_same_plan() {
    let desk = desk();
    let passage = desk.ask(&from("203.0.113.7"), &any_key()).unwrap();
    assert!(pollster::block_on(passage.admission().charge(1)).is_ok());
    let refused = pollster::block_on(passage.admission().charge(1)).unwrap_err();
    assert_eq!(refused.reason(), Reason::QuotaExhausted);
}
