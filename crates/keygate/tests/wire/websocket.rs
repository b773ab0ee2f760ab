//! Keys among the subprotocols of a WebSocket's handshake.

use keygate::{
    keyring::{Issued, NewKey},
    wire::Wire,
};

use crate::support::{Desk, Request, any_key};

const PROTOCOL: &str = "sec-websocket-protocol";

fn desk() -> (Desk, Issued) {
    let wire = Wire::default().subprotocol("keygate.key.").unwrap();
    let desk = Desk::new("[plans.free]", |gate| gate.wire(wire));
    let key = desk.issue(NewKey::new("acme", "free"));
    (desk, key)
}

/// A handshake that offers these subprotocols, one line each; `$` is the key.
fn handshake(key: &Issued, lines: &[&str]) -> Request {
    let request = Request::get("/").with("connection", "Upgrade").with("upgrade", "websocket");
    offering(request, key, lines)
}

fn offering(request: Request, key: &Issued, lines: &[&str]) -> Request {
    let lines = lines.iter().map(|line| line.replace('$', key.key.expose()));
    lines.fold(request, |request, line| request.with(PROTOCOL, line))
}

/// What a request is refused for, or the consumer it is admitted as.
fn verdict(desk: &Desk, request: &Request) -> String {
    match desk.ask(request, &any_key()) {
        Ok(passage) => passage.caller().consumer().to_string(),
        Err(rejection) => rejection.reason().code().to_owned(),
    }
}

/// The subprotocols that inner layers see, line by line.
fn seen(desk: &Desk, request: &Request) -> Vec<String> {
    let mut inner = request.clone();
    let presented = desk.gate.present(request, &any_key());
    desk.gate.conceal(&mut inner, presented.as_ref());
    let lines = inner.headers.into_iter().filter(|(name, _)| name == PROTOCOL);
    lines.map(|(_, value)| String::from_utf8(value).unwrap()).collect()
}

#[test]
fn a_key_is_read_among_the_others_and_removed() {
    let (desk, key) = desk();
    let cases: [(&[&str], &[&str]); 8] = [
        (&["keygate.key.$"], &[]),
        (&["orders.v1, keygate.key.$"], &["orders.v1"]),
        (&["keygate.key.$,orders.v1"], &["orders.v1"]),
        (&["orders.v1 ,\tkeygate.key.$ , orders.v2"], &["orders.v1, orders.v2"]),
        (&["orders.v1", "keygate.key.$"], &["orders.v1"]),
        (&["orders.v1", "keygate.key.$, orders.v2"], &["orders.v1, orders.v2"]),
        (&[", ,keygate.key.$,,"], &[]),
        (&["orders.v1, keygate.key.$", "caf\u{e9}"], &["orders.v1"]),
    ];
    for (offered, left) in cases {
        let request = handshake(&key, offered);
        assert_eq!(verdict(&desk, &request), "acme", "{offered:?}");
        assert_eq!(seen(&desk, &request), left, "{offered:?}");
    }
}

#[test]
fn a_handshake_is_known_by_its_upgrade() {
    let (desk, key) = desk();
    for upgrade in ["websocket", "WebSocket", "h2c, websocket"] {
        let request = Request::get("/").with("upgrade", upgrade);
        let request = offering(request, &key, &["keygate.key.$"]);
        assert_eq!(verdict(&desk, &request), "acme", "{upgrade}");
    }
}

#[test]
fn on_other_requests_the_header_is_no_place_for_a_key() {
    let (desk, key) = desk();
    let plain = Request::get("/");
    let other = Request::get("/").with("upgrade", "h2c");
    let similar = Request::get("/").with("upgrade", "websockets");
    let mut posted = Request::get("/").with("upgrade", "websocket");
    posted.method = "POST";
    for request in [plain, other, similar, posted] {
        let request = offering(request, &key, &["keygate.key.$"]);
        assert_eq!(verdict(&desk, &request), "missing_key", "{request:?}");
        let admitted = request.clone().with("x-api-key", key.key.expose());
        assert_eq!(verdict(&desk, &admitted), "acme");
        assert_eq!(seen(&desk, &admitted).len(), 1, "what is no credential stays");
    }
}

#[test]
fn two_keys_are_ambiguous() {
    let (desk, key) = desk();
    for lines in [
        &["keygate.key.$, keygate.key.$"][..],
        &["keygate.key.$", "keygate.key.$"],
        &["keygate.key.$, keygate.key.kg_live_other"],
        &["keygate.key.$, keygate.key."],
    ] {
        assert_eq!(verdict(&desk, &handshake(&key, lines)), "ambiguous_credential", "{lines:?}");
    }
    let another = desk.issue(NewKey::new("acme", "free"));
    let request = handshake(&key, &["keygate.key.$"]);
    let two = request.clone().with("x-api-key", another.key.expose());
    assert_eq!(verdict(&desk, &two), "ambiguous_credential");
    let same = request.with("x-api-key", key.key.expose());
    assert_eq!(verdict(&desk, &same), "acme", "one key in two places is one credential");
    assert_eq!(seen(&desk, &same), [] as [&str; 0]);
}

#[test]
fn a_bad_key_is_refused_like_any_other() {
    let (desk, key) = desk();
    for (offered, code) in [
        ("keygate.key.", "malformed_key"),
        ("keygate.key.$x", "malformed_key"),
        ("keygate.key. $", "malformed_key"),
        ("Keygate.Key.$", "missing_key"),
        ("$", "missing_key"),
        ("orders.v1", "missing_key"),
    ] {
        assert_eq!(verdict(&desk, &handshake(&key, &[offered])), code, "{offered}");
    }
}

#[test]
fn subprotocols_are_no_place_unless_turned_on() {
    let desk = Desk::new("[plans.free]", |gate| gate);
    let key = desk.issue(NewKey::new("acme", "free"));
    let request = handshake(&key, &["keygate.key.$"]);
    assert_eq!(verdict(&desk, &request), "missing_key");
}

#[test]
fn subprotocols_may_be_the_only_place() {
    let wire = Wire::without_places().subprotocol("key.").unwrap();
    let desk = Desk::new("[plans.free]", |gate| gate.wire(wire));
    let key = desk.issue(NewKey::new("acme", "free"));
    assert_eq!(verdict(&desk, &handshake(&key, &["key.$"])), "acme");
}

#[test]
fn a_key_shown_to_a_public_route_is_removed_too() {
    let wire = Wire::default().subprotocol("keygate.key.").unwrap();
    let desk = Desk::new("[plans.free]", |gate| gate.wire(wire).public_path("/"));
    let key = desk.issue(NewKey::new("acme", "free"));
    let request = handshake(&key, &["orders.v1, keygate.key.$"]);
    assert_eq!(seen(&desk, &request), ["orders.v1"]);
    let request = handshake(&key, &["orders.v1,orders.v2"]);
    assert_eq!(seen(&desk, &request), ["orders.v1,orders.v2"], "left as it was");
}

#[test]
fn prefixes_that_no_subprotocol_can_have_are_refused() {
    for hostile in ["", "a b", "a,b", "a/b", "a\"", "a\r\n", "é"] {
        assert!(Wire::default().subprotocol(hostile).is_err(), "{hostile:?}");
    }
}
