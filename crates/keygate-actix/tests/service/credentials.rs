//! What of the key is left for inner middleware and handlers to see.

use actix_web::{
    App, HttpRequest,
    http::header::HeaderValue,
    test::{TestRequest, init_service},
    web,
};
use keygate::wire::Wire;

use crate::{
    send::{send, status},
    support::Door,
};

async fn seen(request: HttpRequest) -> String {
    let names = ["authorization", "x-api-key", "x-trace"];
    let seen = names.map(|name| {
        let values: Vec<_> =
            request.headers().get_all(name).map(HeaderValue::is_sensitive).collect();
        (!values.is_empty()).then_some((name, values))
    });
    format!("{:?}", seen.into_iter().flatten().collect::<Vec<_>>())
}

macro_rules! seen_behind {
    ($door:expr) => {
        init_service(App::new().route("/", web::get().to(seen)).wrap($door.keys())).await
    };
}

#[actix_web::test]
async fn the_header_of_the_key_is_marked_sensitive_and_no_other() {
    let door = Door::of(9).await;
    let app = seen_behind!(door);
    let request = door.get("/").insert_header(("x-trace", "1")).append_header(("x-trace", "2"));
    let told = send(&app, request).await.text;
    assert_eq!(told, r#"[("authorization", [true]), ("x-trace", [false, false])]"#);
    let basic = ("authorization", "Basic YTpi");
    let request = TestRequest::get()
        .insert_header(("x-api-key", door.issued.key.expose()))
        .insert_header(basic);
    let told = send(&app, request).await.text;
    assert_eq!(told, r#"[("authorization", [false]), ("x-api-key", [true])]"#);
}

#[actix_web::test]
async fn a_key_that_stands_twice_is_hidden_twice() {
    let door = Door::of(9).await;
    let request = door.get("/").insert_header(("x-api-key", door.issued.key.expose()));
    let told = send(&seen_behind!(door), request).await.text;
    assert_eq!(told, r#"[("authorization", [true]), ("x-api-key", [true])]"#);
}

#[actix_web::test]
async fn the_header_of_the_key_is_removed_if_so_set() {
    let strip = Wire::default().strip_credential();
    let door = Door::built(9, |builder| builder.wire(strip)).await;
    let request = door.get("/").insert_header(("x-trace", "1"));
    assert_eq!(send(&seen_behind!(door), request).await.text, r#"[("x-trace", [false])]"#);
}

#[actix_web::test]
async fn a_key_on_a_public_route_is_hidden_too() {
    let door = Door::built(9, |builder| builder.public_path("/")).await;
    let told = send(&seen_behind!(door), door.get("/")).await.text;
    assert_eq!(told, r#"[("authorization", [true])]"#);
}

async fn queried() -> Door {
    let wire = Wire::default().query("api_key").unwrap();
    Door::built(9, |builder| builder.wire(wire)).await
}

/// Everywhere where a handler may look.
async fn uris(request: HttpRequest, path: web::Path<String>) -> String {
    let (uri, query) = (request.uri(), request.query_string());
    let router = request.match_info();
    assert_eq!(router.get_ref().uri(), uri);
    format!("{uri} {query} {} {path} {}", router.as_str(), router.unprocessed())
}

#[actix_web::test]
async fn the_key_is_taken_out_of_the_uri_and_nothing_else() {
    let door = queried().await;
    let key = door.issued.key.expose();
    let app =
        init_service(App::new().route("/{path}", web::get().to(uris)).wrap(door.keys())).await;
    for (sent, seen) in [
        (format!("/a?api_key={key}"), "/a  /a a "),
        (format!("/a%20b?x=1&api_key={key}&y=%26"), "/a%20b?x=1&y=%26 x=1&y=%26 /a b a b "),
        (format!("/a?api_key={key}&flag"), "/a?flag flag /a a "),
        (format!("http://example.org:8080/a?api_key={key}"), "http://example.org:8080/a  /a a "),
        (format!("/a?my_api_key=1&api_key={key}"), "/a?my_api_key=1 my_api_key=1 /a a "),
    ] {
        let answer = send(&app, TestRequest::get().uri(&sent)).await;
        assert_eq!((answer.status, answer.text.as_str()), (200, seen), "{sent}");
    }
}

#[actix_web::test]
async fn routes_within_a_scope_are_found_after_the_key_is_taken_out() {
    let door = queried().await;
    let scope = web::scope("/{place}/{shop}").wrap(door.keys()).service(
        web::resource("/orders/{id}").wrap(door.keys()).to(
            async |request: HttpRequest, path: web::Path<(String, String, u32)>| {
                format!("{} {:?} {}", request.uri(), path, request.match_pattern().unwrap())
            },
        ),
    );
    let app = init_service(App::new().service(scope)).await;
    let uri = format!("/caf%C3%A9/a%2Fb/orders/7?x=1&api_key={}", door.issued.key.expose());
    let answer = send(&app, TestRequest::get().uri(&uri)).await;
    let seen =
        r#"/caf%C3%A9/a%2Fb/orders/7?x=1 Path(("café", "a/b", 7)) /{place}/{shop}/orders/{id}"#;
    assert_eq!((answer.status, answer.text.as_str()), (200, seen));
}

#[actix_web::test]
async fn a_query_is_refused_and_left_alone_unless_turned_on() {
    let door = Door::of(9).await;
    let app =
        init_service(App::new().route("/{path}", web::get().to(uris)).wrap(door.keys())).await;
    let uri = format!("/a?api_key={}", door.issued.key.expose());
    assert_eq!(status(&app, TestRequest::get().uri(&uri)).await, 401);
    let told = send(&app, door.get("/a?api_key=mine")).await.text;
    assert_eq!(told, "/a?api_key=mine api_key=mine /a a ");
}
