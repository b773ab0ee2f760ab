//! Where a key may stand, and how it is hidden from everything further in.

use std::sync::Arc;

use keygate::{
    Gate, Plans,
    gate::GateError,
    keyring::{Issued, NewKey},
    requirement::Requirement,
    wire::{FieldName, Wire},
};

use crate::support::{Desk, Request, any_key, challenge, field};

fn desk(wire: Wire) -> (Desk, Issued) {
    let desk = Desk::new("[plans.free]", |gate| gate.wire(wire));
    let key = desk.issue(NewKey::new("acme", "free"));
    (desk, key)
}

#[track_caller]
fn admits(desk: &Desk, request: &Request) {
    let admission = desk.ask(request, &any_key()).expect("a good key in a good place");
    assert_eq!(admission.caller().consumer().as_str(), "acme");
}

#[track_caller]
fn refuses(desk: &Desk, request: &Request, code: &str) {
    let rejection = desk.ask(request, &any_key()).expect_err(code);
    assert_eq!(rejection.reason().code(), code);
}

/// The request as inner layers see it.
fn concealed(desk: &Desk, request: &Request) -> Request {
    let mut inner = request.clone();
    let presented = desk.gate.present(request, &any_key()).unwrap();
    desk.gate.conceal(&mut inner, Some(&presented));
    inner
}

fn uri(request: &Request) -> String {
    match &request.query {
        Some(query) => format!("{}?{query}", request.path),
        None => request.path.clone(),
    }
}

#[test]
fn bearer_is_read_in_any_case_and_after_any_number_of_spaces() {
    let (desk, key) = desk(Wire::default());
    for scheme in ["Bearer ", "bearer ", "BEARER ", "bEaReR ", "Bearer    "] {
        let value = format!("{scheme}{}", key.key.expose());
        admits(&desk, &Request::get("/").with("authorization", value));
    }
}

#[test]
fn one_key_in_two_places_is_one_credential() {
    let (desk, key) = desk(Wire::default().query("key").unwrap());
    let text = key.key.expose();
    admits(&desk, &Request::get("/").with("x-api-key", text));
    admits(&desk, &Request::bearer(text).with("x-api-key", text));
    let everywhere = Request::get(&format!("/?key={text}"))
        .with("authorization", format!("Bearer {text}"))
        .with("x-api-key", text);
    admits(&desk, &everywhere);
    let inner = concealed(&desk, &everywhere);
    assert_eq!(inner.sensitive, ["authorization", "x-api-key"]);
    assert_eq!(uri(&inner), "/");
}

#[test]
fn only_the_places_that_were_chosen_count() {
    let wire = Wire::without_places().header("X-Orders-Key").unwrap();
    let (desk, key) = desk(wire);
    let text = key.key.expose();
    admits(&desk, &Request::get("/").with("x-orders-key", text));
    refuses(&desk, &Request::bearer(text), "missing_key");
    refuses(&desk, &Request::get("/").with("x-api-key", text), "missing_key");
}

#[test]
fn the_api_key_scheme_is_taken_and_named_in_the_challenge() {
    let (desk, key) = desk(Wire::without_places().api_key_scheme());
    let text = key.key.expose();
    for scheme in ["ApiKey", "apikey", "APIKEY"] {
        let value = format!("{scheme} {text}");
        admits(&desk, &Request::get("/").with("authorization", value));
    }
    refuses(&desk, &Request::bearer(text), "missing_key");
    let rejection = desk.ask(&Request::get("/"), &any_key()).unwrap_err();
    let reply = rejection.reply();
    let text = field(&reply.headers, "www-authenticate").unwrap();
    assert_eq!(challenge(text), ("ApiKey", [("realm", "api")].into()));
}

#[test]
fn every_scheme_that_is_taken_is_named_in_a_challenge() {
    let (desk, _) = desk(Wire::default().api_key_scheme());
    let reply = desk.ask(&Request::get("/"), &any_key()).unwrap_err().reply();
    let challenges = reply.headers.iter().filter(|(name, _)| *name == FieldName::WwwAuthenticate);
    let schemes: Vec<&str> = challenges.map(|(_, text)| challenge(text).0).collect();
    assert_eq!(schemes, ["Bearer", "ApiKey"]);
}

