use std::net::SocketAddr;

use tokio::{runtime::Runtime, time::timeout};
use tonic::{
    Request, Response, Status,
    client::Grpc as Caller,
    metadata::{AsciiMetadataKey, AsciiMetadataValue},
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
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
        let channel = runtime.block_on(endpoint.connect()).expect("the server listens");
        Self { runtime, channel }
    }

    /// Calls a method, such as `/orders.v1.Orders/Place`, with this metadata.
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
        let mut request = Request::new(text.to_owned());
        for (name, value) in metadata {
            let name: AsciiMetadataKey = name.parse().expect("a name of metadata");
            let value: AsciiMetadataValue = value.parse().expect("a value of metadata");
            request.metadata_mut().append(name, value);
        }
        let exchange = async {
            let mut caller = Caller::new(self.channel.clone());
            caller.ready().await.expect("the connection is there");
            let codec = ProstCodec::<String, String>::default();
            caller.unary(request, method.parse().expect("a path"), codec).await
        };
        let called = self.runtime.block_on(async { timeout(PATIENCE, exchange).await });
        called.expect("an answer in time").map_err(Box::new)
    }
}
