//! The store of the services.

use std::time::Duration;

use keygate::Plans;
use keygate_redis::{Address, ConnectError, RedisPlans, RedisStore};

use crate::{args::Global, error::Failure};

/// How long a charge may take: an operator waits longer than a request.
const DEADLINE: Duration = Duration::from_secs(2);

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
        Ok(Self { redis: builder.connect().await? })
    }

    pub(crate) fn stored_plans(&self) -> &RedisPlans {
        self.redis.stored_plans()
    }

    /// The plans in force; none when none were ever applied.
    pub(crate) async fn plans(&self) -> Result<Plans, Failure> {
        Ok(self.stored_plans().load().await?.map(|stored| stored.plans).unwrap_or_default())
    }
}
