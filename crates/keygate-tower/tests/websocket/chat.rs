//! A service that says what it hears, and a client.

use axum::{
    Extension, Router,
    extract::ws::{CloseFrame, Message as Said, WebSocket, WebSocketUpgrade},
    response::Response,
    routing::any,
};
use futures_util::{SinkExt as _, StreamExt as _};
use http::{HeaderName, HeaderValue, Request, Response as Answer};
use keygate::{Caller, verdict::Admission, wire::Wire};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream,
    tungstenite::{Error, Message, client::IntoClientRequest as _},
};

use crate::support::{
    Door,
    talk::{PATIENCE, Server},
};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

pub(crate) fn app() -> Router {
    Router::new().route("/", any(upgrade))
}

async fn upgrade(upgrade: WebSocketUpgrade, Extension(caller): Extension<Caller>) -> Response {
    let admission = caller.admission();
    let upgrade = upgrade.protocols(["orders.v1"]);
    let offered: Vec<_> = upgrade.requested_protocols().map(|it| it.to_str().unwrap()).collect();
    let offered = offered.join(", ");
    upgrade.on_upgrade(|socket| converse(socket, admission, offered))
}

/// Says again what it hears, or what was offered, one unit each.
async fn converse(mut socket: WebSocket, admission: Admission, offered: String) {
    while let Some(Ok(Said::Text(text))) = socket.recv().await {
        if let Err(rejection) = admission.charge(1).await {
            let close = rejection.close();
            let frame = CloseFrame { code: close.code, reason: close.reason.into() };
            let _ = socket.send(Said::Close(Some(frame))).await;
            return;
        }
        let answer = if text == "offered?" { offered.clone().into() } else { text };
        let _ = socket.send(Said::Text(answer)).await;
    }
}

/// A door that takes keys among the subprotocols too.
pub(crate) async fn door(limits: &str) -> Door {
    let wire = Wire::default().subprotocol("keygate.key.").unwrap();
    Door::limited(limits, |builder| builder.wire(wire)).await
}

/// A client's opening handshake, with these headers.
pub(crate) fn handshake(server: &Server, headers: &[(&'static str, &str)]) -> Request<()> {
    let mut request = format!("ws://{}/", server.address).into_client_request().unwrap();
    for (name, value) in headers {
        let value = HeaderValue::from_str(value).unwrap();
        request.headers_mut().insert(HeaderName::from_static(name), value);
    }
    request
}

pub(crate) async fn connect(
    request: Request<()>,
) -> Result<(Socket, Answer<Option<Vec<u8>>>), Error> {
    let connecting = tokio_tungstenite::connect_async(request);
    timeout(PATIENCE, connecting).await.expect("answered in time")
}

/// Status and body of the answer to a handshake that fails.
pub(crate) async fn refusal(request: Request<()>) -> (u16, String) {
    match connect(request).await {
        Err(Error::Http(answer)) => {
            let body = answer.body().clone().unwrap_or_default();
            (answer.status().as_u16(), String::from_utf8(body).unwrap())
        }
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn send(socket: &mut Socket, text: &str) {
    socket.send(Message::text(text)).await.unwrap();
}

async fn hear(socket: &mut Socket) -> Message {
    timeout(PATIENCE, socket.next()).await.expect("heard in time").unwrap().unwrap()
}

/// Says something, and hears the answer.
pub(crate) async fn says(socket: &mut Socket, text: &str) -> String {
    send(socket, text).await;
    hear(socket).await.into_text().unwrap().to_string()
}

/// Code and reason that the server closes with.
pub(crate) async fn hears_close(socket: &mut Socket) -> (u16, String) {
    match hear(socket).await {
        Message::Close(Some(frame)) => (frame.code.into(), frame.reason.to_string()),
        other => panic!("{other:?}"),
    }
}
