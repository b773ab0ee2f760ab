//! What a store knows of a key, and the caller it becomes once a request has shown that key.

use std::{borrow::Cow, collections::BTreeMap, fmt, str::FromStr, sync::Arc};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{
    address::AddressPartition,
    clock::Timestamp,
    constraint::Constraint,
    key::{KeyDigest, KeyHint, KeyId},
    plan::{Name, Plan},
    scope::{Scope, ScopeQuery, ScopeSet},
    verdict::Reason,
};

/// The longest consumer id, in bytes.
pub const MAX_CONSUMER_LEN: usize = 128;

/// Who owns keys and pays: a project or an organisation, in the words of your own database.
///
/// 1 to 128 visible ASCII characters. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConsumerId(Arc<str>);

/// Text that cannot be a consumer id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "consumer `{}` is no id; use 1 to {MAX_CONSUMER_LEN} visible ASCII characters without spaces",
    .given.escape_debug()
)]
pub struct ConsumerIdError {
    given: String,
}

impl ConsumerId {
    /// Reads a consumer id.
    ///
    /// # Errors
    /// If the text is empty, too long, or holds a space, a control character or non-ASCII.
    pub fn parse(text: &str) -> Result<Self, ConsumerIdError> {
        let visible = text.bytes().all(|byte| byte.is_ascii_graphic());
        if visible && (1..=MAX_CONSUMER_LEN).contains(&text.len()) {
            return Ok(Self(Arc::from(text)));
        }
        let given = text.chars().take(MAX_CONSUMER_LEN).collect();
        Err(ConsumerIdError { given })
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What the ids of callers without a key begin with, before the address.
const VISITOR: &str = "ip:";

impl ConsumerId {
    /// Whoever calls from there without a key.
    ///
    /// ```
    /// use keygate::{address::ClientAddress, record::ConsumerId};
    ///
    /// let client = ClientAddress::from("2001:db8:1:2::7".parse::<std::net::IpAddr>()?);
    /// let visitor = ConsumerId::visitor(client.partition());
    /// assert_eq!(visitor.as_str(), "ip:2001:db8:1:2::/64");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn visitor(address: AddressPartition) -> Self {
        Self(format!("{VISITOR}{address}").into())
    }

    /// The id that stands for a key where limits count a visitor by it; `None` for a consumer with keys.
    #[must_use]
    pub fn visitor_lineage(&self) -> Option<KeyId> {
        self.is_visitor().then(|| KeyId::standing_for(&self.0))
    }

    /// Whether that is the id of somebody without a key.
    pub(crate) fn is_visitor(&self) -> bool {
        self.0.starts_with(VISITOR)
    }
}

impl FromStr for ConsumerId {
    type Err = ConsumerIdError;

    fn from_str(text: &str) -> Result<Self, ConsumerIdError> {
        Self::parse(text)
    }
}

impl fmt::Display for ConsumerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for ConsumerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl Serialize for ConsumerId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for ConsumerId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// What a store knows of one key. The key's text is not in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct KeyRecord {
    /// The public handle.
    pub id: KeyId,
    /// What the key's text hashes to.
    pub digest: KeyDigest,
    /// The key as people may see it: `prefix_env_…last4`.
    pub hint: KeyHint,
    /// A name for people, such as "CI"; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Who owns the key.
    pub consumer: ConsumerId,
    /// The plan that holds it to its limits, by name, so that an edit of the plan reaches it.
    pub plan: Name,
    /// What the key may do, under the ceiling of its plan. Empty grants nothing.
    #[serde(default)]
    pub scopes: ScopeSet,
    /// Facts for the handler, such as a country; see [`Identity::attribute`].
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
    /// Where and how it may be used.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub constraints: Vec<Constraint>,
    /// Whether it is in use at all.
    pub status: KeyStatus,
    /// When it was issued.
    pub created: DateTime<Utc>,
    /// It is refused before this instant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<DateTime<Utc>>,
    /// It is refused from this instant on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<DateTime<Utc>>,
    /// The first key of its chain of rotations, itself if never rotated: the owner of the counters
    /// of per-key limits, which therefore survive a rotation.
    pub lineage: KeyId,
    /// The key it was rotated to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub successor: Option<KeyId>,
    /// Grows by one with every change; a write names the revision it makes.
    pub revision: u64,
}

/// Whether a key is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum KeyStatus {
    /// In use.
    Active,
    /// Switched off, and can be switched on again.
    Disabled,
    /// Ended for good.
    Revoked,
}

