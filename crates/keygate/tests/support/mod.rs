//! A request without a framework, and a gate on a clock that stands still.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Arc, Mutex},
};

use chrono::{DateTime, Utc};
use keygate::{
    Gate, Plans,
    clock::{ManualClock, Timestamp},
    gate::GateBuilder,
    key::KeyId,
    keyring::{Issued, NewKey},
    port::{Answer, StoreError, UsageStore},
    requirement::Requirement,
    usage::{Outcome, Rollup, UsageEvent, UsageQuery},
    verdict::{Caller, Passage, Rejection},
    wire::{FieldName, FieldValue, RequestHead, RequestHeadMut},
};

/// When every test begins. A day ends twelve hours later.
pub(crate) fn noon() -> DateTime<Utc> {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: &'static str,
    pub(crate) path: String,
    pub(crate) query: Option<String>,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) sensitive: Vec<String>,
    pub(crate) caller: Option<Caller>,
    pub(crate) peer: Option<IpAddr>,
}

impl Request {
    /// A GET of `path?query`.
    pub(crate) fn get(uri: &str) -> Self {
        let (path, query) = match uri.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (uri, None),
        };
        Self {
            method: "GET",
            path: path.to_owned(),
            query,
            headers: Vec::new(),
            sensitive: Vec::new(),
            caller: None,
            peer: None,
        }
    }

    pub(crate) fn with(mut self, header: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((header.to_owned(), value.as_ref().to_vec()));
        self
    }

    pub(crate) fn bearer(key: &str) -> Self {
        Self::get("/orders").with("authorization", format!("Bearer {key}"))
    }
}

impl RequestHead for Request {
    fn method(&self) -> &str {
        self.method
    }

    fn path(&self) -> &str {
        &self.path
    }

    fn query(&self) -> Option<&str> {
        self.query.as_deref()
    }

    fn headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice()))
    }

    fn caller(&self) -> Option<&Caller> {
        self.caller.as_ref()
    }

    fn peer(&self) -> Option<IpAddr> {
        self.peer
    }
}

impl RequestHeadMut for Request {
    fn mark_sensitive(&mut self, header: &str) {
        self.sensitive.push(header.to_owned());
    }

    fn remove(&mut self, header: &str) {
        self.headers.retain(|(name, _)| name != header);
    }

    fn replace(&mut self, header: &'static str, value: &str) {
        self.remove(header);
        self.headers.push((header.to_owned(), value.into()));
    }

    fn set_path_and_query(&mut self, text: &str) {
        let other = Self::get(text);
        (self.path, self.query) = (other.path, other.query);
    }
}

/// A usage event that owns what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) key: Option<(KeyId, String)>,
    pub(crate) operation: Option<String>,
    pub(crate) outcome: Outcome,
    pub(crate) cost: u64,
    pub(crate) latency_micros: u64,
}

/// Keeps every event as it came.
#[derive(Debug, Default)]
pub(crate) struct Events(Mutex<Vec<Event>>);

impl UsageStore for Events {
    fn record(&self, event: &UsageEvent<'_>) {
        self.0.lock().unwrap().push(Event {
            key: event.key.map(|(id, consumer)| (id, consumer.to_string())),
            operation: event.operation.map(ToString::to_string),
            outcome: event.outcome,
            cost: event.cost,
            latency_micros: event.latency_micros,
        });
    }

    fn query<'a>(&'a self, _: &'a UsageQuery) -> Answer<'a, Result<Vec<Rollup>, StoreError>> {
        Answer::later(async { Err(StoreError::new("events are not summed here")) })
    }

    fn last_used(&self, _: KeyId) -> Answer<'_, Result<Option<DateTime<Utc>>, StoreError>> {
        Answer::later(async { Ok(None) })
    }
}

/// A gate with everything a test wants to hold in hand.
pub(crate) struct Desk {
    pub(crate) gate: Arc<Gate>,
    pub(crate) clock: Arc<ManualClock>,
    events: Arc<Events>,
}

impl Desk {
    pub(crate) fn new(plans: &str, set: impl FnOnce(GateBuilder) -> GateBuilder) -> Self {
        let clock = Arc::new(ManualClock::at(Timestamp::from(noon())));
        let events = Arc::new(Events::default());
        let builder = Gate::builder(Plans::from_toml(plans).unwrap())
            .clock(clock.clone())
            .usage(events.clone());
        let gate = set(builder).build().unwrap();
        Self { gate, clock, events }
    }

    pub(crate) fn issue(&self, new: NewKey) -> Issued {
        pollster::block_on(self.gate.keyring().issue(new)).unwrap()
    }

    /// Presents and admits: the request is one that needs a key.
    pub(crate) fn ask(
        &self,
        request: &Request,
        requirement: &Arc<Requirement>,
    ) -> Result<Passage, Rejection> {
        let presented = self.gate.present(request, requirement);
        pollster::block_on(self.gate.admit(presented.expect("this needs a key")))
    }

    /// What was metered since the last time.
    pub(crate) fn metered(&self) -> Vec<Event> {
        std::mem::take(&mut *self.events.0.lock().unwrap())
    }
}

/// Any valid key will do.
pub(crate) fn any_key() -> Arc<Requirement> {
    Arc::default()
}

/// The value of a field that may stand once.
#[track_caller]
pub(crate) fn field<'f>(fields: &'f [(FieldName, FieldValue)], name: &str) -> Option<&'f str> {
    let mut values = fields.iter().filter(|(field, _)| field.as_str() == name);
    let value = values.next().map(|(_, value)| &**value);
    assert_eq!(values.next(), None, "{name} stands twice");
    value
}

/// Scheme and parameters of a challenge (RFC 9110, section 11.6.1), every value a quoted string.
#[track_caller]
pub(crate) fn challenge(text: &str) -> (&str, BTreeMap<&str, &str>) {
    let (scheme, parameters) = text.split_once(' ').expect("a scheme and parameters");
    let parsed: Vec<(&str, &str)> = parameters
        .split(", ")
        .map(|parameter| {
            let (name, value) = parameter.split_once('=').expect("name=value");
            let value = value.strip_prefix('"').and_then(|v| v.strip_suffix('"'));
            (name, value.expect("a quoted string"))
        })
        .collect();
    let unique: BTreeMap<_, _> = parsed.iter().copied().collect();
    assert_eq!(unique.len(), parsed.len(), "a parameter twice: {text}");
    assert!(!unique.values().any(|value| value.contains(['"', '\\'])));
    (scheme, unique)
}
