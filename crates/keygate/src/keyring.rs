//! The life of keys: issue, find, list, disable, enable, rotate, revoke.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};

use crate::{
    clock::Clock,
    key::{ApiKey, Digester, EntropyError, KeyFormat, KeyId},
    plan::{LivePlans, Name, Plans},
    port::{Commit, KeyFilter, KeyStore, StoreError},
    record::{ConsumerId, ConsumerIdError, KeyRecord, KeyStatus},
    scope::{Scope, ScopeError, ScopeSet},
};

/// The longest name of a key and the longest name or value of an attribute, in bytes.
pub const MAX_TEXT_LEN: usize = 256;

/// How often a change is tried again when somebody else changed the same key in between.
const TRIES: usize = 8;

/// Issues and manages keys. A gate hands one out that fits it; cheap to clone.
#[derive(Clone, Debug)]
pub struct Keyring {
    store: Arc<dyn KeyStore>,
    plans: LivePlans,
    format: KeyFormat,
    digester: Arc<Digester>,
    clock: Arc<dyn Clock>,
}

/// A key that was just made: the only moment its text is known.
#[derive(Debug)]
#[must_use = "the key's text is known only now"]
pub struct Issued {
    /// The secret text, to be shown once.
    pub key: ApiKey,
    /// What the store keeps.
    pub record: KeyRecord,
}

impl Keyring {
    pub(crate) fn new(
        store: Arc<dyn KeyStore>,
        plans: LivePlans,
        format: KeyFormat,
        digester: Arc<Digester>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { store, plans, format, digester, clock }
    }

    /// Makes a key.
    ///
    /// # Errors
    /// If a field of `new` is impossible, its plan unknown, or the store or the system's generator
    /// fails.
    pub async fn issue(&self, new: NewKey) -> Result<Issued, KeyringError> {
        let wanted = new.check(&self.plans.peek(), self.clock.now().to_datetime())?;
        let issued = self.make(wanted, None)?;
        self.commit_new(issued).await
    }

