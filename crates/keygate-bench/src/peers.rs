//! The peers, set up to never refuse either.

use std::{collections::HashMap, num::NonZeroU32, sync::Arc};

use actix_governor::{Governor, GovernorConfigBuilder as ActixConfig, SimpleKeyExtractionError};
use actix_web::dev::ServiceRequest;
use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderName, HeaderValue, StatusCode, header::AUTHORIZATION},
    middleware::Next,
    response::{IntoResponse, Response},
};
use governor::{DefaultKeyedRateLimiter, Quota, clock::MonotonicClock};
use limitador::{
    CheckResult,
    limit::{Context, Limit, Namespace},
};
use tower_governor::{
    GovernorError, GovernorLayer, governor::GovernorConfigBuilder, key_extractor::KeyExtractor,
};

const BURST: u32 = 900_000_000;
const PER_SECOND: NonZeroU32 = NonZeroU32::new(100).unwrap();

/// One rate by key, in governor's usual store and by its usual clock, the processor's counter.
pub fn governor() -> DefaultKeyedRateLimiter<String> {
    governor::RateLimiter::keyed(rate())
}

/// The same by the clock of the operating system, which governor takes without its feature `quanta`.
pub fn governor_by_system_clock() -> impl Fn(&String) -> bool {
    let limiter = governor::RateLimiter::dashmap_with_clock(rate(), MonotonicClock);
    move |key| limiter.check_key(key).is_ok()
}

fn rate() -> Quota {
    Quota::per_second(PER_SECOND).allow_burst(NonZeroU32::new(BURST).expect("not zero"))
}

/// What either governor does with a rate: it tells it in response headers.
type Told = governor::middleware::StateInformationMiddleware;

const MILLIS_APART: u64 = 1000 / PER_SECOND.get() as u64;

/// One rate by the `Authorization` header, told in response headers.
pub fn tower_governor() -> GovernorLayer<Bearer, Told, Body> {
    let config = GovernorConfigBuilder::default()
        .key_extractor(Bearer)
        .per_millisecond(MILLIS_APART)
        .burst_size(BURST)
        .use_headers()
        .finish();
    GovernorLayer::new(config.expect("neither is zero"))
}

/// The same before actix-web; each counts for itself.
pub fn actix_governor() -> Governor<Bearer, Told> {
    let config = ActixConfig::default()
        .key_extractor(Bearer)
        .milliseconds_per_request(MILLIS_APART)
        .burst_size(BURST)
        .use_headers()
        .finish();
    Governor::new(&config.expect("neither is zero"))
}

/// Limits by the whole `Authorization` header.
#[derive(Clone, Copy, Debug)]
pub struct Bearer;

impl KeyExtractor for Bearer {
    type Key = String;

    fn extract<T>(&self, request: &http::Request<T>) -> Result<String, GovernorError> {
        let value = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        value.map(str::to_owned).ok_or(GovernorError::UnableToExtractKey)
    }
}

impl actix_governor::KeyExtractor for Bearer {
    type Key = String;
    type KeyExtractionError = SimpleKeyExtractionError<&'static str>;

    fn extract(&self, request: &ServiceRequest) -> Result<String, Self::KeyExtractionError> {
        let value = request.headers().get("authorization").and_then(|value| value.to_str().ok());
        value.map(str::to_owned).ok_or(SimpleKeyExtractionError::new("no key"))
    }
}

/// Three windows by key, in memory.
pub struct Limitador {
    limiter: limitador::RateLimiter,
    namespace: Namespace,
}

const SECOND: u64 = 1;
const DAY: u64 = 86_400;
const MONTH: u64 = 30 * DAY;

impl Limitador {
    /// With room for the counters of so many keys.
    pub fn new(keys: usize) -> Arc<Self> {
        // Room to spare, so that its cache evicts nothing.
        let limiter = limitador::RateLimiter::new(4 * keys as u64 + 1000);
        for (name, seconds) in [("burst", SECOND), ("daily", DAY), ("monthly", MONTH)] {
            let by_key = "key".try_into().expect("an expression");
            let mut limit = Limit::new("api", u64::from(u32::MAX), seconds, vec![], vec![by_key]);
            limit.set_name(name.to_owned());
            assert!(limiter.add_limit(limit), "a new limit");
        }
        Arc::new(Self { limiter, namespace: "api".into() })
    }

    /// Checks and counts, and hands back what response headers are made of.
    pub fn check(&self, key: &str) -> CheckResult {
        let values = HashMap::from([("key".to_owned(), key.to_owned())]);
        let context = Context::from(values);
        self.limiter.check_rate_limited_and_update(&self.namespace, &context, 1).expect("in memory")
    }
}

/// Limitador as a middleware, as one writes it: it brings none.
pub async fn limitador(
    State(limits): State<Arc<Limitador>>,
    request: Request,
    next: Next,
) -> Response {
    let key = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let Some(key) = key else {
        return StatusCode::UNAUTHORIZED.into_response();
    };
    let mut checked = limits.check(key);
    if checked.limited {
        return StatusCode::TOO_MANY_REQUESTS.into_response();
    }
    let mut response = next.run(request).await;
    for (name, value) in checked.response_header() {
        let (name, value) = (HeaderName::try_from(name), HeaderValue::try_from(value));
        response.headers_mut().insert(name.expect("a name"), value.expect("a value"));
    }
    response
}
