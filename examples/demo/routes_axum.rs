//! The routes of the example APIs in axum.

use std::sync::Arc;

use axum::{
    Extension, Json, Router,
    body::Body,
    extract::Query,
    http::header::CONTENT_TYPE,
    response::IntoResponse,
    routing::{get, post},
};
use keygate::{Caller, Gate};
use keygate_tower::KeygateLayer;

use super::{
    answers::{self, Echo, Found, Order, Search},
    environment::Result,
    serving_axum,
};

/// The API. Each router has one layer, with what its routes require. Whatever is not found is behind
/// the last.
pub(crate) fn api(gate: Arc<Gate>) -> Result<Router> {
    let keys = KeygateLayer::new(gate).peer_from(serving_axum::peer);
    let searching = Router::new()
        .route("/v1/search", get(search))
        .layer(keys.clone().require("search:read")?.operation("search")?);
    let ordering = Router::new()
        .route("/v1/orders", post(order))
        .layer(keys.clone().require("orders:write")?.operation("orders")?.cost(5));
    let others = Router::new()
        .route("/v1/echo", get(echo).post(echo_body))
        .route("/healthz", get(|| async { answers::HEALTHY }))
        .layer(keys);
    Ok(searching.merge(ordering).merge(others))
}

async fn echo(Extension(caller): Extension<Caller>) -> Json<Echo> {
    Json(answers::echo(&caller))
}

/// Piece by piece, as it comes.
async fn echo_body(body: Body) -> impl IntoResponse {
    let body = Body::from_stream(body.into_data_stream());
    ([(CONTENT_TYPE, answers::ANY_BYTES)], body)
}

async fn search(Query(search): Query<Search>) -> Json<Found> {
    Json(answers::search(search))
}

async fn order(Extension(caller): Extension<Caller>) -> Json<Order> {
    Json(answers::order(&caller))
}
