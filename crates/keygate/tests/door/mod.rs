//! A gate by a manual clock, and somebody who knocks.

use std::{net::IpAddr, sync::Arc};

use chrono::{DateTime, Utc};
use keygate::{
    Gate, Keyring,
    clock::{Clock, ManualClock, Timestamp},
    memory::MemoryKeys,
    plan::Plans,
    port::{KeyFilter, KeyStore},
    requirement::Requirement,
    verdict::{Caller, Passage, Reason, Rejection},
    wire::RequestHead,
};

/// One quota a key, one a consumer.
const PLANS: &str = r#"
    [plans.free]
    scopes = ["orders:*", "search:*"]
    limits = [
      { name = "own", quota = 3, per = "day", partition = "key" },
      { name = "shared", quota = 10, per = "day" },
    ]

    [plans.pro]
    limits = [
      { name = "own", quota = 5, per = "day", partition = "key" },
      { name = "shared", quota = 100, per = "day" },
    ]
"#;

pub(crate) struct Door {
    pub(crate) keyring: Keyring,
    pub(crate) clock: Arc<ManualClock>,
    gate: Arc<Gate>,
}

impl Door {
    pub(crate) fn new() -> Self {
        Self::with(Arc::new(MemoryKeys::default()))
    }

    pub(crate) fn with(keys: Arc<dyn KeyStore>) -> Self {
        let start: DateTime<Utc> = "2026-06-01T08:00:00.000001Z".parse().unwrap();
        let clock = Arc::new(ManualClock::at(Timestamp::from(start)));
        let plans = Plans::from_toml(PLANS).unwrap();
        let builder = Gate::builder(plans).keys(keys);
        let gate = builder.clock(Arc::clone(&clock) as _).build().unwrap();
        Self { keyring: gate.keyring(), clock, gate }
    }

    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.clock.now().to_datetime()
    }

    /// How many records the store holds.
    pub(crate) fn keys(&self) -> usize {
        let everything = KeyFilter::default().most(usize::MAX);
        pollster::block_on(self.keyring.list(&everything)).unwrap().len()
    }

    /// Shows a key for one unit.
    pub(crate) fn knock(&self, key: &str) -> Result<(), Reason> {
        self.admit(key, 1).map(drop).map_err(|rejection| rejection.reason())
    }

    pub(crate) fn knocks(&self, key: &str, times: usize) -> Vec<Result<(), Reason>> {
        (0..times).map(|_| self.knock(key)).collect()
    }

    /// What remains of each limit of a key's plan.
    pub(crate) fn remaining(&self, key: &str) -> Vec<u64> {
        let admission = self.admit(key, 0).unwrap();
        let counted = admission.admitted().counted();
        counted.iter().map(|(_, reading)| reading.remaining).collect()
    }

    fn admit(&self, key: &str, cost: u64) -> Result<Passage, Rejection> {
        let requirement = Arc::new(Requirement::default().cost(cost));
        let request = Request(format!("Bearer {key}"));
        let presented = self.gate.present(&request, &requirement).unwrap();
        pollster::block_on(self.gate.admit(presented))
    }
}

/// A request whose only header is `Authorization`.
struct Request(String);

impl RequestHead for Request {
    fn method(&self) -> &str {
        "GET"
    }

    fn path(&self) -> &str {
        "/orders"
    }

    fn query(&self) -> Option<&str> {
        None
    }

    fn headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        std::iter::once(("authorization", self.0.as_bytes()))
    }

    fn caller(&self) -> Option<&Caller> {
        None
    }

    fn peer(&self) -> Option<IpAddr> {
        None
    }
}
