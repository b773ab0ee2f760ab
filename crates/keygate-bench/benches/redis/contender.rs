use std::{sync::Arc, time::Duration};

use keygate::{
    Plans,
    key::KeyId,
    plan::Limit,
    port::{Charge, CounterStore},
    record::ConsumerId,
};
use keygate_bench::by_hand::ByHand;
use keygate_redis::{Address, RedisStore};
use keygate_tests::RedisServer;

/// Long enough for a machine that does much else: what is late shall be seen, not dropped.
const DEADLINE: Duration = Duration::from_secs(2);

/// No benchmark comes near any of them.
const PLANS: &str = r#"
[plans.one]
limits = [
    { name = "burst", rate = "100/s", burst = 900_000_000 },
]

[plans.three]
limits = [
    { name = "burst", rate = "100/s", burst = 900_000_000 },
    { name = "daily", quota = 1_000_000_000_000, per = "day", zone = "Europe/Paris" },
    { name = "monthly", quota = 30_000_000_000_000, per = "month", anchor = 15 },
]

[plans.eight]
limits = [
    { name = "burst", rate = "100/s", burst = 900_000_000 },
    { name = "daily", quota = 1_000_000_000_000, per = "day", zone = "Europe/Paris" },
    { name = "monthly", quota = 30_000_000_000_000, per = "month", anchor = 15 },
    { name = "steady", rate = "1000/min", burst = 900_000_000 },
    { name = "hourly", quota = 1_000_000_000_000, per = "hour" },
    { name = "nightly", quota = 1_000_000_000_000, per = "day" },
    { name = "searches", rate = "10/s", burst = 900_000_000 },
    { name = "weekly", quota = 1_000_000_000_000, per = "week" },
]
"#;

/// Somebody who decides about requests of numbered subjects.
#[derive(Clone)]
pub(crate) enum Contender {
    Keygate(Arc<Keygate>),
    ByHand(Arc<Written>),
}

pub(crate) struct Keygate {
    _store: RedisStore,
    counters: Arc<dyn CounterStore>,
    limits: Arc<[Limit]>,
    consumers: Vec<ConsumerId>,
    key: KeyId,
}

pub(crate) struct Written {
    script: ByHand,
    subjects: Vec<String>,
}

impl Contender {
    /// keygate, with the limits of a plan: `one`, `three` or `eight`.
    pub(crate) async fn keygate(redis: &RedisServer, plan: &str, subjects: usize) -> Self {
        let address = Address::parse(&redis.url()).expect("an address");
        let builder = RedisStore::at(address).deadline(DEADLINE).prefix(plan);
        let store = builder.connect().await.expect("a store");
        let plans = Plans::from_toml(PLANS).expect("plans");
        let limits = Arc::clone(plans.find(plan).expect("a plan").limits());
        let consumers = names(subjects).map(|name| name.parse().expect("an id")).collect();
        let key = KeyId::random().expect("randomness");
        Self::Keygate(Arc::new(Keygate {
            counters: store.counters(),
            _store: store,
            limits,
            consumers,
            key,
        }))
    }

    pub(crate) async fn by_hand(redis: &RedisServer, subjects: usize) -> Self {
        let script = ByHand::connect(&redis.url()).await.expect("a connection");
        Self::ByHand(Arc::new(Written { script, subjects: names(subjects).collect() }))
    }

    /// Decides about a request of this subject. Whatever is not admitted is a mistake of the benchmark.
    pub(crate) async fn decide(&self, subject: usize) {
        match self {
            Self::Keygate(it) => {
                let consumer = &it.consumers[subject % it.consumers.len()];
                let charge =
                    Charge { consumer, key: it.key, limits: &it.limits, cost: 1, slot: None };
                let readings = it.counters.charge(&charge).await.expect("an answer");
                assert!(readings.iter().all(|reading| reading.within), "{readings:?}");
            }
            Self::ByHand(it) => {
                let subject = &it.subjects[subject % it.subjects.len()];
                let checked = it.script.check(subject).await.expect("an answer");
                assert!(checked.admitted, "{checked:?}");
            }
        }
    }
}

/// As long as ids are that services make.
fn names(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(|number| format!("cus_{number:010}"))
}