#[test]
fn two_schemes_in_one_header_are_ambiguous() {
    let (desk, key) = desk(Wire::default().api_key_scheme());
    let text = key.key.expose();
    let both = Request::bearer(text).with("authorization", format!("ApiKey {text}"));
    refuses(&desk, &both, "ambiguous_credential");
}

#[test]
fn the_realm_is_quoted_and_cannot_break_out() {
    let (desk, _) = desk(Wire::default().realm("Orders, 'API' = x").unwrap());
    let reply = desk.ask(&Request::get("/"), &any_key()).unwrap_err().reply();
    let text = field(&reply.headers, "www-authenticate").unwrap();
    assert_eq!(text, "Bearer realm=\"Orders, 'API' = x\"");
    for hostile in ["a\"b", "a\\b", "a\r\nset-cookie: x", "a\tb", "é", "\0", "\x7f"] {
        assert!(Wire::default().realm(hostile).is_err(), "{hostile:?}");
    }
}

#[test]
fn names_that_http_does_not_allow_are_refused() {
    let taken =
        ["Authorization", "authorization", "Origin", "Content-Type", "Sec-WebSocket-Protocol"];
    for hostile in ["", "a b", "a:b", "a\r\n", "é"].into_iter().chain(taken) {
        assert!(Wire::default().header(hostile).is_err(), "{hostile:?}");
    }
    for hostile in ["", "a b", "a=b", "a&b", "a%5Fb", "é"] {
        assert!(Wire::default().query(hostile).is_err(), "{hostile:?}");
    }
}

#[test]
fn a_query_key_is_removed_and_everything_else_is_left_in_order() {
    let (desk, key) = desk(Wire::default().query("key").unwrap());
    let text = key.key.expose();
    let cases = [
        ("/a?key=$", "/a"),
        ("/a?key=$&b=1", "/a?b=1"),
        ("/a?b=1&key=$", "/a?b=1"),
        ("/a?b=1&key=$&c=2&b=3", "/a?b=1&c=2&b=3"),
        ("/a?b=%20x%26key%3D1&key=$&c", "/a?b=%20x%26key%3D1&c"),
        ("/a?keys=1&key=$&xkey=2&KEY=3", "/a?keys=1&xkey=2&KEY=3"),
        ("/a?b==&&key=$&=&c=", "/a?b==&&=&c="),
        ("/a?key&key=$", "/a?key"),
        ("//a/%2e%2e/?key=$&x=/?y", "//a/%2e%2e/?x=/?y"),
    ];
    for (before, after) in cases {
        let request = Request::get(&before.replace('$', text));
        admits(&desk, &request);
        assert_eq!(uri(&concealed(&desk, &request)), after, "{before}");
    }
}

#[test]
fn a_bad_query_key_is_refused_like_any_other() {
    let (desk, key) = desk(Wire::default().query("key").unwrap());
    let text = key.key.expose();
    let one = |query: String| Request::get(&format!("/?{query}"));
    refuses(&desk, &one("key=".to_owned()), "malformed_key");
    refuses(&desk, &one(format!("key={text}0")), "malformed_key");
    refuses(&desk, &one(format!("key={}", text.replace('_', "%5F"))), "malformed_key");
    refuses(&desk, &one("key".to_owned()), "missing_key");
    refuses(&desk, &one(format!("KEY={text}")), "missing_key");
    refuses(&desk, &one(format!("k%65y={text}")), "missing_key");
    refuses(&desk, &one(format!("key={text}&key={text}")), "ambiguous_credential");
    refuses(&desk, &one(format!("key={text}&key=")), "ambiguous_credential");
    let other = desk.issue(NewKey::new("acme", "free"));
    let two = one(format!("key={text}")).with("x-api-key", other.key.expose());
    refuses(&desk, &two, "ambiguous_credential");
}

#[test]
fn a_header_key_is_marked_sensitive_or_stripped() {
    let (marking, key) = desk(Wire::default());
    let request = Request::bearer(key.key.expose()).with("x-trace", "1");
    let inner = concealed(&marking, &request);
    assert_eq!(inner.sensitive, ["authorization"]);
    assert_eq!(inner.headers, request.headers);

    let (stripping, key) = desk(Wire::default().strip_credential());
    for header in ["authorization", "x-api-key"] {
        let scheme = if header == "authorization" { "Bearer " } else { "" };
        let request = Request::get("/")
            .with("x-trace", "1")
            .with(header, format!("{scheme}{}", key.key.expose()));
        let inner = concealed(&stripping, &request);
        assert_eq!(inner.headers, [("x-trace".to_owned(), b"1".to_vec())]);
        assert!(inner.sensitive.is_empty());
    }
}

