//! A gate on a clock that stands still, one key of it, and what it metered.
#![allow(dead_code, clippy::allow_attributes, reason = "each test uses what it needs of this")]

pub(crate) mod broken;
pub(crate) mod talk;

use std::sync::Arc;

use http::{Request, Response, request};
use http_body::Body;
use http_body_util::BodyExt as _;
use keygate::{
    Gate, NewKey, Plans,
    clock::{ManualClock, Timestamp},
    gate::GateBuilder,
    keyring::Issued,
    usage::{Granularity, Outcome, StatusClass, UsageQuery},
};
use keygate_tower::{KeygateLayer, ResponseBody};

/// The service answered with a 2xx.
pub(crate) const SUCCESS: Outcome = Outcome::Admitted(StatusClass::Success);

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
        Self::limited(&format!("{{ name = 'daily', quota = {quota}, per = 'day' }}"), set).await
    }

    /// The same with these limits.
    pub(crate) async fn limited(
        limits: &str,
        set: impl FnOnce(GateBuilder) -> GateBuilder,
    ) -> Self {
        let plans = format!("[plans.free]\nscopes = ['orders:*']\nlimits = [{limits}]");
        let noon = ManualClock::at(Timestamp::from_micros(1_772_366_400_000_000));
        let builder = Gate::builder(Plans::from_toml(&plans).unwrap()).clock(Arc::new(noon));
        let gate = set(builder).build().unwrap();
        let new = NewKey::new("acme", "free").scopes(["orders:*"]);
        let issued = gate.keyring().issue(new).await.unwrap();
        Self { gate, issued }
    }

    pub(crate) fn layer(&self) -> KeygateLayer {
        KeygateLayer::new(Arc::clone(&self.gate))
    }

    /// A GET that shows the key.
    pub(crate) fn get(&self, uri: &str) -> request::Builder {
        let bearer = format!("Bearer {}", self.issued.key.expose());
        Request::get(uri).header("authorization", bearer)
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

/// What the body of a response says.
pub(crate) async fn text_of<B>(response: Response<ResponseBody<B>>) -> String
where
    B: Body<Error: std::fmt::Debug, Data: From<String>>,
{
    let body = response.into_body().collect().await.unwrap();
    String::from_utf8(body.to_bytes().to_vec()).unwrap()
}
