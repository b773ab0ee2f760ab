//! Credentials that are none, as clients and attackers send them.

// So that the lints that spare tests spare their helpers.
#![cfg(test)]
#![expect(clippy::string_slice, reason = "keys are ASCII")]

use keygate_tests::{Answer, Call, Raw, Server, checksum, unknown_key};
use serde_json::json;

fn server() -> Server {
    Server::with_plans(
        "[plans.only]\nlimits = [{ name = \"burst\", rate = \"1/h\", burst = 1000 }]\n",
    )
}

/// Asserts that a 401 tells nothing of limits, names the error and does not repeat the credential.
#[track_caller]
fn assert_unauthorized(answer: &Answer, code: &str, credential: &str) {
    answer.refused(401, code);
    let challenge = answer.field("www-authenticate").unwrap();
    let error = if code == "missing_key" { "" } else { ", error=\"invalid_token\"" };
    assert_eq!(challenge, format!("Bearer realm=\"api\"{error}"));
    assert_eq!((answer.field("ratelimit"), answer.field("retry-after")), (None, None));
    assert!(credential.len() < 8 || !answer.holds(credential), "{answer:?}");
}

/// The server goes on serving, and of all that was refused nothing was counted.
#[track_caller]
fn assert_serves(server: &Server) {
    let answer = server.client().get("/v1/echo", server.key("only"));
    assert_eq!((answer.status, answer.remaining("burst")), (200, Some(999)), "{answer:?}");
}

/// Good text with something wrong about it, each in its own way.
fn malformed(good: &str) -> Vec<String> {
    let (payload, check) = good.split_at(good.len() - 6);
    let secret = &payload["kg_test_".len()..];
    let sealed = |payload: String| format!("{payload}{}", checksum(&payload));
    let swapped: String = [&good[..10], &good[11..12], &good[10..11], &good[12..]].concat();
    let mut texts = vec![
        "x".to_owned(),
        "null".to_owned(),
        "kg_test_".to_owned(),
        secret.to_owned(),
        format!("{secret}{check}"),
        payload.to_owned(),
        good[..good.len() - 1].to_owned(),
        good[1..].to_owned(),
        format!("{good}0"),
        format!("{good}{good}"),
        format!("{good},{good}"),
        format!("{good} {good}"),
        format!("\"{good}\""),
        format!("<{good}>"),
        format!("{payload}000000"),
        good.replace("kg_test_", "kg-test-"),
        good.replace("kg_test_", "KG_TEST_"),
        good.replace("kg_test_", "kg_live_"),
        sealed(format!("kg_live_{secret}")),
        sealed(format!("sk_test_{secret}")),
        sealed(format!("kg_test_{}", &secret[..31])),
        sealed(format!("kg_test_{secret}0")),
        sealed(format!("kg_test_{}-", &secret[..31])),
        sealed(format!("kg_test_{}+", &secret[..31])),
        sealed(format!("kg_test_{}/../", &secret[..27])),
        "' OR 1=1 --".to_owned(),
        "${jndi:ldap://x}".to_owned(),
        "A".repeat(256),
        format!("{good}{}", "A".repeat(257 - good.len())),
    ];
    texts.extend(Some(swapped).filter(|text| text != good));
    // One character changed, at each place.
    texts.extend((0..good.len()).map(|at| {
        let other = if &good[at..=at] == "7" { "8" } else { "7" };
        format!("{}{other}{}", &good[..at], &good[at + 1..])
    }));
    texts
}

#[test]
fn a_malformed_key_is_refused_however_it_is_malformed() {
    let server = server();
    let mut client = server.client();
    for text in malformed(server.key("only")) {
        let bearer = client.send(Call::get("/v1/echo").key(&text));
        assert_unauthorized(&bearer, "malformed_key", &text);
        let header = client.send(Call::get("/v1/echo").header("x-api-key", &text));
        assert_unauthorized(&header, "malformed_key", &text);
    }
    assert_serves(&server);
}

#[test]
fn an_empty_credential_is_malformed_and_none_is_missing() {
    let server = server();
    let mut raw = Raw::connect(server.address());
    for (field, code) in [
        ("", "missing_key"),
        ("Authorization:\r\n", "missing_key"),
        ("Authorization: Bearer\r\n", "malformed_key"),
        ("Authorization: Bearer \t \r\n", "malformed_key"),
        ("X-API-Key:\r\n", "malformed_key"),
        ("X-API-Key: \t \r\n", "malformed_key"),
        ("Cookie: api_key=x\r\n", "missing_key"),
    ] {
        raw.write(format!("GET /v1/echo HTTP/1.1\r\nHost: test\r\n{field}\r\n"));
        assert_unauthorized(&raw.answer().unwrap(), code, "");
    }
    assert_serves(&server);
}

#[test]
fn a_key_that_nobody_issued_is_unknown() {
    let server = server();
    let mut client = server.client();
    assert_eq!(
        unknown_key("ABC"),
        "kg_test_00000000000000000000000000000ABC".to_owned() + &unknown_key("ABC")[40..]
    );
    for tail in ["", "1", "zzzzzzzz", "ThisKeyWasNeverIssuedByAnybody01"] {
        let key = unknown_key(tail);
        assert_unauthorized(&client.send(Call::get("/v1/echo").key(&key)), "unknown_key", &key);
    }
    assert_serves(&server);
}