#[test]
fn a_credential_of_somebody_else_is_left_alone() {
    let (desk, key) = desk(Wire::default().strip_credential());
    let request = Request::get("/?key=x")
        .with("authorization", "Basic QQ==")
        .with("x-api-key", key.key.expose());
    let inner = concealed(&desk, &request);
    let basic = [("authorization".to_owned(), b"Basic QQ==".to_vec())];
    assert_eq!(inner.headers, basic);
    assert_eq!(uri(&inner), "/?key=x");
}

#[test]
fn a_public_path_that_no_request_has_is_refused() {
    for path in ["", "healthz", "/healthz?verbose=1", "/healthz#top"] {
        let plans = Plans::from_toml("[plans.free]").unwrap();
        let built = Gate::builder(plans).public_path("/").public_path(path).build();
        assert_eq!(built.unwrap_err(), GateError::PublicPath { given: path.to_owned() });
    }
}

#[test]
fn a_public_path_is_public_to_the_letter() {
    let desk = Desk::new("[plans.free]", |gate| gate.public_path("/healthz"));
    let open = |path: &str| desk.gate.present(&Request::get(path), &any_key()).is_none();
    assert!(open("/healthz"));
    assert!(open("/healthz?verbose=1"));
    let closed = [
        "/",
        "",
        "/healthz/",
        "/healthz/x",
        "//healthz",
        "/healthz%2f",
        "/healthz%2F",
        "/Healthz",
        "/%68ealthz",
        "/x/../healthz",
        "/./healthz",
        "/healthz;x",
        "/healthz%00",
        "/healthzz",
        "/health",
        "healthz",
        "/healthz#x",
        "/healthz/.",
        "*",
    ];
    for path in closed {
        assert!(!open(path), "{path}");
    }
    assert!(desk.metered().is_empty(), "presenting meters nothing");
}

#[test]
fn a_public_route_needs_no_key_and_no_store() {
    let desk = Desk::new("[plans.free]", |gate| gate);
    let public = Arc::new(Requirement::public());
    assert!(desk.gate.present(&Request::get("/"), &public).is_none());
    assert!(desk.gate.present(&Request::bearer("nonsense"), &public).is_none());
}

#[test]
fn a_key_shown_to_a_public_route_is_concealed_too() {
    let (desk, key) = desk(Wire::default().query("key").unwrap().strip_credential());
    let mut request = Request::get(&format!("/?a=1&key={}", key.key.expose()));
    desk.gate.conceal(&mut request, None);
    assert_eq!(uri(&request), "/?a=1");
    let mut request = Request::bearer(key.key.expose());
    desk.gate.conceal(&mut request, None);
    assert_eq!(request.headers, []);
    let mut request = Request::get("/").with("authorization", "Basic YTpi");
    desk.gate.conceal(&mut request, None);
    assert_eq!(request.headers.len(), 1, "what is none of ours stays");
    let text = key.key.expose();
    let mut request =
        Request::get("/?key=other").with("x-api-key", text).with("x-api-key", "other");
    desk.gate.conceal(&mut request, None);
    assert_eq!((uri(&request).as_str(), request.headers.len()), ("/", 0), "however many there are");
}

#[test]
fn a_preflight_passes_and_nothing_that_resembles_one() {
    let desk = Desk::new("[plans.free]", |gate| gate);
    let passes = |request: &Request| desk.gate.present(request, &any_key()).is_none();
    let mut preflight = Request::get("/orders")
        .with("origin", "https://app.example")
        .with("access-control-request-method", "DELETE");
    assert!(!passes(&preflight), "a GET is none");
    preflight.method = "options";
    assert!(!passes(&preflight), "methods are case-sensitive");
    preflight.method = "OPTIONS";
    assert!(passes(&preflight));
    for needed in ["origin", "access-control-request-method"] {
        let mut plain = preflight.clone();
        plain.headers.retain(|(name, _)| name != needed);
        assert!(!passes(&plain), "an OPTIONS without {needed} is none");
    }
}
