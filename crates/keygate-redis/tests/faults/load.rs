use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use keygate::{
    Gate,
    requirement::Requirement,
    verdict::{Caller, Passage, Reason, Rejection},
    wire::RequestHead,
};
use tokio::{
    task::JoinHandle,
    time::{Instant, MissedTickBehavior, interval, timeout},
};

/// 32 tasks that decide every 32 ms are a thousand decisions a second.
const EVERY: Duration = Duration::from_millis(32);

/// A decision that takes longer hangs.
pub(crate) const HUNG: Duration = Duration::from_secs(10);

/// What the limits of a consumer's plan say when they cannot be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Policy {
    Closed,
    Open,
    LocalShare,
}

/// How a request was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Counted and admitted.
    Admitted,
    /// Counted and refused: 429.
    Refused,
    /// Admitted by policy, marked degraded.
    Degraded,
    /// Refused by a share of this process, or for want of counters: 503 `limiter_unavailable`.
    Unavailable,
    Other(Reason),
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Decision {
    pub(crate) replica: usize,
    pub(crate) consumer: usize,
    pub(crate) policy: Policy,
    pub(crate) begun: Instant,
    pub(crate) took: Duration,
    pub(crate) outcome: Outcome,
}

impl Decision {
    pub(crate) fn ended(&self) -> Instant {
        self.begun + self.took
    }

    /// Whether it is certain that Redis decided. A share of this process refuses just like Redis.
    pub(crate) fn is_counted(&self) -> bool {
        match self.outcome {
            Outcome::Admitted => true,
            Outcome::Refused => self.policy != Policy::LocalShare,
            _ => false,
        }
    }
}

/// A consumer with a key.
#[derive(Clone, Debug)]
pub(crate) struct Customer {
    pub(crate) number: usize,
    pub(crate) policy: Policy,
    pub(crate) key: String,
}

/// What the tasks tell while they run.
#[derive(Debug)]
struct Told {
    stop: AtomicBool,
    start: Instant,
    /// By consumer: closed quotas counted and admitted, and whether the quota was found used up.
    admitted: Vec<AtomicU64>,
    exhausted: Vec<AtomicBool>,
    /// By consumer, then replica: when the last decision began that Redis is known to have made, in
    /// microseconds since the start.
    counted: Vec<[AtomicU64; 2]>,
}

impl Told {
    fn new(consumers: usize) -> Self {
        Self {
            stop: AtomicBool::new(false),
            start: Instant::now(),
            admitted: (0..consumers).map(|_| AtomicU64::new(0)).collect(),
            exhausted: (0..consumers).map(|_| AtomicBool::new(false)).collect(),
            counted: (0..consumers).map(|_| Default::default()).collect(),
        }
    }

    fn of(&self, decision: &Decision) {
        let Decision { consumer, replica, .. } = *decision;
        if decision.is_counted() {
            self.counted[consumer][replica].fetch_max(self.micros(decision.begun), SeqCst);
        }
        if decision.policy == Policy::Closed {
            match decision.outcome {
                Outcome::Admitted => drop(self.admitted[consumer].fetch_add(1, SeqCst)),
                Outcome::Refused => self.exhausted[consumer].store(true, SeqCst),
                _ => {}
            }
        }
    }

    fn micros(&self, at: Instant) -> u64 {
        u64::try_from(at.duration_since(self.start).as_micros()).unwrap()
    }
}

/// Tasks that ask at a steady pace.
pub(crate) struct Load {
    told: Arc<Told>,
    tasks: Vec<JoinHandle<Vec<Decision>>>,
}

impl Load {
    /// So many tasks a customer and replica.
    pub(crate) fn on(gates: &[Arc<Gate>], customers: &[(Customer, usize)]) -> Self {
        let told = Arc::new(Told::new(customers.len()));
        let mut tasks = Vec::new();
        for (replica, gate) in gates.iter().enumerate() {
            for (customer, times) in customers {
                for _ in 0..*times {
                    let task = Task { replica, gate: Arc::clone(gate), customer: customer.clone() };
                    tasks.push(tokio::spawn(task.run(Arc::clone(&told))));
                }
            }
        }
        Self { told, tasks }
    }