#[test]
fn two_credentials_are_ambiguous_unless_they_are_one_in_two_places() {
    let server = server();
    let (mut client, key, other) = (server.client(), server.key("only"), unknown_key("1"));
    let bearer = format!("Bearer {key}");
    let call = || Call::get("/v1/echo");
    for call in [
        call().key(key).key(key),
        call().key(key).key(&other),
        call().header("x-api-key", key).header("x-api-key", key),
        call().header("x-api-key", key).header("x-api-key", &other),
        call().key(key).header("x-api-key", &other),
        call().key(&other).header("x-api-key", key),
        call().key(key).header("x-api-key", ""),
        call().key(key).header("x-api-key", &bearer),
        call().key(key).header("x-api-key", key).header("x-api-key", key),
    ] {
        let answer = client.send(call);
        answer.refused(400, "ambiguous_credential");
        assert_eq!(
            answer.field("www-authenticate"),
            Some("Bearer realm=\"api\", error=\"invalid_request\"")
        );
        assert!(!answer.holds(key) && !answer.holds(&other), "{answer:?}");
    }
    let answer = client.send(call().key(key).header("x-api-key", key));
    assert_eq!((answer.status, answer.remaining("burst")), (200, Some(999)));
}

#[test]
fn schemes_are_case_insensitive_and_other_schemes_are_no_credential() {
    let server = server();
    let (mut client, key) = (server.client(), server.key("only"));
    for scheme in ["bearer", "BEARER", "bEARER", "Bearer ", "Bearer   "] {
        let call = Call::get("/v1/echo").header("authorization", format!("{scheme} {key}"));
        assert_eq!(client.send(call).status, 200, "{scheme}");
    }
    let basic = "Basic dXNlcjpwYXNzd29yZA==";
    for value in [basic, key, "ApiKey x", "Digest username=x", "Bearerx y", "Bearer\tx", "Bearer:x"]
    {
        let call = Call::get("/v1/echo").header("authorization", value);
        assert_unauthorized(&client.send(call), "missing_key", value);
    }
    let beside = Call::get("/v1/echo").header("authorization", basic).header("x-api-key", key);
    assert_eq!(
        client.send(beside).status,
        200,
        "another layer's credential may stand beside a key"
    );
}

#[test]
fn a_key_in_the_query_is_refused_with_a_word_of_help() {
    let server = server();
    let (mut client, key) = (server.client(), server.key("only"));
    for query in [format!("api_key={key}"), format!("a=b&x-api-key={key}"), "api_key=".to_owned()] {
        let answer = client.send(Call::get(&format!("/v1/echo?{query}")));
        assert_unauthorized(&answer, "missing_key", key);
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains("query") && detail.contains("header"), "{detail}");
    }
    let answer = client.send(Call::get("/v1/echo?api_keys=x&q=api_key"));
    let detail = answer.refused(401, "missing_key")["detail"].clone();
    assert_eq!(detail, json!("This API needs a key, and none was sent."));
    assert_serves(&server);
}

#[test]
fn bytes_that_are_no_ascii_are_refused() {
    let server = server();
    let key = server.key("only");
    let mut raw = Raw::connect(server.address());
    for bytes in
        [&b"\xff\xfe\x80"[..], "kg_test_schlüssel".as_bytes(), &[0x80; 46], b"\xe2\x80\x8b"]
    {
        for start in ["Authorization: Bearer ", "X-API-Key: "] {
            for glued in ["", key] {
                raw.write(format!("GET /v1/echo HTTP/1.1\r\nHost: test\r\n{start}{glued}"));
                raw.write(bytes);
                raw.write("\r\n\r\n");
                assert_unauthorized(&raw.answer().unwrap(), "malformed_key", key);
            }
        }
    }
    raw.write(b"GET /v1/echo HTTP/1.1\r\nHost: test\r\nAuthorization: \xffBearer x\r\n\r\n");
    assert_unauthorized(&raw.answer().unwrap(), "missing_key", "");
    assert_serves(&server);
}

#[test]
fn a_head_that_http_forbids_ends_its_connection_only() {
    let server = server();
    let key = server.key("only");
    for field in
        ["X-API-Key: a\0b", "X-API-Key: a\x01b", "X-API-Key\r\n", " X-API-Key: a", "X API Key: a"]
    {
        let mut raw = Raw::connect(server.address());
        raw.write(format!("GET /v1/echo HTTP/1.1\r\nHost: test\r\n{field}\r\n\r\n"));
        raw.write(format!("GET /v1/echo HTTP/1.1\r\nHost: test\r\nX-API-Key: {key}\r\n\r\n"));
        assert_eq!(raw.answer().map(|it| it.status), Some(400), "{field:?}");
        assert!(raw.answer().is_none(), "{field:?}");
    }
    assert_serves(&server);
}

#[test]
fn a_huge_credential_is_refused_and_the_server_goes_on() {
    let server = server();
    for length in [257, 4_096, 100_000, 1_000_000] {
        let text = "A".repeat(length);
        for start in ["Authorization: Bearer ", "X-API-Key: "] {
            let mut raw = Raw::connect(server.address());
            raw.write(format!("GET /v1/echo HTTP/1.1\r\nHost: test\r\n{start}{text}\r\n\r\n"));
            match raw.answer() {
                Some(answer) if answer.status == 401 => {
                    assert_unauthorized(&answer, "malformed_key", &text);
                }
                // More than the HTTP library takes: it refuses, or has hung up before we were done.
                Some(answer) => assert!(length > 4_096 && answer.status == 431, "{answer:?}"),
                None => assert!(length > 400_000, "{length} bytes: hung up"),
            }
        }
    }
    assert_serves(&server);
}
