//! What a browser lets scripts of another origin do with a protected API: the page of `websocket`, loaded
//! from elsewhere in Chromium.

// So that the lints that spare tests spare their helpers.
#![cfg(test)]

use keygate_tests::{Browser, Call, Page, Server};
use serde_json::{Value, json};

/// The page that the API brings, and a script that drives it. It is served from another origin, so that
/// it is told where the API is.
#[track_caller]
fn driven_page(server: &Server) -> String {
    let answer = server.client().send(Call::get("/"));
    let page = String::from_utf8(answer.body).unwrap();
    let (api, key) = (format!("http://{}", server.address()), server.key("free"));
    let told = page.replace("location.origin", &format!("{api:?}"));
    assert_ne!(told, page, "the page asks its own origin");
    let driver = include_str!("browser/driver.js");
    format!(
        "{told}\n<script type=\"module\">\nconst API = {api:?}, KEY = {key:?};\n{driver}</script>\n"
    )
}

#[track_caller]
fn assert_refused(answer: &Value, status: u16, code: &str) {
    assert_eq!(answer["status"], status, "{answer}");
    let problem: Value = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
    assert_eq!(problem["code"], code, "{problem}");
}

#[test]
fn scripts_of_another_origin_read_their_limits_and_connect_with_a_key() {
    let server = Server::websocket();
    let page = Page::serve(driven_page(&server));
    let _browser = Browser::open(&page.url());
    let found = page.findings();
    println!("{found:#}");
    assert_eq!(found["error"], json!(null));
    assert_eq!(found["origin"], page.url().trim_end_matches('/'));

    assert_refused(&found["missing"], 401, "missing_key");
    let admitted = &found["admitted"];
    assert_eq!((&admitted["status"], &admitted["body"]), (&json!(200), &json!("pong")));
    let field = |answer: &Value, name: &str| answer["fields"][name].as_str().map(str::to_owned);
    let policy = field(admitted, "ratelimit-policy").expect("readable");
    assert!(policy.starts_with("\"messages\";q=5;w=5"), "{policy}");
    let left = field(admitted, "ratelimit").expect("readable");
    assert!(left.starts_with("\"messages\";r=4;t=1"), "{left}");
    assert_eq!(field(admitted, "date"), None, "what is not exposed is not readable");

    assert_eq!(found["protocol"], "echo.v1");
    let refused = &found["refused"];
    assert_refused(refused, 429, "rate_limited");
    assert_eq!(field(refused, "retry-after").as_deref(), Some("1"));

    let log = found["log"].as_str().unwrap();
    for line in [
        "closed: 1006 \n",
        "connected\n",
        "< hello\n",
        "closed: 1013 rate_limited; retry-after=1\n",
    ] {
        assert!(log.contains(line), "lacks {line:?}: {log}");
    }
    let ping = log.lines().last().unwrap();
    assert!(ping.contains("(RateLimit: \"messages\";r="), "{ping}");
}
