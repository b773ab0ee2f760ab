//! Every way a credential can be bad.

use std::{sync::Arc, time::Duration};

use keygate::{
    clock::Timestamp,
    key::KeyFormat,
    keyring::{Issued, NewKey},
    usage::Outcome,
    verdict::Rejection,
};
use proptest::prelude::*;

use crate::{
    rigged::RiggedKeys,
    support::{Desk, Request, any_key, challenge, field, noon},
};

const PLANS: &str = r#"
    [plans.free]
    limits = [{ name = "burst", rate = "10/s" }]
"#;

struct Bench {
    desk: Desk,
    keys: Arc<RiggedKeys>,
}

impl Bench {
    fn new() -> Self {
        let keys = Arc::new(RiggedKeys::default());
        let desk = Desk::new(PLANS, |gate| gate.keys(keys.clone()));
        Self { desk, keys }
    }

    fn issue(&self) -> Issued {
        self.desk.issue(NewKey::new("acme", "free"))
    }

    #[track_caller]
    fn refuses(&self, request: &Request, status: u16, code: &str, error: Option<&str>) {
        let presented = self.desk.gate.present(request, &any_key()).unwrap();
        assert_keeps(&format!("{presented:?}"), request);
        let rejection = self.desk.ask(request, &any_key()).expect_err(code);
        assert_eq!(rejection.reason().code(), code);
        assert_refusal(&rejection, request, status, error);
        let metered = self.desk.metered();
        let outcomes: Vec<_> = metered.iter().map(|event| event.outcome).collect();
        assert_eq!(outcomes, [Outcome::Denied(rejection.reason())]);
        assert_eq!(metered[0].cost, 0);
    }

    /// Refused before any store was asked.
    #[track_caller]
    fn refuses_offline(&self, request: &Request, status: u16, code: &str, error: Option<&str>) {
        self.refuses(request, status, code, error);
        assert_eq!(self.keys.finds(), 0, "{code}");
    }

    /// The same text as a bearer token and as a header of its own.
    #[track_caller]
    fn malformed(&self, text: impl AsRef<[u8]>) {
        let bearer = [b"Bearer ", text.as_ref()].concat();
        let requests = [
            Request::get("/").with("authorization", bearer),
            Request::get("/").with("x-api-key", text),
        ];
        for request in requests {
            self.refuses_offline(&request, 401, "malformed_key", Some("invalid_token"));
        }
    }
}

#[track_caller]
fn assert_refusal(rejection: &Rejection, request: &Request, status: u16, error: Option<&str>) {
    let reply = rejection.reply();
    assert_eq!(reply.status, status);
    let names: Vec<_> = reply.headers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["content-type", "www-authenticate"]);
    assert_eq!(&*reply.headers[0].1, "application/problem+json");

    let (scheme, parameters) = challenge(&reply.headers[1].1);
    assert_eq!(scheme, "Bearer");
    let expected = [("realm", "api")].into_iter().chain(error.map(|error| ("error", error)));
    assert_eq!(parameters, expected.collect());

    let title = ["Bad Request", "Unauthorized"][usize::from(status == 401)];
    assert_problem(rejection, title);
    assert_keeps(&format!("{reply:?} {rejection:?}"), request);
}

/// The members of RFC 9457 and our `code`, and no other.
#[track_caller]
fn assert_problem(rejection: &Rejection, title: &str) {
    let reply = rejection.reply();
    let problem: serde_json::Value = serde_json::from_str(&reply.body).unwrap();
    let detail = problem["detail"].as_str().unwrap();
    assert!(!detail.is_empty());
    let expected = serde_json::json!({
        "type": "about:blank",
        "title": title,
        "status": reply.status,
        "detail": detail,
        "code": rejection.reason().code(),
    });
    assert_eq!(problem, expected);
}

/// `shown` holds nothing that the request gave away as a credential.
#[track_caller]
fn assert_keeps(shown: &str, request: &Request) {
    let texts = request.headers.iter().map(|(_, value)| value);
    for text in texts.filter_map(|value| str::from_utf8(value).ok()) {
        let words = text.split_ascii_whitespace();
        for secret in words.filter(|word| word.len() > 20) {
            assert!(!shown.contains(secret), "leaked in {shown:.200}");
        }
    }
}

fn request_of(key: &Issued) -> Request {
    Request::bearer(key.key.expose())
}

fn with_twentieth(key: &str, other: char) -> String {
    let characters = key.chars().enumerate();
    characters.map(|(at, character)| if at == 20 { other } else { character }).collect()
}

