//! A service of gRPC behind keys, beside plain HTTP.
//!
//! `cargo run --bin grpc` keeps everything in memory, listens on 127.0.0.1:3000 or on `KEYGATE_ADDR`, issues
//! a key and prints lines to try. Where `KEYGATE_REDIS_URL` is set it runs as `api_axum` does, with the plans
//! and keys of its store. `--json` prints one line of JSON for programs instead.

#[path = "demo"]
mod demo {
    pub(crate) mod doorway;
    pub(crate) mod environment;
    pub(crate) mod example_axum;
    pub(crate) mod over_redis;
    pub(crate) mod serving_axum;
}

use std::{net::SocketAddr, pin::Pin, process::ExitCode, sync::Arc};

use axum::{Router, routing::get};
use futures_util::{Stream, StreamExt as _, stream};
use keygate::{
    Caller, Gate,
    verdict::{Admission, Rejection},
};
use keygate_tower::KeygateLayer;
use tonic::{Code, Extensions, Request, Response, Status, service::Routes};

use demo::{environment, example_axum::Example, serving_axum};
use orders::{Event, FollowRequest, Order, PlaceRequest, orders_server};

/// Generated from `grpc/orders.proto` by `tonic-prost-build`; a service does that in its `build.rs`.
#[expect(
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    unreachable_pub,
    unused_qualifications,
    reason = "generated"
)]
mod orders {
    include!("grpc/orders.v1.rs");
}
#[cfg(test)]
#[path = "grpc/tests.rs"]
mod tests;

const PLANS: &str = r#"
    [plans.free]
    scopes = ["orders:*"]
    limits = [
      { name = "daily", quota = 1000, per = "day" },
      # A stream is under way until its last message was sent.
      { name = "at-once", concurrency = 5 },
    ]
"#;

#[tokio::main]
async fn main() -> ExitCode {
    Example { plans: PLANS, api: app, lines }.run().await
}

/// One layer serves both protocols: who asks in gRPC is answered in gRPC.
fn app(gate: Arc<Gate>) -> environment::Result<Router> {
    let keys = KeygateLayer::new(gate).require("orders:write")?.operation("orders")?;
    let keys = keys.peer_from(serving_axum::peer);
    let orders = Routes::new(orders_server::OrdersServer::new(Orders)).into_axum_router();
    Ok(orders
        .route("/v1/orders", get(|| async { "none yet\n" }))
        .layer(keys)
        .route("/healthz", get(|| async { "ok\n" })))
}

struct Orders;

#[tonic::async_trait]
impl orders_server::Orders for Orders {
    type FollowStream = Pin<Box<dyn Stream<Item = Result<Event, Status>> + Send>>;

    async fn place(&self, request: Request<PlaceRequest>) -> Result<Response<Order>, Status> {
        let caller: &Caller = of_gate(request.extensions())?;
        let consumer = caller.consumer().to_string();
        Ok(Response::new(Order { id: format!("{}-1", request.get_ref().item), consumer }))
    }

    /// Each event costs a unit of the plan. When nothing is left the stream ends with the same status
    /// that refuses a call.
    async fn follow(
        &self,
        request: Request<FollowRequest>,
    ) -> Result<Response<Self::FollowStream>, Status> {
        let admission: Admission = of_gate::<Caller>(request.extensions())?.admission();
        let id = request.into_inner().id;
        let events = stream::iter(1..=3).then(move |number| {
            let (admission, text) = (admission.clone(), format!("{id} has moved"));
            async move {
                admission.charge(1).await.map_err(|rejection| refused(&rejection))?;
                Ok(Event { number, text })
            }
        });
        Ok(Response::new(events.boxed()))
    }
}

/// What the layer put into the extensions of the request.
fn of_gate<T: Send + Sync + 'static>(extensions: &Extensions) -> Result<&T, Status> {
    extensions.get().ok_or_else(|| Status::internal("this service is behind no gate"))
}

fn refused(rejection: &Rejection) -> Status {
    let it = rejection.grpc_status();
    Status::with_details(Code::from_i32(it.code), it.message, it.details.into())
}

fn lines(listening: SocketAddr, key: &str) -> Vec<String> {
    let bearer = format!("-H 'authorization: Bearer {key}'");
    let call = format!("grpcurl -plaintext -proto examples/grpc/orders.proto {bearer}");
    vec![
        format!("{call} -d '{{\"item\": \"tea\"}}' {listening} orders.v1.Orders/Place"),
        format!("{call} -d '{{\"id\": \"tea-1\"}}' {listening} orders.v1.Orders/Follow"),
        format!("curl -i {bearer} http://{listening}/v1/orders"),
        format!("curl -i http://{listening}/healthz"),
    ]
}
