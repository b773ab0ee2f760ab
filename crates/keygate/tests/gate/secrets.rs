//! What shows itself of a key on its way, and keys of digesters that were replaced.

use std::sync::Arc;

use keygate::{
    gate::GateBuilder,
    key::{Digester, Pepper},
    keyring::{Issued, NewKey},
    memory::MemoryKeys,
    requirement::Requirement,
};

use crate::support::{Desk, Request, any_key};

const PLANS: &str = r#"
    [plans.free]
    limits = [{ name = "burst", rate = "1/s" }]
"#;

/// `shown` holds neither the key, nor its secret part, nor the digest by which it could be found.
#[track_caller]
fn assert_keeps(shown: &str, issued: &Issued) {
    let text = issued.key.expose();
    let (_, body) = text.rsplit_once('_').unwrap();
    let (secret, _) = body.split_at(32);
    let digest = issued.record.digest.to_string();
    let (_, hex) = digest.rsplit_once(':').unwrap();
    let (half, _) = hex.split_at(32);
    for kept in [text, secret, hex, half, &hex.to_uppercase()] {
        assert!(!shown.contains(kept), "{kept} in {shown}");
    }
}

#[test]
fn nothing_on_the_path_shows_the_key_or_its_digest() {
    let desk = Desk::new(PLANS, GateBuilder::tell_admitted);
    let issued = desk.issue(NewKey::new("acme", "free"));
    let request = Request::bearer(issued.key.expose());
    let presented = desk.gate.present(&request, &any_key()).unwrap();
    assert_keeps(&format!("{presented:?} {presented:#?}"), &issued);
    let admission = pollster::block_on(desk.gate.admit(presented)).unwrap();
    assert_keeps(&format!("{admission:?} {admission:#?}"), &issued);
    assert_keeps(&format!("{:?}", admission.caller()), &issued);
    assert_keeps(&format!("{:?}", admission.caller().record()), &issued);
    assert_keeps(&format!("{:?}", admission.fields()), &issued);
    let outer = admission.caller();
    assert_keeps(&format!("{:?}", admission.verdict(None).unwrap()), &issued);
    admission.settle(Some(200));
    let rejection = desk.ask(&request, &any_key()).unwrap_err();
    assert_keeps(&format!("{rejection:?} {:?}", rejection.reply()), &issued);
    let inner = Request { caller: Some(outer), ..Request::get("/") };
    let nested = desk.gate.present(&inner, &any_key()).unwrap();
    assert_keeps(&format!("{nested:?}"), &issued);
    assert_keeps(&format!("{:?} {:?}", desk.gate, desk.gate.keyring()), &issued);
    assert_keeps(&format!("{issued:?}"), &issued);
}

#[test]
fn keys_of_an_older_digester_go_on_working() {
    let keys = Arc::new(MemoryKeys::default());
    let pepper = |version: u16| Pepper::new(version, vec![u8::try_from(version).unwrap(); 32]);
    let desk = |digester: Digester| {
        let keys = keys.clone();
        Desk::new(PLANS, |gate| gate.keys(keys).digester(digester))
    };
    let first = Digester::peppered(pepper(1).unwrap());
    let second = Digester::peppered(pepper(2).unwrap());
    let plain = desk(Digester::sha256());
    let all = second.clone().also(pepper(1).unwrap()).unwrap();
    let all = all.also_sha256().unwrap();

    let issued = [
        plain.issue(NewKey::new("plain", "free")),
        desk(first).issue(NewKey::new("first", "free")),
        desk(second.clone()).issue(NewKey::new("second", "free")),
        desk(all.clone()).issue(NewKey::new("all", "free")),
    ];
    let now = desk(all);
    for key in &issued {
        let request = Request::bearer(key.key.expose());
        let admission = now.ask(&request, &any_key()).unwrap();
        assert_eq!(admission.caller().consumer(), &key.record.consumer);
    }
    let strict = desk(second);
    let answers = issued.iter().map(|key| {
        let request = Request::bearer(key.key.expose());
        let answer = strict.ask(&request, &any_key());
        answer.map_or_else(|rejection| rejection.reason().code(), |_| "admitted")
    });
    let expected = ["unknown_key", "unknown_key", "admitted", "admitted"];
    assert_eq!(answers.collect::<Vec<_>>(), expected);
}

#[test]
fn what_a_route_demands_is_not_told_of_the_key() {
    let desk = Desk::new(PLANS, |gate| gate);
    let new = NewKey::new("acme-internal", "free").scopes(["hidden:scope"]);
    let issued = desk.issue(new.attribute("tier", "confidential"));
    let needs = Requirement::default().require("orders").unwrap();
    let request = Request::bearer(issued.key.expose());
    let rejection = desk.ask(&request, &Arc::new(needs)).unwrap_err();
    let reply = format!("{:?}", rejection.reply());
    for kept in ["acme-internal", "hidden", "confidential"] {
        assert!(!reply.contains(kept), "{kept}");
    }
}
