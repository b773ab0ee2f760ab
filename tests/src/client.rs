use std::{error::Error, net::SocketAddr};

use http::{Method, Request, request::Builder};
use http_body_util::BodyExt;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, runtime::Runtime, time::timeout};

use crate::{answer::Answer, time::PATIENCE};

/// One connection, kept alive. It never sends a request twice.
#[derive(Debug)]
pub struct Client {
    runtime: Runtime,
    address: SocketAddr,
    connection: Option<SendRequest<String>>,
}

/// Why there is no answer.
pub type Unanswered = Box<dyn Error + Send + Sync>;

/// A request, about to be sent.
#[derive(Debug)]
pub struct Call {
    head: Builder,
    body: String,
}

impl Call {
    /// A request with this method.
    #[must_use]
    pub fn new(method: &str, path: &str) -> Self {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        Self { head: Request::builder().method(method).uri(path), body: String::new() }
    }

    /// A GET.
    #[must_use]
    pub fn get(path: &str) -> Self {
        Self::new("GET", path)
    }

    /// A POST.
    #[must_use]
    pub fn post(path: &str) -> Self {
        Self::new("POST", path)
    }

    /// With this key as a bearer token.
    #[must_use]
    pub fn key(self, key: &str) -> Self {
        self.header("authorization", format!("Bearer {key}"))
    }

    /// With one more header field.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.head = self.head.header(name, value.as_ref());
        self
    }

    /// With this body.
    #[must_use]
    pub fn body(mut self, body: &str) -> Self {
        body.clone_into(&mut self.body);
        self
    }
}

impl Client {
    /// A connection to this address, made when it is needed.
    #[must_use]
    pub fn to(address: SocketAddr) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { runtime, address, connection: None }
    }

    /// Sends a request and waits for the whole response.
    #[track_caller]
    pub fn send(&mut self, call: Call) -> Answer {
        self.try_send(call).expect("an answer")
    }

    /// Sends a request and waits for the whole response, or for the connection to break or be
    /// refused.
    ///
    /// # Errors
    /// What became of the connection.
    #[track_caller]
    pub fn try_send(&mut self, call: Call) -> Result<Answer, Unanswered> {
        let request = call.head.header("host", self.address.to_string()).body(call.body).unwrap();
        let connection = self.connection.take().filter(|connection| !connection.is_closed());
        let exchange = exchange(self.address, connection, request);
        let ended = self.runtime.block_on(async { timeout(PATIENCE, exchange).await });
        let (answer, connection) = ended.expect("an answer in time")?;
        self.connection = Some(connection);
        Ok(answer)
    }

    /// Gets a path with a key.
    #[track_caller]
    pub fn get(&mut self, path: &str, key: &str) -> Answer {
        self.send(Call::get(path).key(key))
    }
}

async fn exchange(
    address: SocketAddr,
    connection: Option<SendRequest<String>>,
    request: Request<String>,
) -> Result<(Answer, SendRequest<String>), Unanswered> {
    let mut connection = match connection {
        Some(connection) => connection,
        None => connect(address).await?,
    };
    connection.ready().await?;
    let response = connection.send_request(request).await?;
    let (head, body) = response.into_parts();
    let body = body.collect().await?.to_bytes().to_vec();
    Ok((Answer { status: head.status.as_u16(), headers: head.headers, body }, connection))
}

async fn connect(address: SocketAddr) -> Result<SendRequest<String>, Unanswered> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true).unwrap();
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    // Its errors reach us through the sender.
    tokio::spawn(connection);
    Ok(sender)
}
