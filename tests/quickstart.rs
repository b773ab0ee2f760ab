//! What the quickstart promises to whoever follows it.

// So that the lints that spare tests spare their helpers.
#![cfg(test)]
#![expect(clippy::string_slice, reason = "keys are ASCII")]

use std::{process::Command, thread, time::Duration};

use keygate_tests::{Answer, Call, Ended, PATIENCE, Quickstart, Raw, Server, calm_zone};
use rustix::process::Signal;
use serde_json::json;

/// Two plans, as the quickstart's own, in a zone where the day does not end during the test.
fn two_plans() -> String {
    let zone = calm_zone();
    format!(
        r#"
        [plans.free]
        scopes = ["search:*", "orders:read"]
        limits = [{{ name = "daily", quota = 1000, per = "day", zone = "{zone}" }}]
        [plans.pro]
        scopes = ["search:*", "orders:*"]
        limits = [
          {{ name = "daily", quota = 100000, per = "day", zone = "{zone}" }},
          {{ name = "search", rate = "1/h", burst = 50, operations = ["search"] }},
        ]
        "#
    )
}

#[test]
fn without_a_key_there_is_a_401_that_says_how_to_authenticate() {
    let server = Quickstart::new().start();
    let answer = server.client().send(Call::get("/v1/echo"));
    let problem = answer.refused(401, "missing_key");
    assert_eq!(answer.field("www-authenticate"), Some("Bearer realm=\"api\""));
    assert_eq!(
        (&problem["type"], &problem["title"]),
        (&json!("about:blank"), &json!("Unauthorized"))
    );
    assert_eq!((answer.field("ratelimit"), answer.field("ratelimit-policy")), (None, None));
}

#[test]
fn a_good_key_is_told_who_it_is_and_what_remains() {
    let server = Quickstart::new().start();
    assert_eq!(server.keys().keys().collect::<Vec<_>>(), ["free", "pro"]);
    let mut key_ids = Vec::new();
    for (plan, key) in server.keys() {
        let answer = server.client().get("/v1/echo", key);
        assert_eq!(answer.status, 200, "{answer:?}");
        for limit in ["burst", "daily", "monthly"] {
            assert!(answer.remaining(limit).is_some(), "{answer:?}");
            assert!(answer.field("ratelimit-policy").unwrap().contains(limit), "{answer:?}");
        }
        let told = answer.json();
        assert_eq!(
            (&told["consumer"], &told["plan"]),
            (&json!(format!("demo-{plan}")), &json!(plan))
        );
        key_ids.push(told["key_id"].as_str().unwrap().to_owned());
        assert_eq!(told.as_object().unwrap().len(), 3, "{told}");
        assert!(key_ids.iter().all(|id| !id.is_empty() && !key.contains(id)), "{key_ids:?}");
    }
    assert_ne!(key_ids[0], key_ids[1]);
}

#[test]
fn a_key_without_the_scope_is_told_which_one_it_lacks_and_pays_nothing() {
    let server = Server::with_plans(two_plans());
    let (mut client, key) = (server.client(), server.key("free"));
    assert_eq!(client.get("/v1/echo", key).remaining("daily"), Some(999));
    let answer = client.send(Call::post("/v1/orders").key(key));
    answer.refused(403, "insufficient_scope");
    assert_eq!(
        answer.field("www-authenticate"),
        Some("Bearer realm=\"api\", error=\"insufficient_scope\", scope=\"orders:write\"")
    );
    assert_eq!(client.get("/v1/echo", key).remaining("daily"), Some(998));
}

#[test]
fn after_a_burst_of_20_the_21st_call_waits_and_then_is_served() {
    let server = Quickstart::new().start();
    let (mut client, key) = (server.client(), server.key("free"));
    for call in 1..=20 {
        assert_eq!(client.get("/v1/echo", key).status, 200, "call {call}");
    }
    let answer = client.get("/v1/echo", key);
    let problem = answer.refused(429, "rate_limited");
    assert_eq!(problem["violated-policies"], json!(["burst"]));
    assert_eq!(problem["type"], "https://iana.org/assignments/http-problem-types#quota-exceeded");
    // Twenty a minute: the next one is due within three seconds.
    let seconds = answer.retry_after();
    assert!((1..=3).contains(&seconds), "{answer:?}");
    assert_eq!(answer.remaining("burst"), Some(0));
    assert_eq!(client.get("/v1/echo", server.key("pro")).status, 200, "another key goes on");

    thread::sleep(Duration::from_secs(seconds));
    assert_eq!(client.get("/v1/echo", key).status, 200);
}

