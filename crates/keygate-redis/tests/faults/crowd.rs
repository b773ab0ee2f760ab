//! Requests that take their time, at a plan that limits how many are at it at once.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use keygate::{Gate, keyring::NewKey, memory::MemoryKeys, plan::Plans, port::KeyStore};
use keygate_redis::{Address, RedisStore};
use keygate_tests::{RedisServer, calm_zone};
use tokio::{
    task::JoinHandle,
    time::{Instant, MissedTickBehavior, interval, sleep, timeout},
};

use crate::{
    load::{Customer, Decision, HUNG, Outcome, Policy, knock, refused},
    report::{DUE, Latency, MARGIN, assert_policies, recovered},
    scene::{REPLICAS, until},
};

/// Requests of a consumer that may be under way at once.
pub(crate) const SLOTS: u64 = 4;

/// What a replica that is gone held is free after this; what Redis has lost is held again after a third.
pub(crate) const LEASE: Duration = Duration::from_secs(3);

/// By so much a renewal may be late.
const LATE: Duration = Duration::from_secs(1);

const CONSUMERS: usize = 4;

/// Tasks of a consumer at a replica: 32 that decide every 32 ms are a thousand decisions a second.
const TASKS: usize = 4;
const EVERY: Duration = Duration::from_millis(32);

/// How long a request is at it; that of the first task of each takes the time that others need for dozens.
const SHORT: Duration = Duration::from_millis(12);
const LONG: Duration = Duration::from_millis(1_500);

/// How long all goes well before the fault.
const WARM: Duration = Duration::from_millis(5_500);

#[derive(Debug)]
struct Told {
    stop: AtomicBool,
    /// By consumer: how many requests are under way at both replicas, as their handlers count themselves.
    inside: Vec<AtomicU64>,
}

/// One that was let in, and how many were inside with it.
#[derive(Clone, Copy, Debug)]
struct Entry {
    at: Instant,
    inside: u64,
}

/// Two replicas of a service, and many who want to be served at once.
pub(crate) struct Crowd {
    stores: Vec<RedisStore>,
    told: Arc<Told>,
    tasks: Vec<JoinHandle<(Vec<Decision>, Vec<Entry>)>>,
}

impl Crowd {
    pub(crate) async fn at(url: &str) -> Self {
        let (plans, keys) = (Plans::from_toml(&plans()).unwrap(), Arc::<MemoryKeys>::default());
        let (mut stores, mut gates) = (Vec::new(), Vec::new());
        for _ in 0..REPLICAS {
            let address = Address::parse(url).unwrap();
            let store = RedisStore::at(address).slot_lease(LEASE).connect().await.unwrap();
            let keys = Arc::clone(&keys) as Arc<dyn KeyStore>;
            let gate = Gate::builder(plans.clone()).keys(keys).counters(store.counters());
            gates.push(Arc::new(gate.build().unwrap()));
            stores.push(store);
        }
        let inside = (0..CONSUMERS).map(|_| AtomicU64::default()).collect();
        let told = Arc::new(Told { stop: AtomicBool::new(false), inside });
        let mut tasks = Vec::new();
        for number in 0..CONSUMERS {
            let key = NewKey::new(consumer(number), "slots");
            let key = gates[0].keyring().issue(key).await.unwrap().key.expose().to_owned();
            for (replica, gate) in gates.iter().enumerate() {
                for place in 0..TASKS {
                    let customer = Customer { number, policy: Policy::Closed, key: key.clone() };
                    let stay = if place == 0 { LONG } else { SHORT };
                    let visitor = Visitor { replica, gate: Arc::clone(gate), customer, stay };
                    tasks.push(tokio::spawn(visitor.run(Arc::clone(&told))));
                }
            }
        }
        sleep(WARM).await;
        Self { stores, told, tasks }
    }

    /// Goes on for a while, ends, and looks what is left on these servers.
    pub(crate) async fn end(self, fault: &'static str, since: [Instant; 2]) -> Outcomes {
        sleep(LEASE + LATE).await;
        self.told.stop.store(true, SeqCst);
        let (mut decisions, mut entries) = (Vec::new(), Vec::new());
        for task in self.tasks {
            let (its, entered) = timeout(HUNG, task).await.expect("a task hung").unwrap();
            decisions.extend(its);
            entries.extend(entered);
        }
        decisions.sort_by_key(|decision| decision.begun);
        for store in &self.stores {
            store.close(HUNG).await.unwrap();
            assert_eq!(store.health().in_flight(), 0, "a call is still under way");
        }
        let lost = self.stores.iter().map(RedisStore::lost_settlements).sum();
        Outcomes::of(fault, since, &decisions, &entries, lost)
    }
}

pub(crate) fn consumer(number: usize) -> String {
    format!("slots-{number}")
}

fn plans() -> String {
    format!(
        r#"
        [plans.slots]
        limits = [
          {{ name = "at-once", concurrency = {SLOTS}, on_failure = "closed" }},
          {{ name = "own", concurrency = {SLOTS}, on_failure = "closed", partition = "key" }},
          {{ name = "daily", quota = 100000000, per = "day", zone = "{zone}" }},
        ]
        "#,
        zone = calm_zone(),
    )
}

struct Visitor {
    replica: usize,
    gate: Arc<Gate>,
    customer: Customer,
    stay: Duration,
}

