use std::net::SocketAddr;

use tokio::{runtime::Runtime, time::timeout};
use tonic::{
    Request, Response, Status, Streaming,
    client::Grpc as Caller,
    metadata::{AsciiMetadataKey, AsciiMetadataValue, BinaryMetadataKey, BinaryMetadataValue},
    transport::{Channel, Endpoint},
};
use tonic_prost::ProstCodec;

use crate::time::PATIENCE;

/// A client of gRPC, with a connection of its own. Of every message it knows the first field, which is a
/// text.
#[derive(Debug)]
pub struct Grpc {
    runtime: Runtime,
    channel: Channel,
}

impl Grpc {
    /// A connection to this address.
    #[must_use]
    #[track_caller]
    pub fn to(address: SocketAddr) -> Self {
        Self::over(&Endpoint::from_shared(format!("http://{address}")).unwrap())
    }

    #[track_caller]
    fn over(endpoint: &Endpoint) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let channel = runtime.block_on(endpoint.connect()).expect("the server listens");
        Self { runtime, channel }
    }

    /// Calls a method, such as `/orders.v1.Orders/Place`, with this metadata. A value of a name that ends in
    /// `-bin` is sent as bytes.
    ///
    /// # Errors
    /// The status, if it is another than OK.
    #[track_caller]
    pub fn call(
        &self,
        method: &str,
        metadata: &[(&str, &str)],
        text: &str,
    ) -> Result<Response<String>, Box<Status>> {
        let request = request(metadata, text);
        let codec = ProstCodec::<String, String>::default();
        self.wait_for(async {
            let mut caller = Caller::new(self.channel.clone());
            caller.ready().await.expect("the connection is there");
            caller.unary(request, method.parse().expect("a path"), codec).await.map_err(Box::new)
        })
    }

    #[track_caller]
    fn wait_for<T>(&self, exchange: impl Future<Output = T>) -> T {
        let exchange = async { timeout(PATIENCE, exchange).await };
        self.runtime.block_on(exchange).expect("an answer in time")
    }
}

/// How many bytes of a response are sent that nobody reads: what HTTP/2 begins with.
const WINDOW: u32 = 65_535;

/// A call whose response is a stream of messages that repeat the text that was sent. It has begun, and none of
/// them was read.
#[derive(Debug)]
pub struct Unread {
    grpc: Grpc,
    messages: Streaming<()>,
}

impl Unread {
    /// Calls such a method at this address, on a connection of its own, with a text so long that the server can
    /// send no message to its end until somebody reads.
    ///
    /// # Errors
    /// The status, if the call is refused.
    #[track_caller]
    pub fn call(
        address: SocketAddr,
        method: &str,
        metadata: &[(&str, &str)],
    ) -> Result<Self, Box<Status>> {
        let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
        let grpc = Grpc::over(&endpoint.initial_stream_window_size(WINDOW));
        let request = request(metadata, &"x".repeat(WINDOW as usize));
        let codec = ProstCodec::<String, ()>::default();
        let called = grpc.wait_for(async {
            let mut caller = Caller::new(grpc.channel.clone());
            caller.ready().await.expect("the connection is there");
            caller.server_streaming(request, method.parse().expect("a path"), codec).await
        });
        Ok(Self { messages: called?.into_inner(), grpc })
    }

    /// Reads to the end: how many messages there were.
    ///
    /// # Errors
    /// The status, if the stream ends with another than OK.
    #[track_caller]
    pub fn read(mut self) -> Result<usize, Box<Status>> {
        self.grpc.wait_for(async {
            let mut count = 0;
            while self.messages.message().await?.is_some() {
                count += 1;
            }
            Ok(count)
        })
    }
}

#[track_caller]
fn request(metadata: &[(&str, &str)], text: &str) -> Request<String> {
    let mut request = Request::new(text.to_owned());
    for (name, value) in metadata {
        if name.ends_with("-bin") {
            let name: BinaryMetadataKey = name.parse().expect("a name of metadata");
            request
                .metadata_mut()
                .append_bin(name, BinaryMetadataValue::from_bytes(value.as_bytes()));
        } else {
            let name: AsciiMetadataKey = name.parse().expect("a name of metadata");
            // Not all of these are ASCII, whatever the name of the type says.
            let value =
                AsciiMetadataValue::try_from(value.as_bytes()).expect("a value of metadata");
            request.metadata_mut().append(name, value);
        }
    }
    request
}
