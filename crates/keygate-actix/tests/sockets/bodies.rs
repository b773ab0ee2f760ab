//! Whole responses, bodies of requests that are refused, and talk in both directions.

use actix_web::{
    App, HttpResponse,
    web::{self, Payload},
};

use crate::{
    support::{Door, SUCCESS},
    talk::{Client, metered, serve},
};

async fn ok() -> &'static str {
    "served"
}

#[actix_web::test]
async fn a_client_is_served_and_told_its_limits() {
    let door = Door::of(9).await;
    let keys = door.keys();
    let server = serve!(App::new().route("/", web::get().to(ok)).wrap(keys.clone()));
    let mut client = Client::connect(&server).await;
    client.send("GET /", &[("x-api-key", door.issued.key.expose())]).await;
    let (head, body) = client.response().await;
    assert!(head.starts_with("http/1.1 200 ok\r\n") && body == "served", "{head}");
    assert!(head.contains("\r\nratelimit: \"daily\";r=8;t=43200"), "{head}");
    assert_eq!(metered(&door, 1).await, [(SUCCESS, 1, 1)]);
}

#[actix_web::test]
async fn a_refusal_is_a_whole_response_and_the_connection_goes_on() {
    let door = Door::of(9).await;
    let keys = door.keys();
    let server = serve!(App::new().default_service(web::to(ok)).wrap(keys.clone()));
    let mut client = Client::connect(&server).await;
    for line in ["GET /", "OPTIONS /", "DELETE /"] {
        client.send(line, &[]).await;
        let (head, body) = client.response().await;
        assert!(head.starts_with("http/1.1 401 unauthorized\r\n"), "{head}");
        assert!(head.contains("\r\ncontent-type: application/problem+json"), "{head}");
        assert!(body.ends_with("\"code\":\"missing_key\"}"), "{body}");
    }
    let preflight = [("origin", "https://a.example"), ("access-control-request-method", "GET")];
    client.send("OPTIONS /", &preflight).await;
    assert_eq!(client.response().await.1, "served");
    client.send("HEAD /", &[("connection", "close")]).await;
    let rest = client.rest().await;
    assert!(rest.starts_with("HTTP/1.1 401 Unauthorized\r\n"), "{rest}");
    assert!(rest.ends_with("\r\n\r\n"), "a response to HEAD has no body: {rest}");
}

#[actix_web::test]
async fn the_body_of_a_refused_request_harms_no_next_request() {
    let door = Door::of(9).await;
    let keys = door.keys();
    let server = serve!(App::new().default_service(web::to(ok)).wrap(keys.clone()));
    let bearer = door.bearer().1;
    let smuggled = "GET /smuggled HTTP/1.1\r\nhost: test\r\n\r\n";
    let length = smuggled.len().to_string();
    let chunked = format!("{:x}\r\n{smuggled}\r\n0\r\n\r\n", smuggled.len());
    for (header, body) in [
        (("content-length", length.as_str()), smuggled),
        (("transfer-encoding", "chunked"), chunked.as_str()),
    ] {
        let mut client = Client::connect(&server).await;
        client.send("POST /", &[header]).await;
        client.write(body).await;
        assert!(client.response().await.0.starts_with("http/1.1 401"));
        // Whether the connection goes on is up to actix-web; that it goes on well is up to both.
        client.send("GET /", &[("authorization", &bearer), ("connection", "close")]).await;
        let rest = client.rest().await;
        assert!(rest.is_empty() || rest.starts_with("HTTP/1.1 200 OK\r\n"), "{rest}");
        assert_eq!(rest.matches("HTTP/1.1").count(), usize::from(!rest.is_empty()), "{rest}");
    }
}

#[actix_web::test]
async fn client_and_handler_may_talk_at_the_same_time() {
    let door = Door::of(9).await;
    let keys = door.keys();
    let echo = async |body: Payload| HttpResponse::Ok().streaming(body);
    let server = serve!(App::new().route("/", web::post().to(echo)).wrap(keys.clone()));
    let mut client = Client::connect(&server).await;
    let headers = [("authorization", &*door.bearer().1), ("transfer-encoding", "chunked")];
    client.send("POST /", &headers).await;
    client.write("3\r\none\r\n").await;
    let heard = client.read_until("one\r\n").await;
    assert!(heard.starts_with("HTTP/1.1 200 OK\r\n"), "{heard}");
    assert_eq!(metered(&door, 1).await, [(SUCCESS, 1, 1)], "with the head");
    // The answer to the first chunk is here before there is a second.
    client.write("3\r\ntwo\r\n0\r\n\r\n").await;
    client.read_until("3\r\ntwo\r\n0\r\n\r\n").await;
    assert_eq!(door.usage().await, [(SUCCESS, 1, 1)]);
}
