use futures_util::StreamExt as _;
use keygate::{Gate, NewKey, Plans};
use tonic::{Code, Request, metadata::AsciiMetadataValue, transport::Channel};

use crate::{
    PLANS, app,
    orders::{FollowRequest, PlaceRequest, orders_client::OrdersClient},
};

async fn client(gate: &std::sync::Arc<Gate>) -> OrdersClient<Channel> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}", listener.local_addr().unwrap());
    let app = app(gate.clone()).unwrap();
    tokio::spawn(async { axum::serve(listener, app).await });
    let channel = Channel::from_shared(uri).unwrap().connect().await.unwrap();
    OrdersClient::new(channel)
}

#[tokio::test]
async fn the_example_does_what_it_says() {
    let gate = Gate::in_memory(Plans::from_toml(PLANS).unwrap()).unwrap();
    let mut client = client(&gate).await;
    let refused = client.place(PlaceRequest { item: "tea".to_owned() }).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);

    let new = NewKey::new("acme", "free").scopes(["orders:*"]);
    let issued = gate.keyring().issue(new).await.unwrap();
    let bearer: AsciiMetadataValue = format!("Bearer {}", issued.key.expose()).parse().unwrap();
    let mut place = Request::new(PlaceRequest { item: "tea".to_owned() });
    place.metadata_mut().insert("authorization", bearer.clone());
    let order = client.place(place).await.unwrap().into_inner();
    assert_eq!((&*order.id, &*order.consumer), ("tea-1", "acme"));

    let mut follow = Request::new(FollowRequest { id: order.id });
    follow.metadata_mut().insert("authorization", bearer);
    let events: Vec<_> = client.follow(follow).await.unwrap().into_inner().collect().await;
    assert_eq!(events.len(), 3);
    assert_eq!(events[2].as_ref().unwrap().text, "tea-1 has moved");
}
