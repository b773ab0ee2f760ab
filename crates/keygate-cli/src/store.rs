//! The store of the services.

use std::{sync::Arc, time::Duration};

use keygate::{
    Gate, Keyring, Plans,
    key::{Digester, KeyFormat, KeyId},
    keyring::KeyringError,
    port::{CounterStore, KeyFilter, KeyStore, UsageStore},
    record::{ConsumerId, KeyRecord},
};
use keygate_redis::{Address, ConnectError, RedisPlans, RedisStore};

use crate::{args::Global, error::Failure};

/// How long a charge may take: an operator waits longer than a request.
const DEADLINE: Duration = Duration::from_secs(2);

/// How many records are read at once.
const PAGE: usize = 500;

/// A connection to the store.
pub(crate) struct Store {
    redis: RedisStore,
}

impl Store {
    pub(crate) async fn connect(global: &Global) -> Result<Self, Failure> {
        let url = global.store.as_deref().filter(|url| !url.is_empty()).ok_or_else(|| {
            let fix = "give --store redis://…, or set KEYGATE_STORE";
            Failure::Usage(format!("it is not said where the store is; {fix}"))
        })?;
        let address = Address::parse(url).map_err(ConnectError::from)?;
        let builder = RedisStore::at(address).prefix(&global.prefix).deadline(DEADLINE);
        Ok(Self { redis: builder.looks_on().connect().await? })
    }

    pub(crate) fn keys(&self) -> Arc<dyn KeyStore> {
        self.redis.keys()
    }

    pub(crate) fn counters(&self) -> Arc<dyn CounterStore> {
        self.redis.counters()
    }

    pub(crate) fn usage(&self) -> Arc<dyn UsageStore> {
        self.redis.usage()
    }

    pub(crate) fn stored_plans(&self) -> &RedisPlans {
        self.redis.stored_plans()
    }

    /// The plans in force; none when none were ever applied.
    pub(crate) async fn plans(&self) -> Result<Plans, Failure> {
        Ok(self.stored_plans().load().await?.map(|stored| stored.plans).unwrap_or_default())
    }

    /// A keyring for these plans, which makes keys of this form, digested this way.
    pub(crate) fn keyring(
        &self,
        plans: Plans,
        format: KeyFormat,
        digester: Digester,
    ) -> Result<Keyring, Failure> {
        let gate = Gate::builder(plans).keys(self.keys()).key_format(format).digester(digester);
        let gate = gate.build().map_err(|error| Failure::Usage(error.to_string()))?;
        Ok(gate.keyring())
    }

    /// The record of a key.
    pub(crate) async fn record(&self, id: KeyId) -> Result<Arc<KeyRecord>, Failure> {
        let record = self.keys().load(id).await?;
        Ok(record.ok_or(KeyringError::UnknownKey { id })?)
    }

    /// The records of all keys of a consumer.
    pub(crate) async fn records_of(
        &self,
        consumer: &ConsumerId,
    ) -> Result<Vec<Arc<KeyRecord>>, Failure> {
        let records = self.records(KeyFilter::default().consumer(consumer.clone()), None).await?;
        if records.is_empty() {
            let fix = "`keygate keys list` shows who has some";
            return Err(Failure::Refused(format!("this consumer has no keys; {fix}")));
        }
        Ok(records)
    }

    /// The records that a filter selects, page by page, `most` of them if it is given.
    pub(crate) async fn records(
        &self,
        mut filter: KeyFilter,
        most: Option<usize>,
    ) -> Result<Vec<Arc<KeyRecord>>, Failure> {
        let most = most.unwrap_or(usize::MAX);
        let mut records = Vec::new();
        loop {
            filter.most = PAGE.min(most.saturating_sub(records.len()));
            if filter.most == 0 {
                return Ok(records);
            }
            let page = self.keys().list(&filter).await?;
            let is_last = page.len() < filter.most;
            filter.after = page.last().map(|record| record.id);
            records.extend(page);
            if is_last {
                return Ok(records);
            }
        }
    }
}