    /// Whether each closed quota admitted so many.
    pub(crate) fn has_admitted(&self, customers: &[(Customer, usize)], least: u64) -> bool {
        closed(customers).all(|number| self.told.admitted[number].load(SeqCst) >= least)
    }

    /// Whether each closed quota was found used up.
    pub(crate) fn is_exhausted(&self, customers: &[(Customer, usize)]) -> bool {
        closed(customers).all(|number| self.told.exhausted[number].load(SeqCst))
    }

    /// Whether every consumer was counted again at every replica, in a decision begun since.
    pub(crate) fn is_counted_since(&self, instant: Instant) -> bool {
        let since = self.told.micros(instant);
        self.told.counted.iter().flatten().all(|last| last.load(SeqCst) >= since)
    }

    /// Ends the tasks, none of which may hang.
    pub(crate) async fn end(self) -> Vec<Decision> {
        self.told.stop.store(true, SeqCst);
        let mut decisions = Vec::new();
        for task in self.tasks {
            let ended = timeout(HUNG, task).await.expect("a task hung");
            decisions.extend(ended.expect("a task panicked"));
        }
        decisions.sort_by_key(|decision| decision.begun);
        decisions
    }
}

fn closed(customers: &[(Customer, usize)]) -> impl Iterator<Item = usize> {
    let closed = customers.iter().filter(|(customer, _)| customer.policy == Policy::Closed);
    closed.map(|(customer, _)| customer.number)
}

struct Task {
    replica: usize,
    gate: Arc<Gate>,
    customer: Customer,
}

impl Task {
    async fn run(self, told: Arc<Told>) -> Vec<Decision> {
        let mut turn = interval(EVERY);
        turn.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut decisions = Vec::new();
        while !told.stop.load(SeqCst) {
            turn.tick().await;
            let begun = Instant::now();
            let answer = timeout(HUNG, knock(&self.gate, &self.customer.key)).await;
            let (replica, took) = (self.replica, begun.elapsed());
            let outcome = outcome(answer.expect("a decision hung"));
            let Customer { number: consumer, policy, .. } = self.customer;
            let decision = Decision { replica, consumer, policy, begun, took, outcome };
            told.of(&decision);
            decisions.push(decision);
        }
        decisions
    }
}

pub(crate) async fn knock(gate: &Arc<Gate>, key: &str) -> Result<Passage, Rejection> {
    let request = Request(format!("Bearer {key}"));
    let presented = gate.present(&request, &Arc::new(Requirement::default()));
    gate.admit(presented.expect("the route needs a key")).await
}

fn outcome(answer: Result<Passage, Rejection>) -> Outcome {
    match answer {
        Ok(admission) => {
            let degraded = admission.admitted().is_degraded();
            admission.settle(Some(200));
            if degraded { Outcome::Degraded } else { Outcome::Admitted }
        }
        Err(rejection) => refused(&rejection),
    }
}

/// What a refusal says.
pub(crate) fn refused(rejection: &Rejection) -> Outcome {
    match rejection.reason() {
        Reason::QuotaExhausted | Reason::RateLimited | Reason::TooManyConcurrent => {
            Outcome::Refused
        }
        Reason::LimiterUnavailable => {
            assert_eq!(rejection.reply().status, 503);
            Outcome::Unavailable
        }
        reason => Outcome::Other(reason),
    }
}

/// A request whose only header is `Authorization`.
struct Request(String);

impl RequestHead for Request {
    fn method(&self) -> &str {
        "GET"
    }

    fn path(&self) -> &str {
        "/orders"
    }

    fn query(&self) -> Option<&str> {
        None
    }

    fn headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        std::iter::once(("authorization", self.0.as_bytes()))
    }

    fn caller(&self) -> Option<&Caller> {
        None
    }

    fn peer(&self) -> Option<IpAddr> {
        None
    }
}
