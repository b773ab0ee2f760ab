//! WebSockets, with a client of another make.

use actix_web::{App, HttpRequest, HttpResponse, web};
use actix_ws::{CloseCode, CloseReason, Message as Said};
use futures_util::{SinkExt as _, StreamExt as _};
use keygate::{
    usage::{Outcome, StatusClass},
    wire::Wire,
};
use keygate_actix::Admission;
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Error, Message, client::IntoClientRequest as _, http::HeaderName},
};

use crate::{
    support::{Door, PATIENCE},
    talk::{Serving, metered, serve},
};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

const UPGRADED: Outcome = Outcome::Admitted(StatusClass::Informational);

/// Says again what it hears, one unit each. The first answer tells which subprotocols were offered.
async fn upgrade(
    request: HttpRequest,
    body: web::Payload,
    admission: Admission,
) -> Result<HttpResponse, actix_web::Error> {
    let offered = request.headers().get("sec-websocket-protocol");
    let offered = offered.map_or("", |it| it.to_str().unwrap()).to_owned();
    let (mut response, mut session, mut messages) = actix_ws::handle(&request, body)?;
    if offered == "orders.v1" {
        response
            .head_mut()
            .headers_mut()
            .insert("sec-websocket-protocol".parse().unwrap(), "orders.v1".parse().unwrap());
    }
    actix_web::rt::spawn(async move {
        while let Some(Ok(Said::Text(text))) = messages.recv().await {
            if let Err(rejection) = admission.charge(1).await {
                let close = rejection.close();
                let code = CloseCode::from(close.code);
                let reason = CloseReason { code, description: Some(close.reason) };
                let _ = session.close(Some(reason)).await;
                return;
            }
            let answer = if text == "offered?" { offered.clone() } else { text.to_string() };
            if session.text(answer).await.is_err() {
                return;
            }
        }
    });
    Ok(response)
}

async fn door(limits: &str) -> Door {
    let wire = Wire::default().subprotocol("keygate.key.").unwrap();
    Door::limited(limits, |builder| builder.wire(wire)).await
}

fn service(door: &Door) -> Serving {
    let keys = door.keys();
    serve!(App::new().wrap(keys.clone()).route("/", web::get().to(upgrade)))
}

async fn connect(server: &Serving, name: &'static str, value: &str) -> Result<Socket, Error> {
    let mut request = format!("ws://{}/", server.address).into_client_request().unwrap();
    request.headers_mut().insert(HeaderName::from_static(name), value.parse().unwrap());
    let connecting = timeout(PATIENCE, connect_async(request));
    Ok(connecting.await.expect("answered in time")?.0)
}

async fn says(socket: &mut Socket, text: &str) -> Message {
    socket.send(Message::text(text)).await.unwrap();
    timeout(PATIENCE, socket.next()).await.expect("heard in time").unwrap().unwrap()
}

fn closed(message: &Message) -> (u16, &str) {
    match message {
        Message::Close(Some(frame)) => (frame.code.into(), frame.reason.as_str()),
        other => panic!("{other:?}"),
    }
}

#[actix_web::test]
async fn messages_are_charged_one_by_one_and_metered_as_one_request() {
    let door = door("name = 'daily', quota = 3, per = 'day'").await;
    let server = service(&door);
    let mut socket = connect(&server, "x-api-key", door.issued.key.expose()).await.unwrap();
    for text in ["one", "two"] {
        assert_eq!(says(&mut socket, text).await, Message::text(text));
    }
    let last = says(&mut socket, "three").await;
    assert_eq!(closed(&last), (1013, "quota_exhausted; retry-after=43200"));
    assert_eq!(metered(&door, 1).await, [(UPGRADED, 1, 3)]);
}

#[actix_web::test]
async fn a_key_among_the_subprotocols_opens_it_and_is_never_seen() {
    let door = door("name = 'daily', quota = 9, per = 'day'").await;
    let server = service(&door);
    let offered = format!("orders.v1, keygate.key.{}", door.issued.key.expose());
    let mut socket = connect(&server, "sec-websocket-protocol", &offered).await.unwrap();
    assert_eq!(says(&mut socket, "offered?").await, Message::text("orders.v1"));
    door.gate.keyring().revoke(door.issued.record.id).await.unwrap();
    let last = says(&mut socket, "two").await;
    assert_eq!(closed(&last), (1008, "revoked_key"));
}

#[actix_web::test]
async fn a_handshake_without_a_key_is_refused_as_any_other_request() {
    let door = door("name = 'daily', quota = 9, per = 'day'").await;
    let server = service(&door);
    match connect(&server, "sec-websocket-protocol", "orders.v1").await {
        Err(Error::Http(answer)) => assert_eq!(answer.status(), 401),
        other => panic!("{other:?}"),
    }
}

#[actix_web::test]
async fn a_connection_holds_its_slot_for_its_life() {
    let door = door("name = 'at_once', concurrency = 1").await;
    let server = service(&door);
    let key = door.issued.key.expose();
    let mut socket = connect(&server, "x-api-key", key).await.unwrap();
    assert_eq!(says(&mut socket, "one").await, Message::text("one"));
    match connect(&server, "x-api-key", key).await {
        Err(Error::Http(answer)) => assert_eq!(answer.status(), 429),
        other => panic!("{other:?}"),
    }
    drop(socket);
    let free = async { while connect(&server, "x-api-key", key).await.is_err() {} };
    timeout(PATIENCE, free).await.expect("the slot is free in time");
}
