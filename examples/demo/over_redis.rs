//! What the example APIs over Redis share: `KEYGATE_REDIS_URL` says where Redis is
//! (`redis://127.0.0.1:6379` by default), `KEYGATE_PLANS` names a TOML file of plans to apply at start,
//! `KEYGATE_DEADLINE_MS` sets how long counting one request may take, and `KEYGATE_SLOT_LEASE_MS` after what
//! time the slots of a replica that was killed are free.

use std::{net::SocketAddr, time::Duration};

use keygate_redis::{Address, ConnectError, PlansError, RedisStore};
use serde_json::json;

use super::environment::{PlansFile, Result};

/// How long usage may take to reach Redis once the program is asked to stop.
pub(crate) const FLUSH_WITHIN: Duration = Duration::from_secs(5);

/// A store as the environment tells, with its plans applied.
pub(crate) async fn connected() -> Result<RedisStore> {
    let [deadline, lease] = [millis("KEYGATE_DEADLINE_MS")?, millis("KEYGATE_SLOT_LEASE_MS")?];
    let store = connect(deadline, lease).await;
    let store = store.map_err(|error| format!("KEYGATE_REDIS_URL: {error}"))?;
    apply_plans(&store).await?;
    Ok(store)
}

#[expect(clippy::print_stdout, reason = "saying where it listens is what the line is for")]
pub(crate) fn show(listening: SocketAddr, as_json: bool) {
    if as_json {
        println!("{}", json!({ "listening": listening }));
    } else {
        println!("listening on http://{listening}");
    }
}

/// The deadline is longer than the default where machines are slow, and a late answer is better than none.
async fn connect(
    deadline: Option<Duration>,
    lease: Option<Duration>,
) -> std::result::Result<RedisStore, ConnectError> {
    let url = std::env::var("KEYGATE_REDIS_URL");
    let url = url.unwrap_or_else(|_| "redis://127.0.0.1:6379".to_owned());
    let mut store = RedisStore::at(Address::parse(&url)?);
    if let Some(deadline) = deadline {
        store = store.deadline(deadline);
    }
    if let Some(lease) = lease {
        store = store.slot_lease(lease);
    }
    store.connect().await
}

fn millis(variable: &str) -> Result<Option<Duration>> {
    let Ok(text) = std::env::var(variable) else { return Ok(None) };
    match text.parse() {
        Ok(millis @ 1..) => Ok(Some(Duration::from_millis(millis))),
        _ => Err(format!("{variable} is `{text}`; give milliseconds, such as 25").into()),
    }
}

/// Replicas that start together apply the same file: whoever comes second finds it done.
async fn apply_plans(store: &RedisStore) -> Result<()> {
    let Some(file) = PlansFile::read()? else { return Ok(()) };
    loop {
        let stored = store.stored_plans().load().await?;
        if stored.as_ref().is_some_and(|stored| stored.text == file.text) {
            return Ok(());
        }
        let expected = stored.map(|stored| stored.revision);
        match store.stored_plans().apply(&file.text, expected).await {
            Ok(_) => return Ok(()),
            Err(PlansError::Conflict { .. }) => {}
            Err(error) => return Err(file.wrong(&error).into()),
        }
    }
}
