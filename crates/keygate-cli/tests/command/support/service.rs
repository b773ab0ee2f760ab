use std::{net::IpAddr, sync::Arc};

use keygate::{
    Caller, Gate, NewKey,
    gate::GateBuilder,
    requirement::Requirement,
    verdict::{Admission, Passage, Reason},
    wire::RequestHead,
};
use keygate_redis::RedisStore;
use keygate_tests::PATIENCE;

/// A service before the same store.
pub(crate) struct Service {
    gate: Arc<Gate>,
    store: RedisStore,
}

impl Service {
    pub(crate) async fn at(url: &str) -> Self {
        Self::with(url, |gate| gate).await
    }

    /// With a gate of its own making.
    pub(crate) async fn with(url: &str, set: impl FnOnce(GateBuilder) -> GateBuilder) -> Self {
        let store = RedisStore::connect(url).await.unwrap();
        Self { gate: set(store.gate()).build().unwrap(), store }
    }

    /// Whether a request with this key passes.
    pub(crate) async fn knock(&self, key: &str) -> Result<Caller, Reason> {
        let admission = self.admit(key, Requirement::default()).await?;
        let caller = admission.caller().clone();
        admission.settle(Some(200));
        Ok(caller)
    }

    /// A request of this operation.
    pub(crate) async fn call(&self, key: &str, operation: &str) -> Result<(), Reason> {
        let requirement = Requirement::default().operation(operation).unwrap();
        self.admit(key, requirement).await?.settle(Some(200));
        Ok(())
    }

    /// Issues a key by itself.
    pub(crate) async fn issue(&self, new: NewKey) {
        drop(self.gate.keyring().issue(new).await.unwrap());
    }

    /// Sends its usage, and ends.
    pub(crate) async fn close(self) {
        self.store.close(PATIENCE).await.unwrap();
    }

    async fn admit(&self, key: &str, requirement: Requirement) -> Result<Passage, Reason> {
        let presented =
            self.gate.present(&Request(format!("Bearer {key}")), &Arc::new(requirement));
        self.gate.admit(presented.unwrap()).await.map_err(|rejection| rejection.reason())
    }
}

/// A request whose only header is `Authorization`.
struct Request(String);

impl RequestHead for Request {
    fn method(&self) -> &str {
        "GET"
    }

    fn path(&self) -> &str {
        "/"
    }

    fn query(&self) -> Option<&str> {
        None
    }

    fn headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        std::iter::once(("authorization", self.0.as_bytes()))
    }

    fn admission(&self) -> Option<&Admission> {
        None
    }

    fn peer(&self) -> Option<IpAddr> {
        None
    }
}
