//! keygate as a service would set it up: one rate, two quotas, a scope, an operation.

use std::{
    net::IpAddr,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use http::{
    HeaderValue, Method, Request,
    header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE, HOST, USER_AGENT},
    request::Parts,
};
use keygate::{
    Gate, NewKey, Plans,
    gate::Presented,
    memory::{MemoryCounters, MemoryKeys, MemoryUsage},
    requirement::Requirement,
    verdict::{Caller, Passage},
    wire::RequestHead,
};

/// No benchmark comes near these, for what is measured is the admitted path; and they have no more digits
/// than what the peers tell.
const PLANS: &str = r#"
[plans.pro]
scopes = ["search:*", "orders:read"]
limits = [
    { name = "burst", rate = "100/s", burst = 900_000_000 },
    { name = "daily", quota = 2_000_000_000, per = "day", zone = "Europe/Paris" },
    { name = "monthly", quota = 4_000_000_000, per = "month", anchor = 15 },
]
"#;

/// A gate in memory, and its stores.
#[derive(Clone)]
pub struct Setup {
    pub gate: Arc<Gate>,
    pub keys: Arc<MemoryKeys>,
    pub counters: Arc<MemoryCounters>,
    pub usage: Arc<MemoryUsage>,
    pub requirement: Arc<Requirement>,
}

impl Setup {
    pub fn new() -> Self {
        let plans = Plans::from_toml(PLANS).expect("plans");
        let (keys, counters, usage) = <(Arc<_>, Arc<_>, Arc<_>)>::default();
        let gate = Gate::builder(plans)
            .keys(Arc::clone(&keys) as _)
            .counters(Arc::clone(&counters) as _)
            .usage(Arc::clone(&usage) as _)
            .build()
            .expect("a gate");
        Self { gate, keys, counters, usage, requirement: Arc::new(requirement()) }
    }

    /// Issues so many keys, each to a consumer of its own.
    pub fn issue(&self, count: usize) -> Vec<String> {
        let keyring = self.gate.keyring();
        let issue = |number| {
            let new = NewKey::new(format!("consumer-{number}"), "pro")
                .scopes(["search:read", "orders:read"]);
            ready(keyring.issue(new)).expect("a key").key.expose().to_owned()
        };
        (0..count).map(issue).collect()
    }

    pub fn present(&self, parts: &Parts) -> Presented {
        self.gate.present(&Head(parts), &self.requirement).expect("no public route")
    }

    pub fn admit(&self, presented: Presented) -> Passage {
        ready(self.gate.admit(presented)).expect("admitted")
    }

    /// The whole admitted path, but for the service in its middle.
    pub fn serve(&self, parts: &Parts) {
        let admission = self.admit(self.present(parts));
        std::hint::black_box(admission.fields());
        admission.settle(Some(200));
    }
}

impl Default for Setup {
    fn default() -> Self {
        Self::new()
    }
}

/// What the route demands.
pub fn requirement() -> Requirement {
    let requirement = Requirement::default().require("search:read").expect("a scope");
    requirement.operation("search").expect("an operation")
}

/// A request as clients send them.
pub fn request<B>(key: &str, body: B) -> Request<B> {
    let bearer = HeaderValue::try_from(format!("Bearer {key}")).expect("visible ASCII");
    Request::builder()
        .method(Method::GET)
        .uri("/search?q=rust")
        .header(HOST, "api.example.com")
        .header(USER_AGENT, "example-client/4.2 (linux; x86_64)")
        .header(ACCEPT, "application/json")
        .header(ACCEPT_ENCODING, "gzip, br")
        .header(CONTENT_TYPE, "application/json")
        .header(AUTHORIZATION, bearer)
        .body(body)
        .expect("a request")
}

/// The head of such a request.
pub fn head(key: &str) -> Parts {
    request(key, ()).into_parts().0
}

struct Head<'r>(&'r Parts);

impl RequestHead for Head<'_> {
    fn method(&self) -> &str {
        self.0.method.as_str()
    }

    fn path(&self) -> &str {
        self.0.uri.path()
    }

    fn query(&self) -> Option<&str> {
        self.0.uri.query()
    }

    fn headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()))
    }

    fn caller(&self) -> Option<&Caller> {
        self.0.extensions.get()
    }

    fn peer(&self) -> Option<IpAddr> {
        None
    }
}

/// Runs a future that never waits.
pub fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("a store in memory made the request wait"),
    }
}

/// The numbers below `count` over and over, in an order that no prefetcher guesses.
pub fn shuffled(count: usize) -> impl FnMut() -> usize + 'static {
    let mut order: Vec<usize> = (0..count).collect();
    // Fisher and Yates, by a linear congruential generator (Knuth, MMIX).
    let mut state = 42_u64;
    for last in (1..count).rev() {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        order.swap(last, (state >> 33) as usize % (last + 1));
    }
    let mut turn = 0;
    move || {
        turn = (turn + 1) % count;
        order[turn]
    }
}
