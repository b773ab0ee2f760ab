//! How the example APIs in axum are served.

use axum::Router;
use tokio::{net::TcpListener, sync::oneshot, time::sleep};

use super::environment::{GRACE, Result};

/// Serves until asked to stop. Requests at hand are answered, but nobody keeps the program from
/// ending.
pub(crate) async fn serve(
    listener: TcpListener,
    api: Router,
    asked_to_stop: impl Future<Output = ()> + Send + 'static,
) -> Result<()> {
    let (stopping, stopped) = oneshot::channel();
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