impl Visitor {
    async fn run(self, told: Arc<Told>) -> (Vec<Decision>, Vec<Entry>) {
        let mut turn = interval(EVERY);
        turn.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut decisions, mut entries) = (Vec::new(), Vec::new());
        let Customer { number: consumer, policy, ref key } = self.customer;
        let inside = &told.inside[consumer];
        while !told.stop.load(SeqCst) {
            turn.tick().await;
            let begun = Instant::now();
            let answer = timeout(HUNG, knock(&self.gate, key)).await.expect("a decision hung");
            let (replica, took) = (self.replica, begun.elapsed());
            let outcome = match answer {
                Ok(passage) if passage.admitted().is_degraded() => Outcome::Degraded,
                Ok(passage) => {
                    let at = Instant::now();
                    entries.push(Entry { at, inside: inside.fetch_add(1, SeqCst) + 1 });
                    sleep(self.stay).await;
                    inside.fetch_sub(1, SeqCst);
                    passage.settle(Some(200));
                    Outcome::Admitted
                }
                Err(rejection) => refused(&rejection),
            };
            decisions.push(Decision { replica, consumer, policy, begun, took, outcome });
        }
        (decisions, entries)
    }
}

/// One row of the table.
pub(crate) struct Outcomes {
    fault: &'static str,
    during: Latency,
    recovery: Duration,
    /// By consumer, from the fault to the end of the recovery: decided by Redis, and refused for want of it.
    decided: Vec<[usize; 2]>,
    /// The most that were inside at once: as long as Redis was there with its data, and while it was told
    /// again what it had lost.
    most: [u64; 2],
    lost_settlements: u64,
}

impl Outcomes {
    fn of(
        fault: &'static str,
        [struck, reachable]: [Instant; 2],
        decisions: &[Decision],
        entries: &[Entry],
        lost_settlements: u64,
    ) -> Self {
        assert_policies(decisions);
        let recovered = recovered(decisions, reachable);
        let is_during = |one: &&Decision| (struck..=recovered).contains(&one.begun);
        let during: Vec<&Decision> = decisions.iter().filter(is_during).collect();
        let of = |consumer, outcomes: &[Outcome]| {
            let its =
                |one: &&&Decision| one.consumer == consumer && outcomes.contains(&one.outcome);
            during.iter().filter(its).count()
        };
        let decided = |consumer| {
            let by_redis = of(consumer, &[Outcome::Admitted, Outcome::Refused]);
            [by_redis, of(consumer, &[Outcome::Unavailable])]
        };
        let told_again = struck..reachable + LEASE / 3 + LATE;
        let most = [false, true].map(|again| {
            let counts = |entry: &&Entry| told_again.contains(&entry.at) == again;
            entries.iter().filter(counts).map(|entry| entry.inside).max().unwrap_or(0)
        });
        let outcomes = Self {
            fault,
            during: Latency::of(&during),
            recovery: recovered.duration_since(reachable),
            decided: (0..CONSUMERS).map(decided).collect(),
            most,
            lost_settlements,
        };
        println!("{outcomes}");
        outcomes
    }

    /// Nobody waited, and never were more at it than may be.
    pub(crate) fn assert_sound(&self) {
        self.assert_sound_after_a_loss();
        assert!(self.most[1] <= SLOTS, "{}: {} at once", self.fault, self.most[1]);
    }

    /// The same where Redis lost what it had written, but for the time until it is told again.
    pub(crate) fn assert_sound_after_a_loss(&self) {
        assert!(self.during.p99 <= DUE + MARGIN, "{}: decisions were late", self.fault);
        assert!(self.most[0] <= SLOTS, "{}: {} at once", self.fault, self.most[0]);
    }

    /// How often the requests of this consumer were refused for want of counters, in percent.
    pub(crate) fn percent_unavailable(&self, consumer: usize) -> usize {
        let [decided, unavailable] = self.decided[consumer];
        unavailable * 100 / (decided + unavailable).max(1)
    }
}

impl fmt::Display for Outcomes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "ROW | {} | decided / 503 by consumer {:?} | {} | recovery {} ms | at most {} of {SLOTS} \
             inside, {} while Redis was told again | {} settlements may be lost",
            self.fault,
            self.decided,
            self.during,
            self.recovery.as_millis(),
            self.most[0],
            self.most[1],
            self.lost_settlements,
        )
    }
}

/// Waits until nobody holds a slot, for no longer than a lease.
pub(crate) async fn assert_all_come_free(servers: &[&RedisServer]) {
    let start = Instant::now();
    let held = || servers.iter().map(|server| held(server)).sum::<u64>();
    let left_over = held();
    until("all slots are free", || held() == 0).await;
    let took = start.elapsed();
    println!("left over: {left_over} slots, free after {} ms", took.as_millis());
    assert!(took <= LEASE + LATE, "slots were held for longer than their lease");
}

/// How many slots are held on a server.
fn held(server: &RedisServer) -> u64 {
    let time = server.cli(&["time"]);
    let seconds: u64 = time.lines().next().unwrap().parse().unwrap();
    let now = (seconds * 1_000).to_string();
    let keys = server.keys().into_iter().filter(|key| key.contains(":slots:"));
    keys.map(|key| server.cli(&["zcount", &key, &now, "+inf"]).parse::<u64>().unwrap()).sum()
}
