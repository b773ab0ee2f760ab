//! One connection, many requests: what one is answered never touches the next.

use std::collections::BTreeSet;

use keygate_tests::{Answer, Call, Raw, Server};

fn server() -> Server {
    Server::with_plans(
        r#"
        [plans.only]
        scopes = ["orders:write"]
        limits = [{ name = "burst", rate = "1/h", burst = 1000 }]
        "#,
    )
}

/// A whole request, with this key, if any.
fn request(line: &str, key: Option<&str>, body: &str) -> String {
    let key = key.map(|key| format!("X-API-Key: {key}\r\n")).unwrap_or_default();
    let length = body.len();
    format!("{line} HTTP/1.1\r\nHost: test\r\n{key}Content-Length: {length}\r\n\r\n{body}")
}

#[test]
fn the_body_of_a_refused_request_is_not_taken_for_the_next_request() {
    let server = server();
    let key = server.key("only");
    // Would be admitted and charged, were it read as a request.
    let smuggled = request("POST /v1/orders", Some(key), "");
    let length = smuggled.len();
    let chunked = format!(
        "POST /v1/orders HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n\
         {length:x}\r\n{smuggled}\r\n0\r\n\r\n"
    );
    for refused in [request("POST /v1/orders", None, &smuggled), chunked] {
        let mut raw = Raw::connect(server.address());
        raw.write(refused);
        raw.answer().unwrap().refused(401, "missing_key");
        raw.write(request("GET /healthz", None, ""));
        let next = raw.answer().expect("the connection is kept");
        assert_eq!((next.status, next.body.as_slice()), (200, b"ok\n".as_slice()));
        raw.finish();
        assert!(raw.answer().is_none());
    }
    let answer = server.client().get("/v1/echo", key);
    assert_eq!(answer.remaining("burst"), Some(999), "the body was not charged");
}

#[test]
fn a_refused_body_too_large_to_be_read_ends_the_connection_or_is_skipped() {
    let server = server();
    let key = server.key("only");
    let smuggled = request("POST /v1/orders", Some(key), "");
    let mut raw = Raw::connect(server.address());
    raw.write(request("POST /v1/orders", None, &smuggled.repeat(20_000)));
    raw.write(request("GET /healthz", None, ""));
    raw.finish();
    // A hang-up may overtake the answer; what counts is that no part of the body is answered.
    if let Some(answer) = raw.answer() {
        answer.refused(401, "missing_key");
    }
    if let Some(next) = raw.answer() {
        assert_eq!((next.status, next.body.as_slice()), (200, b"ok\n".as_slice()));
        assert!(raw.answer().is_none());
    }
    assert_eq!(server.client().get("/v1/echo", key).remaining("burst"), Some(999));
}

#[test]
fn a_client_that_asks_before_it_sends_a_body_is_refused_without_it() {
    let server = server();
    let mut raw = Raw::connect(server.address());
    raw.write("POST /v1/orders HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n");
    raw.answer().unwrap().refused(401, "missing_key");
}

#[test]
fn pipelined_requests_are_answered_in_order_each_by_its_own_key() {
    let server = server();
    let key = server.key("only");
    let mut raw = Raw::connect(server.address());
    let good = request("GET /v1/echo", Some(key), "");
    let typo = request("GET /v1/echo", Some("kg_test_x"), "");
    let none = request("POST /v1/orders", None, "a body");
    let order = request("POST /v1/orders", Some(key), "a body");
    let health = request("GET /healthz", None, "");
    raw.write([good.as_str(), &typo, &good, &none, &order, &health, &good].concat());
    let answers = [(); 7].map(|()| raw.answer().expect("an answer to each"));
    let seen = answers.map(|it| (it.status, it.remaining("burst")));
    let expected = [
        (200, Some(999)),
        (401, None),
        (200, Some(998)),
        (401, None),
        (200, Some(993)),
        (200, None),
        (200, Some(992)),
    ];
    assert_eq!(seen, expected);
}

#[test]
fn a_key_is_good_for_its_own_request_only() {
    let server = server();
    let mut client = server.client();
    for _ in 0..3 {
        assert_eq!(client.get("/v1/echo", server.key("only")).status, 200);
        client.send(Call::get("/v1/echo")).refused(401, "missing_key");
    }
}

#[test]
fn head_is_answered_as_get_is_without_the_body() {
    let server = server();
    let key = server.key("only");
    let mut raw = Raw::connect(server.address());
    let calls = [("/v1/echo", Some(key), 200), ("/v1/echo", None, 401), ("/healthz", None, 200)];
    for (path, key, status) in calls {
        raw.write(request(&format!("HEAD {path}"), key, ""));
        raw.write(request(&format!("GET {path}"), key, ""));
        let head = raw.answer_without_body().unwrap();
        // Any byte of a body would stand before the status line of this one.
        let get = raw.answer().unwrap();
        assert_eq!((head.status, get.status), (status, status), "{path}");
        let names =
            |it: &Answer| it.headers.keys().map(ToString::to_string).collect::<BTreeSet<_>>();
        assert_eq!(names(&head), names(&get), "{path}");
        assert_eq!(head.field("content-length"), get.field("content-length"), "{path}");
    }
    let answer = server.client().get("/v1/echo", key);
    assert_eq!(answer.remaining("burst"), Some(997), "HEAD and GET were counted alike");
}

#[test]
fn half_a_request_is_not_counted_and_harms_nobody() {
    let server = server();
    let key = server.key("only");
    for _ in 0..10 {
        let mut raw = Raw::connect(server.address());
        raw.write("POST /v1/orders HTTP/1.1\r\nHost: te");
    }
    let mut raw = Raw::connect(server.address());
    raw.write(request("POST /v1/orders", Some(key), "").trim_end());
    drop(raw);
    assert_eq!(server.client().get("/v1/echo", key).remaining("burst"), Some(999));
}
