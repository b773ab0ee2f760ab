use std::{net::IpAddr, sync::Arc, time::Duration};

use keygate::{
    Caller, Gate, NewKey,
    gate::GateBuilder,
    requirement::Requirement,
    verdict::{Passage, Reason},
    wire::RequestHead,
};
use keygate_redis::{Address, RedisStore};
use keygate_tests::PATIENCE;
use tokio::time::{sleep, timeout};

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
        // Nobody is refused because the machine is busy.
        let store = RedisStore::at(Address::parse(url).unwrap()).deadline(PATIENCE);
        let store = store.connect().await.unwrap();
        Self { gate: set(store.gate()).build().unwrap(), store }
    }

    /// Whether a request with this key passes.
    pub(crate) async fn knock(&self, key: &str) -> Result<Caller, Reason> {
        let admission = self.admit(key, Requirement::default()).await?;
        let caller = admission.caller().clone();
        admission.settle(Some(200));
        Ok(caller)
    }

    /// Why a request with this key does not pass, once it does not: a service is told of a change right
    /// after it.
    pub(crate) async fn refuses(&self, key: &str) -> Reason {
        let refused = async || self.knock(key).await.err();
        soon(refused).await
    }

    /// Waits until a request with this key passes.
    pub(crate) async fn admits(&self, key: &str) -> Caller {
        let admitted = async || self.knock(key).await.ok();
        soon(admitted).await
    }

    /// A request of this operation.
    pub(crate) async fn call(&self, key: &str, operation: &str) -> Result<(), Reason> {
        let requirement = Requirement::default().operation(operation).unwrap();
        self.admit(key, requirement).await?.settle(Some(200));
        Ok(())
    }

    /// A request without a key.
    pub(crate) async fn visit(&self, address: &str) -> Result<(), Reason> {
        let request = Request { authorization: None, peer: Some(address.parse().unwrap()) };
        self.decide(&request, Requirement::default()).await?.settle(Some(200));
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
        let request = Request { authorization: Some(format!("Bearer {key}")), peer: None };
        self.decide(&request, requirement).await
    }

    async fn decide(&self, request: &Request, demanded: Requirement) -> Result<Passage, Reason> {
        let presented = self.gate.present(request, &Arc::new(demanded)).unwrap();
        self.gate.admit(presented).await.map_err(|rejection| rejection.reason())
    }
}

/// Tries until there is something.
async fn soon<T>(attempt: impl AsyncFn() -> Option<T>) -> T {
    let trying = async {
        loop {
            if let Some(done) = attempt().await {
                return done;
            }
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, trying).await.expect("the service learns of the change")
}

/// A request with one header at most, `Authorization`.
struct Request {
    authorization: Option<String>,
    peer: Option<IpAddr>,
}

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
        self.authorization.iter().map(|value| ("authorization", value.as_bytes()))
    }

    fn caller(&self) -> Option<&Caller> {
        None
    }

    fn peer(&self) -> Option<IpAddr> {
        self.peer
    }
}