#[test]
fn no_credential_is_missing_and_gets_no_error_code() {
    let bench = Bench::new();
    let key = bench.issue();
    let text = key.key.expose();
    let missing = [
        Request::get("/"),
        Request::get("/").with("authorization", ""),
        Request::get("/").with("authorization", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
        Request::get("/").with("authorization", format!("Basic {text}")),
        Request::get("/").with("authorization", "Digest username=\"Mufasa\""),
        Request::get("/").with("authorization", "Negotiate YII="),
        Request::get("/").with("authorization", format!("ApiKey {text}")),
        Request::get("/").with("authorization", format!("Bearer{text}")),
        Request::get("/").with("authorization", format!("Bearer:{text}")),
        Request::get("/").with("authorization", format!("Bearer\t{text}")),
        Request::get("/").with("authorization", format!(" Bearer {text}")),
        Request::get("/").with("authorization", text),
        Request::get("/").with("proxy-authorization", format!("Bearer {text}")),
        Request::get("/").with("x-other-key", text),
        Request::get("/").with("cookie", format!("x-api-key={text}")),
    ];
    for request in missing {
        bench.refuses_offline(&request, 401, "missing_key", None);
    }
}

#[test]
fn a_key_in_the_query_is_missing_with_a_helpful_detail_while_queries_are_off() {
    let bench = Bench::new();
    let key = bench.issue();
    for name in ["api_key", "x-api-key"] {
        let uri = format!("/orders?a=1&{name}={}", key.key.expose());
        let request = Request::get(&uri);
        let rejection = bench.desk.ask(&request, &any_key()).unwrap_err();
        assert_eq!(rejection.reason().code(), "missing_key");
        let reply = rejection.reply();
        assert!(reply.body.contains("in the query is not accepted"));
        assert!(!format!("{reply:?} {rejection:?}").contains(key.key.expose()));
        assert_refusal(&rejection, &request, 401, None);
    }
    let other = bench.desk.ask(&Request::get("/?q=api_key"), &any_key());
    assert!(!other.unwrap_err().reply().body.contains("in the query"));
    assert_eq!(bench.keys.finds(), 0);
}

#[test]
fn a_malformed_key_is_refused_before_any_store() {
    let bench = Bench::new();
    let issued = bench.issue();
    let key = issued.key.expose();
    let cut = key.strip_suffix(|_: char| true).unwrap();
    let beheaded = key.strip_prefix('k').unwrap();
    let other_case = key.to_ascii_uppercase();
    let twentieth = key.chars().nth(20).unwrap();
    let mistyped = with_twentieth(key, if twentieth == '0' { '1' } else { '0' });
    let foreign = with_twentieth(key, '-');
    let of_test = KeyFormat::new("kg", "test").unwrap().mint().unwrap();
    let of_another = KeyFormat::new("sk", "live").unwrap().mint().unwrap();
    let texts = [
        "",
        " ",
        "k",
        "kg_live_",
        "Bearer",
        cut,
        beheaded,
        &format!("{key}0"),
        &format!("{key}, {key}"),
        &format!("{key} {key}"),
        &format!("\"{key}\""),
        &format!("{key}\0"),
        &format!("{key} "),
        &format!("{key}\r\nx: y"),
        &key.replace('_', "%5F"),
        &other_case,
        &mistyped,
        &foreign,
        &key.replace("live", "test"),
        of_test.expose(),
        of_another.expose(),
        issued.record.hint.as_str(),
        &issued.record.digest.to_string(),
        &issued.record.id.to_string(),
        &"x".repeat(256),
        &"x".repeat(257),
        &format!("kg_live_{}", "0".repeat(249)),
    ];
    for text in texts {
        bench.malformed(text);
    }
    bench.malformed(b"kg_live_\xff\xfe\x80");
    bench.malformed(with_twentieth(key, 'é'));
}

#[test]
fn ten_megabytes_are_refused_like_ten_bytes() {
    let bench = Bench::new();
    let huge = 10 * 1024 * 1024;
    bench.malformed(vec![b'0'; huge]);
    bench.malformed(vec![b' '; huge]);
    bench.malformed([b"kg_live_".as_slice(), &vec![b'a'; huge]].concat());
}

#[test]
fn more_than_one_credential_is_ambiguous() {
    let bench = Bench::new();
    let (one, two) = (bench.issue(), bench.issue());
    let (one, two) = (one.key.expose(), two.key.expose());
    let bearer = format!("Bearer {one}");
    let ambiguous = [
        Request::bearer(one).with("authorization", &bearer),
        Request::bearer(one).with("authorization", format!("Bearer {two}")),
        Request::bearer(one).with("authorization", "Bearer"),
        Request::bearer(one).with("authorization", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
        Request::get("/")
            .with("authorization", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==")
            .with("authorization", &bearer),
        Request::get("/").with("x-api-key", one).with("x-api-key", one),
        Request::get("/").with("x-api-key", one).with("x-api-key", two),
        Request::bearer(one).with("x-api-key", two),
        Request::bearer(one).with("x-api-key", ""),
        Request::bearer("nonsense").with("x-api-key", two),
        Request::bearer(one).with("x-api-key", one.to_ascii_lowercase()),
    ];
    for request in ambiguous {
        bench.refuses_offline(&request, 400, "ambiguous_credential", Some("invalid_request"));
    }
}

#[test]
fn two_authorizations_of_other_schemes_are_none_of_our_business() {
    let bench = Bench::new();
    let key = bench.issue();
    let request =
        Request::get("/").with("authorization", "Basic QQ==").with("authorization", "Digest a=b");
    bench.refuses_offline(&request, 401, "missing_key", None);
    let beside = request.with("x-api-key", key.key.expose());
    assert!(bench.desk.ask(&beside, &any_key()).is_ok());
}

#[test]
fn a_key_that_was_never_issued_is_unknown() {
    let bench = Bench::new();
    let stray = KeyFormat::default().mint().unwrap();
    let request = Request::bearer(stray.expose());
    bench.refuses(&request, 401, "unknown_key", Some("invalid_token"));
}

#[test]
fn a_disabled_key_is_told_so_until_it_is_enabled() {
    let bench = Bench::new();
    let key = bench.issue();
    let keyring = bench.desk.gate.keyring();
    pollster::block_on(keyring.disable(key.record.id)).unwrap();
    let request = request_of(&key);
    bench.refuses(&request, 401, "disabled_key", Some("invalid_token"));
    pollster::block_on(keyring.enable(key.record.id)).unwrap();
    assert!(bench.desk.ask(&request, &any_key()).is_ok());
}

#[test]
fn a_revoked_key_is_told_so_even_when_it_has_expired_too() {
    let bench = Bench::new();
    let ends = noon() + Duration::from_secs(1);
    let key = bench.desk.issue(NewKey::new("acme", "free").expires(ends));
    pollster::block_on(bench.desk.gate.keyring().revoke(key.record.id)).unwrap();
    bench.desk.clock.advance(Duration::from_secs(5));
    let request = request_of(&key);
    bench.refuses(&request, 401, "revoked_key", Some("invalid_token"));
}

#[test]
fn a_key_expires_to_the_microsecond() {
    let bench = Bench::new();
    let ends = noon() + Duration::from_micros(1_000_001);
    let key = bench.desk.issue(NewKey::new("acme", "free").expires(ends));
    let request = request_of(&key);
    bench.desk.clock.set(Timestamp::from_micros(Timestamp::from(ends).micros() - 1));
    assert!(bench.desk.ask(&request, &any_key()).is_ok());
    bench.desk.metered();
    for late in [0, 1, 1_000_000_000] {
        bench.desk.clock.set(Timestamp::from_micros(Timestamp::from(ends).micros() + late));
        bench.refuses(&request, 401, "expired_key", Some("invalid_token"));
    }
}

#[test]
fn a_key_becomes_valid_to_the_microsecond() {
    let bench = Bench::new();
    let starts = noon() + Duration::from_secs(60);
    let key = bench.desk.issue(NewKey::new("acme", "free").not_before(starts));
    let request = request_of(&key);
    bench.refuses(&request, 401, "key_not_yet_valid", Some("invalid_token"));
    bench.desk.clock.advance(Duration::from_micros(59_999_999));
    bench.refuses(&request, 401, "key_not_yet_valid", Some("invalid_token"));
    bench.desk.clock.advance(Duration::from_micros(1));
    assert!(bench.desk.ask(&request, &any_key()).is_ok());
}

#[test]
fn an_expired_key_says_401_whatever_the_route_demands() {
    let bench = Bench::new();
    let key =
        bench.desk.issue(NewKey::new("acme", "free").expires(noon() + Duration::from_secs(1)));
    bench.desk.clock.advance(Duration::from_secs(1));
    let demanding = keygate::requirement::Requirement::default().require("orders:write");
    let rejection = bench.desk.ask(&request_of(&key), &Arc::new(demanding.unwrap()));
    let reply = rejection.unwrap_err().reply();
    assert_eq!(reply.status, 401);
    assert_eq!(field(&reply.headers, "ratelimit"), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_bytes_whatever_reach_the_store_or_the_reply(
        value in proptest::collection::vec(any::<u8>(), 0..300),
        scheme in "(?i)(Bearer|ApiKey|Basic)?[ ]{0,3}(kg_live_)?",
        query in "([a-z_]{0,8}=?[%&=]{0,2}){0,4}(api_key=)?[A-Za-z_]{0,50}",
    ) {
        let bench = Bench::new();
        let authorization = [scheme.as_bytes(), &value].concat();
        let request = Request::get(&format!("/?{query}"))
            .with("authorization", authorization)
            .with("x-api-key", &value);
        let rejection = bench.desk.ask(&request, &any_key()).unwrap_err();
        let reply = rejection.reply();
        prop_assert!(reply.status == 400 || reply.status == 401);
        prop_assert_eq!(bench.keys.finds(), 0);
        for (name, text) in &reply.headers {
            prop_assert!(text.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{name:?}");
        }
    }
}
