//! The routes of the example APIs in axum.

use std::sync::Arc;

use axum::{
    Extension, Json, Router,
    extract::Query,
    routing::{get, post},
};
use keygate::{Caller, Gate};
use keygate_tower::KeygateLayer;

use super::{
    answers::{self, Echo, Found, Order, Search},
    environment::Result,
};

/// The API. Each router has one layer, with what its routes require. Whatever is not found is behind
/// the last.
pub(crate) fn api(gate: Arc<Gate>) -> Result<Router> {
    let keys = KeygateLayer::new(gate);
    let searching = Router::new()
        .route("/v1/search", get(search))
        .layer(keys.clone().require("search:read")?.operation("search")?);
    let ordering = Router::new()
        .route("/v1/orders", post(order))
        .layer(keys.clone().require("orders:write")?.operation("orders")?.cost(5));
    let others = Router::new()
        .route("/v1/echo", get(echo))
        .route("/healthz", get(|| async { answers::HEALTHY }))
        .layer(keys);
    Ok(searching.merge(ordering).merge(others))
}

async fn echo(Extension(caller): Extension<Caller>) -> Json<Echo> {
    Json(answers::echo(&caller))
}

async fn search(Query(search): Query<Search>) -> Json<Found> {
    Json(answers::search(search))
}

async fn order(Extension(caller): Extension<Caller>) -> Json<Order> {
    Json(answers::order(&caller))
}
