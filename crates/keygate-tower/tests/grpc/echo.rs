//! A service of gRPC, written where others generate it from a `.proto`, and a client. Messages are
//! `google.protobuf.StringValue`, which prost takes a `String` for.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    net::SocketAddr,
    pin::Pin,
    str::FromStr,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::{Stream, StreamExt as _, stream};
use http::{Uri, uri::PathAndQuery};
use keygate::Caller;
use keygate::verdict::{Admission, Rejection};
use tonic::{
    Code, Request, Response, Status, Streaming,
    body::Body,
    metadata::{MetadataMap, MetadataValue},
    server::NamedService,
    transport::Channel,
};
use tonic_prost::ProstCodec;
use tonic_types::StatusExt as _;
use tower::{Service, service_fn};

type Codec = ProstCodec<String, String>;
type Replies = Pin<Box<dyn Stream<Item = Result<String, Status>> + Send>>;

#[derive(Clone)]
pub(crate) struct Echo;

impl NamedService for Echo {
    const NAME: &'static str = "test.Echo";
}

impl Service<http::Request<Body>> for Echo {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<http::Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(async move {
            let mut grpc = tonic::server::Grpc::new(Codec::default());
            Ok(match request.uri().path() {
                "/test.Echo/Say" => grpc.unary(service_fn(say), request).await,
                "/test.Echo/Repeat" => grpc.server_streaming(service_fn(repeat), request).await,
                "/test.Echo/Recite" => grpc.server_streaming(service_fn(recite), request).await,
                "/test.Echo/Linger" => grpc.server_streaming(service_fn(linger), request).await,
                "/test.Echo/Converse" => grpc.streaming(service_fn(converse), request).await,
                _ => Status::unimplemented("no such method").into_http(),
            })
        })
    }
}

/// Says what it is told, or fails with the code it is told.
fn say(request: Request<String>) -> Ready<Result<Response<String>, Status>> {
    ready(match request.get_ref().strip_prefix("fail ") {
        Some(code) => Err(Status::new(Code::from_bytes(code.as_bytes()), "as you wish")),
        None => Ok(Response::new(request.into_inner())),
    })
}

/// Says it without an end.
async fn repeat(request: Request<String>) -> Result<Response<Replies>, Status> {
    let admission = admission(&request)?;
    let replies = stream::repeat(request.into_inner());
    Ok(Response::new(charged(admission, replies.map(Ok))))
}

/// Says two things, and ends with the code it is told.
fn recite(request: Request<String>) -> Ready<Result<Response<Replies>, Status>> {
    let code = Code::from_bytes(request.into_inner().as_bytes());
    let end = (code != Code::Ok).then(|| Err(Status::new(code, "as you wish")));
    let said = ["one", "two"].map(|text| Ok(text.to_owned()));
    ready(Ok(Response::new(stream::iter(said.into_iter().chain(end)).boxed())))
}

/// Says it once and then nothing, without an end.
async fn linger(request: Request<String>) -> Result<Response<Replies>, Status> {
    let admission = admission(&request)?;
    let reply = stream::iter([Ok(request.into_inner())]);
    Ok(Response::new(charged(admission, reply.chain(stream::pending()))))
}

/// Says each thing again.
async fn converse(request: Request<Streaming<String>>) -> Result<Response<Replies>, Status> {
    let admission = admission(&request)?;
    Ok(Response::new(charged(admission, request.into_inner())))
}

fn admission<T>(request: &Request<T>) -> Result<Admission, Status> {
    let caller: Option<&Caller> = request.extensions().get();
    caller.map(Caller::admission).ok_or_else(|| Status::internal("behind no gate"))
}

/// Replies of one unit each.
fn charged(
    admission: Admission,
    replies: impl Stream<Item = Result<String, Status>> + Send + 'static,
) -> Replies {
    replies
        .then(move |reply| {
            let admission = admission.clone();
            async move {
                admission.charge(1).await.map_err(|rejection| refused(&rejection))?;
                reply
            }
        })
        .boxed()
}

fn refused(rejection: &Rejection) -> Status {
    let it = rejection.grpc_status();
    Status::with_details(Code::from_i32(it.code), it.message, it.details.into())
}

/// A client that sends metadata with each call.
#[derive(Clone)]
pub(crate) struct Client {
    channel: Channel,
    metadata: MetadataMap,
}

impl Client {
    pub(crate) async fn of(address: SocketAddr) -> Self {
        let uri = Uri::from_str(&format!("http://{address}")).unwrap();
        let channel = Channel::builder(uri).connect().await.unwrap();
        Self { channel, metadata: MetadataMap::new() }
    }

    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.metadata.insert(name, value.parse().unwrap());
        self
    }

    pub(crate) fn with_bytes(mut self, name: &'static str, value: &[u8]) -> Self {
        self.metadata.insert_bin(name, MetadataValue::from_bytes(value));
        self
    }

    pub(crate) async fn say(&self, text: &str) -> Result<Response<String>, Status> {
        let request = self.request(text.to_owned());
        self.grpc().await.unary(request, method("Say"), Codec::default()).await
    }

    pub(crate) async fn repeat(&self, text: &str) -> Result<Streaming<String>, Status> {
        self.hear("Repeat", text).await
    }

    pub(crate) async fn recite(&self, end: Code) -> Result<Streaming<String>, Status> {
        self.hear("Recite", &i32::from(end).to_string()).await
    }

    pub(crate) async fn converse(
        &self,
        texts: impl Stream<Item = String> + Send + 'static,
    ) -> Result<Streaming<String>, Status> {
        let request = self.request(texts);
        let mut grpc = self.grpc().await;
        let answer = grpc.streaming(request, method("Converse"), Codec::default()).await;
        answer.map(Response::into_inner)
    }

    pub(crate) async fn linger(&self, text: &str) -> Result<Streaming<String>, Status> {
        self.hear("Linger", text).await
    }

    async fn hear(&self, name: &str, text: &str) -> Result<Streaming<String>, Status> {
        let request = self.request(text.to_owned());
        let mut grpc = self.grpc().await;
        let answer = grpc.server_streaming(request, method(name), Codec::default()).await;
        answer.map(Response::into_inner)
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        *request.metadata_mut() = self.metadata.clone();
        request
    }

    async fn grpc(&self) -> tonic::client::Grpc<Channel> {
        let mut grpc = tonic::client::Grpc::new(self.channel.clone());
        grpc.ready().await.unwrap();
        grpc
    }
}

fn method(name: &str) -> PathAndQuery {
    format!("/{}/{name}", Echo::NAME).parse().unwrap()
}

/// How long a refusal says to wait.
pub(crate) fn wait(status: &Status) -> Option<Duration> {
    status.get_details_retry_info()?.retry_delay
}

/// Why a call was refused.
pub(crate) fn reason(status: &Status) -> String {
    status.get_details_error_info().unwrap().reason
}
