//! A gate on a clock that stands still, one key of it, and what it metered.

#![allow(dead_code, reason = "each test program uses its part")]

use std::sync::Arc;

use actix_web::test::TestRequest;
use keygate::{
    Gate, NewKey, Plans,
    clock::{ManualClock, Timestamp},
    gate::GateBuilder,
    keyring::Issued,
    usage::{Granularity, Outcome, StatusClass, UsageQuery},
};
use keygate_actix::Keygate;

/// The service answered with a 2xx.
pub(crate) const SUCCESS: Outcome = Outcome::Admitted(StatusClass::Success);
pub(crate) const CLIENT_ERROR: Outcome = Outcome::Admitted(StatusClass::ClientError);
pub(crate) const SERVER_ERROR: Outcome = Outcome::Admitted(StatusClass::ServerError);

pub(crate) const NOON: Timestamp = Timestamp::from_micros(1_772_366_400_000_000);

/// Ten times as long as anything here takes on a slow machine.
pub(crate) const PATIENCE: std::time::Duration = std::time::Duration::from_secs(20);

pub(crate) struct Door {
    pub(crate) gate: Arc<Gate>,
    pub(crate) issued: Issued,
}

impl Door {
    /// A gate whose only plan allows so many units a day, to keys that may do `orders:*`.
    pub(crate) async fn of(quota: u64) -> Self {
        Self::built(quota, |builder| builder).await
    }

    pub(crate) async fn built(quota: u64, set: impl FnOnce(GateBuilder) -> GateBuilder) -> Self {
        Self::limited(&format!("name = 'daily', quota = {quota}, per = 'day'"), set).await
    }

    /// A gate whose only plan has this limit.
    pub(crate) async fn limited(limit: &str, set: impl FnOnce(GateBuilder) -> GateBuilder) -> Self {
        let plans = format!("[plans.free]\nscopes = ['orders:*']\nlimits = [{{ {limit} }}]");
        let noon = ManualClock::at(NOON);
        let builder = Gate::builder(Plans::from_toml(&plans).unwrap()).clock(Arc::new(noon));
        let gate = set(builder).build().unwrap();
        let new = NewKey::new("acme", "free").scopes(["orders:*"]);
        let issued = gate.keyring().issue(new).await.unwrap();
        Self { gate, issued }
    }

    pub(crate) fn keys(&self) -> Keygate {
        Keygate::new(Arc::clone(&self.gate))
    }

    pub(crate) fn bearer(&self) -> (&'static str, String) {
        ("authorization", format!("Bearer {}", self.issued.key.expose()))
    }

    /// A GET that shows the key.
    pub(crate) fn get(&self, uri: &str) -> TestRequest {
        TestRequest::get().uri(uri).insert_header(self.bearer())
    }

    /// How requests ended: how many, and the units they weighed. Sorted by outcome.
    pub(crate) async fn usage(&self) -> Vec<(Outcome, u64, u64)> {
        let query = UsageQuery::by(Granularity::Day);
        let rollups = self.gate.usage().query(&query).await.unwrap();
        let mut rows: Vec<_> =
            rollups.iter().map(|row| (row.outcome, row.requests, row.cost)).collect();
        rows.sort_unstable();
        rows
    }
}
