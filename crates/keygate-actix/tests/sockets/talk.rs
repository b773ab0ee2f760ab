//! A server on a port of its own, and a client that speaks HTTP/1.1 by hand.

use std::{fmt::Write as _, net::SocketAddr};

use actix_web::dev::{Server, ServerHandle};
use keygate::usage::Outcome;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::support::{Door, PATIENCE};

/// A server that is stopped with the test.
pub(crate) struct Serving {
    pub(crate) address: SocketAddr,
    handle: ServerHandle,
}

impl Serving {
    pub(crate) fn start(address: SocketAddr, server: Server) -> Self {
        let handle = server.handle();
        drop(actix_web::rt::spawn(server));
        Self { address, handle }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        drop(self.handle.stop(false));
    }
}

/// Serves on two workers. What follows the app is said to the server.
macro_rules! serve {
    ($app:expr $(, $setting:ident($value:expr))*) => {{
        let server = actix_web::HttpServer::new(move || $app)
            .workers(2)
            .disable_signals()
            $(.$setting($value))*
            .bind(("127.0.0.1", 0))
            .unwrap();
        $crate::talk::Serving::start(server.addrs()[0], server.run())
    }};
}
pub(crate) use serve;

/// One connection.
pub(crate) struct Client(pub(crate) TcpStream);

impl Client {
    pub(crate) async fn connect(server: &Serving) -> Self {
        Self(TcpStream::connect(server.address).await.unwrap())
    }

    /// Sends the head of a request.
    pub(crate) async fn send(&mut self, line: &str, headers: &[(&str, &str)]) {
        let mut head = format!("{line} HTTP/1.1\r\nhost: test\r\n");
        for (name, value) in headers {
            write!(head, "{name}: {value}\r\n").unwrap();
        }
        head.push_str("\r\n");
        self.write(&head).await;
    }

    pub(crate) async fn write(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.unwrap();
    }

    /// Reads until this text has come.
    pub(crate) async fn read_until(&mut self, text: &str) -> String {
        let (mut heard, mut buffer) = (String::new(), [0; 1024]);
        while !heard.contains(text) {
            let read = timeout(PATIENCE, self.0.read(&mut buffer)).await.unwrap().unwrap();
            assert_ne!(read, 0, "closed before `{text}`: {heard}");
            heard.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
        }
        heard
    }

    /// Reads a response with a length and says its head and its body.
    pub(crate) async fn response(&mut self) -> (String, String) {
        let heard = self.read_until("\r\n\r\n").await;
        let (head, body) = heard.split_once("\r\n\r\n").unwrap();
        let (head, mut body) = (head.to_ascii_lowercase(), body.to_owned());
        let length = head.split("content-length: ").nth(1).unwrap();
        let length: usize = length.split("\r\n").next().unwrap().parse().unwrap();
        let mut buffer = [0; 1024];
        while body.len() < length {
            let read = timeout(PATIENCE, self.0.read(&mut buffer)).await.unwrap().unwrap();
            assert_ne!(read, 0, "closed within a body");
            body.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
        }
        (head, body)
    }

    /// Reads until the server closes.
    pub(crate) async fn rest(&mut self) -> String {
        let mut heard = Vec::new();
        let read = timeout(PATIENCE, self.0.read_to_end(&mut heard)).await;
        // A reset is an end, too.
        let _ = read.expect("closed in time");
        String::from_utf8(heard).unwrap()
    }
}

/// Waits until this much is metered, and says what.
pub(crate) async fn metered(door: &Door, requests: u64) -> Vec<(Outcome, u64, u64)> {
    let wait = async {
        loop {
            let usage = door.usage().await;
            if usage.iter().map(|row| row.1).sum::<u64>() >= requests {
                break usage;
            }
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, wait).await.expect("metered in time")
}
