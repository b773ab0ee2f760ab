//! The API of `api_axum` in actix-web: told the same, and answering the same.
//!
//! `KEYGATE_REDIS_URL` says where Redis is (`redis://127.0.0.1:6379` by default), `KEYGATE_ADDR` where to
//! listen, `KEYGATE_PLANS` names a TOML file of plans to apply at start, and `KEYGATE_DEADLINE_MS` sets how
//! long counting one request may take. Keys come from the store: issue them with the `keygate` command.
//! Callers without a key, proxies and WebSockets have settings of their own: see `demo/doorway.rs`.

mod demo {
    pub(crate) mod answers;
    pub(crate) mod doorway;
    pub(crate) mod environment;
    pub(crate) mod over_redis;
    pub(crate) mod routes_actix;
}

use std::process::ExitCode;

use demo::{
    doorway,
    environment::{self, Result},
    over_redis, routes_actix,
};

#[actix_web::main]
async fn main() -> ExitCode {
    environment::start_log();
    environment::ended(run().await)
}

async fn run() -> Result<()> {
    let json = environment::wants_json()?;
    let store = over_redis::connected().await?;
    let gate = doorway::gate(&store)?.public_path("/healthz").build()?;

    let listener = environment::listen().await?;
    let asked_to_stop = environment::asked_to_stop()?;
    over_redis::show(listener.local_addr()?, json);
    routes_actix::serve(listener, gate, asked_to_stop).await?;
    store.close(over_redis::FLUSH_WITHIN).await?;
    Ok(())
}
