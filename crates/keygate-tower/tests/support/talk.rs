//! A server on a port of its own, and a client that speaks HTTP/1.1 by hand.

use std::{fmt::Write as _, net::SocketAddr, time::Duration};

use axum::Router;
use http::Request;
use keygate::usage::Outcome;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::timeout,
};

use super::Door;

pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// A server that is gone with the test.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(crate) async fn serve(app: Router) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let task = tokio::spawn(async { axum::serve(listener, app).await.unwrap() });
    Server { address, task }
}

/// Sends the head of a request on a connection of its own.
pub(crate) async fn send(server: &Server, request: &Request<()>) -> TcpStream {
    let mut head = format!("{} {} HTTP/1.1\r\nhost: test\r\n", request.method(), request.uri());
    for (name, value) in request.headers() {
        write!(head, "{name}: {}\r\n", value.to_str().unwrap()).unwrap();
    }
    head.push_str("\r\n");
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

/// Reads until this text has come.
pub(crate) async fn read_until(stream: &mut TcpStream, text: &str) -> String {
    let (mut heard, mut buffer) = (String::new(), [0; 1024]);
    while !heard.contains(text) {
        let read = timeout(PATIENCE, stream.read(&mut buffer)).await.unwrap().unwrap();
        assert_ne!(read, 0, "closed before `{text}`: {heard}");
        heard.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
    }
    heard
}

/// Waits until something is metered, and says what.
pub(crate) async fn metered(door: &Door) -> Vec<(Outcome, u64, u64)> {
    let wait = async {
        loop {
            match door.usage().await {
                usage if usage.is_empty() => tokio::task::yield_now().await,
                usage => break usage,
            }
        }
    };
    timeout(PATIENCE, wait).await.expect("metered in time")
}