#[test]
fn public_is_public_whatever_key_is_shown() {
    let server = Server::with_plans(two_plans());
    let (mut client, key) = (server.client(), server.key("free"));
    let health = || Call::get("/healthz");
    for call in
        [health(), health().key("nonsense"), health().key(key), Call::get("/healthz?api_key=k")]
    {
        let answer = client.send(call);
        assert_eq!((answer.status, answer.body.as_slice()), (200, b"ok\n".as_slice()));
        assert_eq!(answer.field("ratelimit"), None, "{answer:?}");
    }
    assert_eq!(client.get("/v1/echo", key).remaining("daily"), Some(999), "nothing was counted");
}

#[test]
fn what_is_like_the_public_path_is_not_public() {
    let server = Server::with_plans(two_plans());
    let mut raw = Raw::connect(server.address());
    for path in [
        "/healthz/",
        "//healthz",
        "/healthz/../v1/echo",
        "/%68ealthz",
        "/v1/echo?/healthz",
        "/HEALTHZ",
    ] {
        raw.write(format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n"));
        let answer = raw.answer().unwrap();
        assert!([401, 404].contains(&answer.status), "{path}: {answer:?}");
    }
}

#[test]
fn an_order_weighs_five() {
    let server = Server::with_plans(two_plans());
    let (mut client, key) = (server.client(), server.key("pro"));
    assert_eq!(client.get("/v1/echo", key).remaining("daily"), Some(99_999));
    let answer = client.send(Call::post("/v1/orders").key(key));
    assert_eq!((answer.status, answer.remaining("daily")), (200, Some(99_994)));
    assert_eq!(answer.json(), json!({ "consumer": "demo-pro", "status": "accepted" }));
    assert_eq!(client.get("/v1/echo", key).remaining("daily"), Some(99_993));
}

#[test]
fn the_limit_of_an_operation_counts_that_operation_only() {
    let server = Server::with_plans(two_plans());
    let (mut client, key) = (server.client(), server.key("pro"));
    for _ in 0..3 {
        assert_eq!(client.get("/v1/echo", key).remaining("search"), None);
    }
    let answer = client.get("/v1/search?q=rust", key);
    assert_eq!(answer.json(), json!({ "query": "rust", "results": [] }));
    assert_eq!((answer.remaining("search"), answer.remaining("daily")), (Some(49), Some(99_996)));
    assert_eq!(client.send(Call::post("/v1/orders").key(key)).remaining("search"), None);
    for left in (0..49).rev() {
        assert_eq!(client.get("/v1/search", key).remaining("search"), Some(left));
    }
    let answer = client.get("/v1/search", key);
    assert_eq!(answer.refused(429, "rate_limited")["violated-policies"], json!(["search"]));
    assert_eq!(
        answer.remaining("daily"),
        Some(99_942),
        "what one limit refused cost the other nothing"
    );
    assert_eq!(client.get("/v1/echo", key).status, 200, "other operations go on");
}

#[test]
fn the_first_line_for_programs_has_one_form() {
    let server = Quickstart::new().start();
    let (free, pro) = (server.key("free"), server.key("pro"));
    let address = server.address();
    let expected =
        format!(r#"{{"listening":"{address}","keys":{{"free":"{free}","pro":"{pro}"}}}}"#);
    assert_eq!(server.line(), expected);
    for key in [free, pro] {
        let (payload, check) = key.split_at(40);
        assert!(payload.starts_with("kg_test_"), "{key}");
        assert_eq!(keygate_tests::checksum(payload), check, "{key}");
    }
    assert_ne!(free, pro);
}

/// Everything the quickstart can answer, and keys shown in every right and wrong way.
fn all_sorts_of_calls(server: &Server) -> Vec<Answer> {
    let mut client = server.client();
    let mut answers = Vec::new();
    for key in server.keys().values() {
        let typo = format!("{}x", &key[..key.len() - 1]);
        answers.extend(
            [
                Call::get("/v1/echo").key(key),
                Call::get("/v1/search?q=rust").header("x-api-key", key),
                Call::post("/v1/orders").key(key).body("an order"),
                Call::get("/nowhere").key(key),
                Call::new("DELETE", "/v1/orders").key(key),
                Call::get("/healthz").key(key),
                Call::get("/v1/echo").key(&typo),
                Call::get("/v1/echo").key(key).header("x-api-key", &typo),
                Call::get("/v1/echo").header("x-api-key", key).header("x-api-key", key),
                Call::get("/v1/echo").header("authorization", key),
                Call::get("/v1/echo").header("authorization", format!("Basic {key}")),
                Call::get(&format!("/v1/echo?api_key={key}")),
            ]
            .map(|call| client.send(call)),
        );
        answers.extend((0..20).map(|_| client.get("/v1/echo", key)));
    }
    answers
}

#[track_caller]
fn assert_no_key_in(text: &str, server: &Server) {
    for key in server.keys().values() {
        let secret = &key["kg_test_".len()..];
        assert!(
            !text.contains(secret) && !text.contains(&secret[..32]),
            "a key stands in:\n{text}"
        );
    }
}

#[test]
fn keys_are_shown_once_and_never_again() {
    for level in ["warn", "trace"] {
        let mut server = Quickstart::new().env("RUST_LOG", level).start();
        let answers = all_sorts_of_calls(&server);
        for status in [200, 400, 401, 403, 404, 405, 429] {
            assert!(answers.iter().any(|it| it.status == status), "no {status} was seen");
        }
        for answer in &answers {
            assert!(server.keys().values().all(|key| !answer.holds(key)), "{answer:?}");
        }
        let Ended { stdout, stderr, .. } = server.stop();
        assert_eq!(stdout, format!("{}\n", server.line()));
        assert_no_key_in(&stderr, &server);
    }
}

/// What the quickstart tells people: its keys and the lines to try.
fn told_to_people() -> (Vec<String>, Vec<String>, impl Sized) {
    let (mut process, folder) = Quickstart::new().spawn();
    assert!(process.line().starts_with("listening on http://127.0.0.1:"));
    assert_eq!(
        (process.line(), process.line()),
        (String::new(), "One key a plan, shown this once:".to_owned())
    );
    let mut keys = Vec::new();
    loop {
        let line = process.line();
        if line.is_empty() {
            break;
        }
        let mut words = line.split_whitespace().map(str::to_owned);
        assert_eq!(words.next().as_deref(), ["free", "pro"].get(keys.len()).copied(), "{line}");
        keys.push(words.next().unwrap());
    }
    assert_eq!(process.line(), "Try:");
    let lines = (0..=3 * keys.len()).map(|_| process.line()).collect();
    (keys, lines, (process, folder))
}

#[test]
fn people_are_told_one_key_a_plan_and_lines_that_work() {
    let (keys, lines, _running) = told_to_people();
    assert_eq!(keys.len(), 2);
    let expected = [401, 200, 200, 403, 200, 200, 200];
    assert_eq!(lines.len(), expected.len());
    for (line, status) in lines.iter().zip(expected) {
        assert!(line.starts_with("  curl "), "{line}");
        let output = Command::new("sh")
            .args(["-c", line])
            .env("NO_PROXY", "*")
            .env("CURL_HOME", "/nonexistent")
            .output()
            .unwrap();
        let told = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{line}: {output:?}", output = output.status);
        assert!(told.starts_with(&format!("HTTP/1.1 {status} ")), "{line}\n{told}");
        assert!(keys.iter().all(|key| !told.contains(key)), "{line}\n{told}");
    }
}

#[test]
fn asked_to_stop_it_ends_cleanly_though_a_connection_is_open() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut server = Quickstart::new().start();
        let (mut idle, key) = (server.client(), server.key("pro").to_owned());
        assert_eq!(idle.get("/v1/echo", &key).status, 200);
        let begun = keygate_tests::now();
        let ended = server.end_by(signal);
        assert_eq!(ended.status.code(), Some(0), "{signal:?}: {ended:?}");
        assert_eq!(ended.stderr, "", "{signal:?}");
        assert!(keygate_tests::now().duration_since(begun) < PATIENCE / 3, "{signal:?}");
    }
}

#[test]
fn asked_to_stop_at_once_it_ends_cleanly() {
    for signal in [Signal::TERM, Signal::INT].into_iter().cycle().take(20) {
        let ended = Quickstart::new().start().end_by(signal);
        assert_eq!(ended.status.code(), Some(0), "{signal:?}: {ended:?}");
    }
}

#[test]
fn a_preflight_needs_no_key_and_scripts_may_read_the_fields() {
    let server = Quickstart::new().start();
    let (mut client, origin) = (server.client(), "https://app.example");
    let preflight = Call::new("OPTIONS", "/v1/echo")
        .header("origin", origin)
        .header("access-control-request-method", "GET");
    assert_eq!(client.send(preflight).status, 405, "it reached the service, which knows no CORS");
    client.send(Call::new("OPTIONS", "/v1/echo")).refused(401, "missing_key");
    let answer =
        client.send(Call::get("/v1/echo").key(server.key("free")).header("origin", origin));
    let exposed = answer.field("access-control-expose-headers").unwrap();
    for name in ["RateLimit-Policy", "RateLimit", "Retry-After"] {
        assert!(exposed.split(", ").any(|it| it == name), "{exposed}");
    }
}
