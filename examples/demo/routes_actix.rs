//! The routes of the example APIs in actix-web, and how they are served.

use std::sync::Arc;

use actix_web::{
    App, HttpResponse, HttpServer, Responder, Route, guard,
    web::{self, Json, Payload, Query, ServiceConfig},
};
use keygate::Gate;
use keygate_actix::{Caller, Keygate};
use tokio::net::TcpListener;

use super::{
    answers::{self, Echo, Found, Order, Search},
    environment::{GRACE, Result},
};

/// What stands before the routes: made once, and shared by all workers.
#[derive(Clone)]
struct Doors {
    searching: Keygate,
    ordering: Keygate,
    others: Keygate,
}

impl Doors {
    fn of(gate: Arc<Gate>) -> Result<Self> {
        let keys = Keygate::new(gate);
        Ok(Self {
            searching: keys.clone().require("search:read")?.operation("search")?,
            ordering: keys.clone().require("orders:write")?.operation("orders")?.cost(5),
            others: keys,
        })
    }

    /// Each resource has one door, with what it requires. Whatever is not found is behind the last.
    fn routes(self, app: &mut ServiceConfig) {
        let search = web::resource("/v1/search").wrap(self.searching).route(get().to(search));
        let orders = web::resource("/v1/orders").wrap(self.ordering).route(web::post().to(order));
        let echoing = web::resource("/v1/echo").route(get().to(echo));
        let echoing = echoing.route(web::post().to(echo_body));
        let others = web::scope("")
            .wrap(self.others)
            .service(echoing)
            .service(web::resource("/healthz").route(get().to(healthz)));
        app.service(search).service(orders).service(others);
    }
}

/// A route of GET, and of HEAD, which asks the same without the body.
fn get() -> Route {
    web::route().guard(guard::Any(guard::Get()).or(guard::Head()))
}

async fn healthz() -> impl Responder {
    answers::HEALTHY
}

async fn echo(caller: Caller) -> Json<Echo> {
    Json(answers::echo(&caller))
}

/// Piece by piece, as it comes.
async fn echo_body(body: Payload) -> impl Responder {
    HttpResponse::Ok().content_type(answers::ANY_BYTES).streaming(body)
}

async fn search(search: Query<Search>) -> Json<Found> {
    Json(answers::search(search.into_inner()))
}

async fn order(caller: Caller) -> Json<Order> {
    Json(answers::order(&caller))
}

/// Serves until asked to stop. Requests at hand are answered, but nobody keeps the program from
/// ending.
pub(crate) async fn serve(
    listener: TcpListener,
    gate: Arc<Gate>,
    asked_to_stop: impl Future<Output = ()> + 'static,
) -> Result<()> {
    let doors = Doors::of(gate)?;
    let server = HttpServer::new(move || App::new().configure(|app| doors.clone().routes(app)))
        .shutdown_timeout(GRACE.as_secs())
        .disable_signals()
        .listen(listener.into_std()?)?
        .run();
    let handle = server.handle();
    let stopping = actix_web::rt::spawn(async move {
        asked_to_stop.await;
        handle.stop(true).await;
    });
    server.await?;
    stopping.abort();
    Ok(())
}
