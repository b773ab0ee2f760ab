use axum::http::HeaderValue;
use futures_util::{SinkExt as _, StreamExt as _};
use keygate::NewKey;
use tokio::net::TcpListener;
use tokio_tungstenite::{
    connect_async,
    tungstenite::{Message, client::IntoClientRequest as _},
};

use crate::{app, gate};

#[tokio::test]
async fn the_example_does_what_it_says() {
    let gate = gate().unwrap();
    let issued = gate.keyring().issue(NewKey::new("acme", "free")).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/v1/echo", listener.local_addr().unwrap());
    tokio::spawn(async { axum::serve(listener, app(gate)).await });

    let mut request = url.into_client_request().unwrap();
    let offered = format!("echo.v1, keygate.key.{}", issued.key.expose());
    let offered = HeaderValue::from_str(&offered).unwrap();
    request.headers_mut().insert("sec-websocket-protocol", offered);
    request.headers_mut().insert("origin", HeaderValue::from_static("https://app.example"));
    let (mut socket, response) = connect_async(request).await.unwrap();
    assert_eq!(response.headers()["sec-websocket-protocol"], "echo.v1");
    let exposed = response.headers()["access-control-expose-headers"].to_str().unwrap();
    assert!(exposed.contains("RateLimit"), "{exposed}");

    // More than the burst, and faster than the rate.
    for _ in 0..20 {
        let _ = socket.send(Message::text("hello")).await;
    }
    let mut echoed = 0;
    while let Some(Ok(heard)) = socket.next().await {
        match heard {
            Message::Close(frame) => {
                let frame = frame.unwrap();
                let told = (u16::from(frame.code), frame.reason.as_str());
                assert_eq!(told, (1013, "rate_limited; retry-after=1"));
                break;
            }
            heard => assert_eq!(heard, Message::text("hello")),
        }
        echoed += 1;
    }
    assert!((4..19).contains(&echoed), "{echoed} of 20");
}