impl KeyRecord {
    /// Whether `presented` is the digest of this record's key, and the key is in use at `now`. The
    /// digests are compared in constant time.
    ///
    /// # Errors
    /// The first of: unknown, disabled or revoked, not yet valid, expired.
    pub fn authenticate(&self, presented: &KeyDigest, now: Timestamp) -> Result<(), Reason> {
        if !self.digest.matches(presented) {
            return Err(Reason::UnknownKey);
        }
        match self.status {
            KeyStatus::Active => {}
            KeyStatus::Disabled => return Err(Reason::DisabledKey),
            KeyStatus::Revoked => return Err(Reason::RevokedKey),
        }
        if self.not_before.is_some_and(|start| now < start.into()) {
            return Err(Reason::KeyNotYetValid);
        }
        if self.expires.is_some_and(|end| Timestamp::from(end) <= now) {
            return Err(Reason::ExpiredKey);
        }
        Ok(())
    }
}

/// An authenticated consumer, with its key, scopes and plan; or an anonymous one, where the gate
/// admits such.
///
/// Only the gate makes one, by authenticating a request: holding one is proof. Cheap to clone.
#[derive(Clone)]
pub struct Identity {
    known: Known,
    plan: Arc<Plan>,
}

#[derive(Clone)]
enum Known {
    Key(Arc<KeyRecord>),
    /// Nobody in particular, by where the request came from.
    Anonymous {
        consumer: ConsumerId,
        lineage: KeyId,
    },
}

impl Identity {
    /// To be called only after [`KeyRecord::authenticate`] agreed.
    pub(crate) fn new(record: Arc<KeyRecord>, plan: Arc<Plan>) -> Self {
        Self { known: Known::Key(record), plan }
    }

    /// Whoever calls without a key; `consumer` names where from.
    pub(crate) fn anonymous(consumer: ConsumerId, plan: Arc<Plan>) -> Self {
        let lineage = KeyId::standing_for(consumer.as_str());
        Self { known: Known::Anonymous { consumer, lineage }, plan }
    }

    /// Who owns the key. For an anonymous caller, its address: `ip:203.0.113.7`, or the network
    /// `ip:2001:db8:1:2::/64`.
    #[must_use]
    pub fn consumer(&self) -> &ConsumerId {
        match &self.known {
            Known::Key(record) => &record.consumer,
            Known::Anonymous { consumer, .. } => consumer,
        }
    }

    /// The key's public handle; `None` for an anonymous caller.
    #[must_use]
    pub fn key_id(&self) -> Option<KeyId> {
        self.record().map(|record| record.id)
    }

    /// Whether it came without a key, under the plan for such.
    #[must_use]
    pub fn is_anonymous(&self) -> bool {
        self.record().is_none()
    }

    /// The plan that holds it to its limits.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// All the store knows of the key; `None` for an anonymous caller.
    #[must_use]
    pub fn record(&self) -> Option<&Arc<KeyRecord>> {
        match &self.known {
            Known::Key(record) => Some(record),
            Known::Anonymous { .. } => None,
        }
    }

    /// A fact kept with the key for the handler, such as a country.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.record()?.attributes.get(name).map(String::as_str)
    }

    /// Whether both the key and its plan grant this scope; for an anonymous caller, its plan.
    #[must_use]
    pub fn may(&self, scope: &Scope) -> bool {
        self.record().is_none_or(|record| record.scopes.covers(scope))
            && self.plan.scopes().covers(scope)
    }

    /// Who owns the counters that are kept by key.
    pub(crate) fn lineage(&self) -> KeyId {
        match &self.known {
            Known::Key(record) => record.lineage,
            Known::Anonymous { lineage, .. } => *lineage,
        }
    }

    /// Whether what the other is charged is counted where this one's is.
    pub(crate) fn pays_as(&self, other: &Self) -> bool {
        self.consumer() == other.consumer() && self.lineage() == other.lineage()
    }

    /// Checks the constraints of the key and what a route demands of its scopes.
    ///
    /// # Errors
    /// [`Reason::InsufficientScope`] if a query is not met by what both key and plan grant.
    pub fn authorize(&self, required: &[ScopeQuery]) -> Result<(), Reason> {
        let constraints = self.record().into_iter().flat_map(|record| &record.constraints);
        constraints.into_iter().try_for_each(Constraint::check)?;
        if required.iter().all(|query| query.is_met_by(|scope| self.may(scope))) {
            Ok(())
        } else {
            Err(Reason::InsufficientScope)
        }
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("consumer", self.consumer())
            .field("key_id", &self.key_id())
            .field("plan", self.plan.name())
            .finish_non_exhaustive()
    }
}