    /// The record of a key; `None` if there is none.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn find(&self, id: KeyId) -> Result<Option<Arc<KeyRecord>>, KeyringError> {
        Ok(self.store.load(id).await?)
    }

    /// A page of records, ordered by id.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn list(&self, filter: &KeyFilter) -> Result<Vec<Arc<KeyRecord>>, KeyringError> {
        Ok(self.store.list(filter).await?)
    }

    /// Ends a key for good. Revoking a revoked key changes nothing.
    ///
    /// # Errors
    /// If there is no such key, or the store fails.
    pub async fn revoke(&self, id: KeyId) -> Result<KeyRecord, KeyringError> {
        self.change_status(id, KeyStatus::Revoked).await
    }

    /// Switches a key off.
    ///
    /// # Errors
    /// If there is no such key, it is revoked, or the store fails.
    pub async fn disable(&self, id: KeyId) -> Result<KeyRecord, KeyringError> {
        self.change_status(id, KeyStatus::Disabled).await
    }

    /// Switches a disabled key on.
    ///
    /// # Errors
    /// If there is no such key, it is revoked, or the store fails.
    pub async fn enable(&self, id: KeyId) -> Result<KeyRecord, KeyringError> {
        self.change_status(id, KeyStatus::Active).await
    }

    /// Moves a key to another plan. What it used under limits of the same names stays used.
    ///
    /// # Errors
    /// If the plan or the key is unknown, the key is revoked, or the store fails.
    pub async fn move_to_plan(&self, id: KeyId, plan: &str) -> Result<KeyRecord, KeyringError> {
        let plan = known_plan(&self.plans.peek(), plan)?;
        self.change(id, |record| {
            refuse_revoked(record)?;
            record.plan = plan.clone();
            Ok(())
        })
        .await
    }

    /// Makes the successor of a key: same consumer, plan, scopes, attributes, dates and counters,
    /// another text. The old key goes on working for `grace`, but never beyond its own expiry.
    ///
    /// # Errors
    /// If there is no such key, it is revoked, expired or rotated already, or the store fails.
    pub async fn rotate(&self, id: KeyId, grace: Duration) -> Result<Issued, KeyringError> {
        for _ in 0..TRIES {
            let mut old = self.load(id).await?;
            let now = self.clock.now();
            refuse_revoked(&old)?;
            if old.expires.is_some_and(|end| end <= now.to_datetime()) {
                return Err(KeyringError::Expired { id });
            }
            if let Some(successor) = old.successor {
                return Err(KeyringError::Rotated { id, successor });
            }
            let issued = self.make(Wanted::like(&old), Some(old.lineage))?;
            let grace_ends = now.saturating_add(grace).to_datetime();
            old.expires = Some(old.expires.map_or(grace_ends, |end| end.min(grace_ends)));
            old.successor = Some(issued.record.id);
            old.revision = old.revision.saturating_add(1);
            match self.store.commit(&[old, issued.record.clone()]).await? {
                Commit::Done => return Ok(issued),
                Commit::Conflict => {}
            }
        }
        Err(KeyringError::Contended { id })
    }

    fn make(&self, wanted: Wanted, lineage: Option<KeyId>) -> Result<Issued, KeyringError> {
        let key = self.format.mint()?;
        let id = KeyId::random()?;
        let record = KeyRecord {
            id,
            digest: self.digester.digest(key.expose().as_bytes()),
            hint: key.hint(),
            name: wanted.name,
            consumer: wanted.consumer,
            plan: wanted.plan,
            scopes: wanted.scopes,
            attributes: wanted.attributes,
            constraints: wanted.constraints,
            status: wanted.status,
            created: self.clock.now().to_datetime(),
            not_before: wanted.not_before,
            expires: wanted.expires,
            lineage: lineage.unwrap_or(id),
            successor: None,
            revision: 0,
        };
        Ok(Issued { key, record })
    }

    async fn commit_new(&self, issued: Issued) -> Result<Issued, KeyringError> {
        match self.store.commit(std::slice::from_ref(&issued.record)).await? {
            Commit::Done => Ok(issued),
            Commit::Conflict => Err(KeyringError::Contended { id: issued.record.id }),
        }
    }

    async fn change_status(&self, id: KeyId, to: KeyStatus) -> Result<KeyRecord, KeyringError> {
        self.change(id, |record| {
            if to != KeyStatus::Revoked {
                refuse_revoked(record)?;
            }
            record.status = to;
            Ok(())
        })
        .await
    }

    async fn change(
        &self,
        id: KeyId,
        edit: impl Fn(&mut KeyRecord) -> Result<(), KeyringError>,
    ) -> Result<KeyRecord, KeyringError> {
        for _ in 0..TRIES {
            let before = self.load(id).await?;
            let mut record = before.clone();
            edit(&mut record)?;
            if record == before {
                return Ok(record);
            }
            record.revision = record.revision.saturating_add(1);
            match self.store.commit(std::slice::from_ref(&record)).await? {
                Commit::Done => return Ok(record),
                Commit::Conflict => {}
            }
        }
        Err(KeyringError::Contended { id })
    }

    async fn load(&self, id: KeyId) -> Result<KeyRecord, KeyringError> {
        let record = self.store.load(id).await?.ok_or(KeyringError::UnknownKey { id })?;
        Ok(Arc::unwrap_or_clone(record))
    }
}

/// A key to be made: for whom and on which plan, and what else is known of it.
///
/// ```
/// use keygate::keyring::NewKey;
///
/// let new = NewKey::new("acme", "free").name("CI").scopes(["orders:read"]).attribute("country", "FR");
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct NewKey {
    consumer: String,
    plan: String,
    name: String,
    scopes: Vec<String>,
    attributes: BTreeMap<String, String>,
    not_before: Option<DateTime<Utc>>,
    expires: Option<DateTime<Utc>>,
}

impl NewKey {
    /// A key for this consumer on this plan, without any scope.
    pub fn new(consumer: impl Into<String>, plan: impl Into<String>) -> Self {
        Self {
            consumer: consumer.into(),
            plan: plan.into(),
            name: String::new(),
            scopes: Vec::new(),
            attributes: BTreeMap::new(),
            not_before: None,
            expires: None,
        }
    }

    /// A name for people.
    pub fn name(self, name: impl Into<String>) -> Self {
        Self { name: name.into(), ..self }
    }

    /// Adds to what it may do, under the ceiling of its plan.
    pub fn scopes<S: Into<String>>(mut self, scopes: impl IntoIterator<Item = S>) -> Self {
        self.scopes.extend(scopes.into_iter().map(Into::into));
        self
    }

    /// Adds a fact for the handler.
    pub fn attribute(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.attributes.insert(name.into(), value.into());
        self
    }

    /// Refused before this instant.
    pub fn not_before(self, at: DateTime<Utc>) -> Self {
        Self { not_before: Some(at), ..self }
    }

    /// Refused from this instant on.
    pub fn expires(self, at: DateTime<Utc>) -> Self {
        Self { expires: Some(at), ..self }
    }

