use std::{sync::Arc, time::Duration};

use keygate::{Gate, keyring::NewKey, memory::MemoryKeys, plan::Plans, port::KeyStore};
use keygate_redis::RedisStore;
use keygate_tests::{PATIENCE, RedisServer, calm_zone};
use tokio::time::{Instant, sleep};

use crate::{
    load::{Customer, Load, Policy},
    report::{Measured, Report},
};

pub(crate) const REPLICAS: usize = 2;
pub(crate) const PACE: u64 = 250;
pub(crate) const BURST: u64 = 100;

/// Longer than any window of these plans, and what is added to that.
const LONGEST_MILLIS: i64 = (24 * 3600 + 600) * 1000;

/// How a scene is set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting {
    /// Units of all closed quotas together: about 500 a second are asked for.
    pub(crate) quota: u64,
    /// Into how many consumers each policy is split: more lie on more nodes.
    pub(crate) split: usize,
    /// Whether records and plans are kept here: an emptied Redis has none any more.
    pub(crate) own_records: bool,
}

impl Default for Setting {
    fn default() -> Self {
        Self { quota: 5_000, split: 1, own_records: false }
    }
}

/// Two replicas of a service, under load.
pub(crate) struct Scene {
    setting: Setting,
    stores: Vec<RedisStore>,
    customers: Vec<(Customer, usize)>,
    load: Load,
    begun: Instant,
    before: [u64; KINDS],
}

/// How long all goes well before the fault.
const WARM: Duration = Duration::from_millis(5_500);

const KINDS: usize = keygate_redis::FaultKind::ALL.len();

impl Scene {
    pub(crate) async fn on(url: &str, setting: Setting) -> Self {
        let mut stores = Vec::new();
        for _ in 0..REPLICAS {
            stores.push(RedisStore::connect(url).await.unwrap());
        }
        let gates = gates(&stores, setting).await;
        let customers = customers(&gates[0], setting).await;
        let (begun, load) = (Instant::now(), Load::on(&gates, &customers));
        let scene = Self { setting, stores, customers, load, begun, before: [0; KINDS] };
        scene.warm().await;
        Self { before: scene.faults(), ..scene }
    }

    /// Waits until the circuit breaker has seen nothing but success for longer than it looks back.
    async fn warm(&self) {
        sleep(WARM).await;
        let warm = || self.load.has_admitted(&self.customers, self.quota() / 4);
        until("the load gets going", warm).await;
    }

    /// Waits until every consumer is counted again at every replica.
    pub(crate) async fn recovers(&self, since: Instant) {
        until("decisions succeed again", || self.load.is_counted_since(since)).await;
    }

    /// Goes on until every closed quota is used up, and ends.
    pub(crate) async fn end(
        self,
        fault: &'static str,
        struck: Instant,
        reachable: Instant,
    ) -> Report {
        self.recovers(reachable).await;
        until("the quotas are used up", || self.load.is_exhausted(&self.customers)).await;
        sleep(Duration::from_millis(500)).await;
        let kinds = self.faults();
        let quota = self.quota();
        let decisions = self.load.end().await;
        for store in &self.stores {
            assert_eq!(store.health().in_flight(), 0, "a call is still under way");
        }
        let kinds: Vec<_> = keygate_redis::FaultKind::ALL
            .iter()
            .zip(kinds.iter().zip(&self.before).map(|(now, before)| now - before))
            .filter(|(_, count)| *count > 0)
            .map(|(kind, count)| (*kind, count))
            .collect();
        let (begun, ended) = (self.begun, Instant::now());
        Report::of(Measured { fault, quota, begun, ended, struck, reachable, kinds, decisions })
    }

    fn quota(&self) -> u64 {
        self.setting.quota / self.setting.split as u64
    }

    fn faults(&self) -> [u64; KINDS] {
        let mut faults = [0; KINDS];
        for store in &self.stores {
            let health = store.health();
            for (sum, kind) in faults.iter_mut().zip(keygate_redis::FaultKind::ALL) {
                *sum += health.faults(*kind);
            }
        }
        faults
    }
}

async fn gates(stores: &[RedisStore], setting: Setting) -> Vec<Arc<Gate>> {
    let text = plans(setting);
    let builders: Vec<_> = if setting.own_records {
        let plans = Plans::from_toml(&text).unwrap();
        let keys: Arc<dyn KeyStore> = Arc::new(MemoryKeys::default());
        let builder = |store: &RedisStore| {
            let builder = Gate::builder(plans.clone()).keys(Arc::clone(&keys));
            builder.counters(store.counters())
        };
        stores.iter().map(builder).collect()
    } else {
        stores[0].stored_plans().apply(&text, None).await.unwrap();
        until("the plans are in force", || {
            stores.iter().all(|store| store.plans().load().find("share").is_some())
        })
        .await;
        stores.iter().map(RedisStore::gate).collect()
    };
    builders.into_iter().map(|builder| builder.build().unwrap()).collect()
}

fn plans(setting: Setting) -> String {
    let (quota, zone) = (setting.quota / setting.split as u64, calm_zone());
    let (pace, burst) = (PACE / setting.split as u64, BURST / setting.split as u64);
    format!(
        r#"
        [plans.closed]
        limits = [
          {{ name = "daily", quota = {quota}, per = "day", zone = "{zone}" }},
          {{ name = "own", quota = 1000000, per = "day", zone = "{zone}", partition = "key" }},
        ]

        [plans.open]
        limits = [{{ name = "pace", rate = "{pace}/s", burst = {burst} }}]

        [plans.share]
        limits = [{{ name = "shared", rate = "{pace}/s", burst = {burst}, on_failure = "local_share" }}]
        "#
    )
}

/// By task and replica, of 16: eight closed, six open, two with a local share.
async fn customers(gate: &Arc<Gate>, setting: Setting) -> Vec<(Customer, usize)> {
    let mut customers = Vec::new();
    let policies = [
        ("closed", Policy::Closed, 8),
        ("open", Policy::Open, 6),
        ("share", Policy::LocalShare, 2),
    ];
    for (plan, policy, tasks) in policies {
        for place in 0..setting.split {
            let key = NewKey::new(format!("{plan}-{place}"), plan);
            let issued = gate.keyring().issue(key).await.unwrap();
            let (number, key) = (customers.len(), issued.key.expose().to_owned());
            let tasks = (tasks / setting.split).max(1);
            customers.push((Customer { number, policy, key }, tasks));
        }
    }
    customers
}

/// Waits until it is so.
pub(crate) async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "never: {what}");
        sleep(Duration::from_millis(2)).await;
    }
}

/// Every key expires, but those of records and plans, and counters within a period.
pub(crate) fn assert_everything_expires(servers: &[&RedisServer]) {
    for server in servers {
        for key in server.keys().iter().filter(|key| !key.contains("{keys}")) {
            let left: i64 = server.cli(&["pttl", key]).parse().unwrap();
            // One may be gone by now, or go within this millisecond.
            assert!(left >= 0 || left == -2, "{key} never expires: PTTL says {left}");
            let within = !key.contains(":limits:") || left <= LONGEST_MILLIS;
            assert!(within, "{key} lives {left} ms");
        }
    }
}
