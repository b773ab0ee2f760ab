//! How the example APIs in axum are served.

use std::net::{IpAddr, SocketAddr};

use axum::{Router, extract::ConnectInfo, http::Extensions};
use tokio::{net::TcpListener, sync::oneshot, time::sleep};

use super::environment::{GRACE, Result};

/// Where the server that [`serve`] starts puts the address of the peer.
pub(crate) fn peer(extensions: &Extensions) -> Option<IpAddr> {
    extensions.get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip())
}

/// Serves until asked to stop. Requests at hand are answered, but nobody keeps the program from
/// ending.
pub(crate) async fn serve(
    listener: TcpListener,
    api: Router,
    asked_to_stop: impl Future<Output = ()> + Send + 'static,
) -> Result<()> {
    let (stopping, stopped) = oneshot::channel();
    let api = api.into_make_service_with_connect_info::<SocketAddr>();
    let server = axum::serve(listener, api).with_graceful_shutdown(async {
        asked_to_stop.await;
        let _ = stopping.send(());
    });
    tokio::select! {
        served = async { server.await } => served?,
        () = async { let _ = stopped.await; sleep(GRACE).await } => {}
    }
    Ok(())
}