    fn check(self, plans: &Plans, now: DateTime<Utc>) -> Result<Wanted, KeyringError> {
        let scopes = self.scopes.iter().map(|scope| scope.parse::<Scope>());
        let texts = self.attributes.iter().flat_map(|(name, value)| [name, value]);
        for (field, text) in texts.map(|text| ("attributes", text)).chain([("name", &self.name)]) {
            if text.len() > MAX_TEXT_LEN {
                return Err(KeyringError::TooLong { field, given: text.len() });
            }
        }
        if let Some(expires) = self.expires
            && expires <= self.not_before.map_or(now, |start| start.max(now))
        {
            return Err(KeyringError::NeverValid { expires });
        }
        let consumer = ConsumerId::parse(&self.consumer)?;
        if consumer.is_visitor() {
            return Err(KeyringError::Visitor { given: consumer });
        }
        Ok(Wanted {
            consumer,
            plan: known_plan(plans, &self.plan)?,
            scopes: scopes.collect::<Result<ScopeSet, _>>()?,
            name: self.name,
            attributes: self.attributes,
            constraints: Vec::new(),
            status: KeyStatus::Active,
            not_before: self.not_before,
            expires: self.expires,
        })
    }
}

/// What a new record takes from its maker, checked.
struct Wanted {
    consumer: ConsumerId,
    plan: Name,
    name: String,
    scopes: ScopeSet,
    attributes: BTreeMap<String, String>,
    constraints: Vec<crate::constraint::Constraint>,
    status: KeyStatus,
    not_before: Option<DateTime<Utc>>,
    expires: Option<DateTime<Utc>>,
}

impl Wanted {
    fn like(old: &KeyRecord) -> Self {
        Self {
            consumer: old.consumer.clone(),
            plan: old.plan.clone(),
            name: old.name.clone(),
            scopes: old.scopes.clone(),
            attributes: old.attributes.clone(),
            constraints: old.constraints.clone(),
            status: old.status,
            not_before: old.not_before,
            expires: old.expires,
        }
    }
}

fn known_plan(plans: &Plans, name: &str) -> Result<Name, KeyringError> {
    plans
        .find(name)
        .map(|plan| plan.name().clone())
        .ok_or_else(|| KeyringError::UnknownPlan { given: name.to_owned(), known: plans.names() })
}

fn refuse_revoked(record: &KeyRecord) -> Result<(), KeyringError> {
    match record.status {
        KeyStatus::Revoked => Err(KeyringError::Revoked { id: record.id }),
        KeyStatus::Active | KeyStatus::Disabled => Ok(()),
    }
}

/// Why a key could not be made or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyringError {
    /// The consumer's id is impossible.
    #[error(transparent)]
    Consumer(#[from] ConsumerIdError),
    /// The consumer's id is that of somebody without a key, who would share its counters.
    #[error(
        "consumer `{given}` is a caller without a key, by its address; use an id that does not begin with `ip:`"
    )]
    Visitor {
        /// What was given.
        given: ConsumerId,
    },
    /// A scope does not parse.
    #[error("scopes: {0}")]
    Scope(#[from] ScopeError),
    /// No such plan.
    #[error("plan `{}` is unknown; the plans are: {known}", .given.escape_debug())]
    UnknownPlan {
        /// What was given.
        given: String,
        /// The plans there are.
        known: String,
    },
    /// A text is too long.
    #[error("{field} holds a text of {given} bytes; at most {MAX_TEXT_LEN} are possible")]
    TooLong {
        /// The field at fault.
        field: &'static str,
        /// Its length in bytes.
        given: usize,
    },
    /// It would expire before it could be used.
    #[error("expires is {expires}, but must be after now and after not_before")]
    NeverValid {
        /// What was given.
        expires: DateTime<Utc>,
    },
    /// No such key.
    #[error("{id} is unknown")]
    UnknownKey {
        /// The key asked for.
        id: KeyId,
    },
    /// A revoked key does not come back.
    #[error("{id} is revoked, and that is for good; issue another key")]
    Revoked {
        /// The key asked for.
        id: KeyId,
    },
    /// An expired key has nothing to hand over.
    #[error("{id} has expired; issue another key")]
    Expired {
        /// The key asked for.
        id: KeyId,
    },
    /// A key is rotated once; its successor can be rotated again.
    #[error("{id} was rotated to {successor}; rotate that one")]
    Rotated {
        /// The key asked for.
        id: KeyId,
        /// The key that followed it.
        successor: KeyId,
    },
    /// Others changed the same key again and again.
    #[error("{id} is being changed by others; try again")]
    Contended {
        /// The key asked for.
        id: KeyId,
    },
    /// The system's generator failed.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
