//! Settlements on their way to Redis, beside the requests that caused them.
//!
//! One task sends all of them, each at once and in the order in which they were given: a refund that
//! overtakes what it takes back would find nothing to give back yet.
//!
//! Each is sent once: of a correction whose answer is lost nobody knows whether it was made. A slot that
//! could not be given back is free when its lease has run out.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt, stream::FuturesUnordered};
use keygate::{
    clock::{Clock, SystemClock, Timestamp},
    failures::Failures,
    key::KeyId,
    limit::Correction,
    plan::{Limit, Partition},
    port::{Answer, Settlement, SlotId},
    record::ConsumerId,
};
use tokio::{
    join,
    runtime::Handle,
    select,
    sync::{mpsc, oneshot, watch},
    task::unconstrained,
    time::timeout,
};

use super::{
    TRIES,
    clock::RedisClock,
    format::{self, Asked, Few, Reply, Verdict},
    held_slots::give_back,
    part::owner,
    seen::View,
    slots,
};
use crate::{
    fault::Fault,
    layout::Layout,
    link::{Lane, Link},
    script::Script,
};

/// A settlement keeps nobody waiting.
const WITHIN: Duration = Duration::from_secs(2);

/// How many settlements may be under way.
const MOST: u32 = 16_384;

/// Sends settlements.
#[derive(Debug)]
pub(crate) struct Settling {
    clock: Arc<RedisClock>,
    given: mpsc::UnboundedSender<Given>,
    under_way: Arc<watch::Sender<u32>>,
    lost: Arc<Failures>,
}

/// A settlement to be sent, and whom to tell when it is done.
#[derive(Debug)]
struct Given {
    order: Order,
    place: Place,
    done: oneshot::Sender<()>,
}

impl Settling {
    /// `correct` is the script of a correction.
    pub(super) fn new(
        link: &Link,
        layout: Layout,
        clock: Arc<RedisClock>,
        correct: Script,
        runtime: &Handle,
    ) -> Self {
        let (given, to_send) = mpsc::unbounded_channel();
        let lost = Arc::<Failures>::default();
        let link = link.on(Lane::Settlements);
        let sender = Sender { link, layout, correct, lost: Arc::clone(&lost) };
        // A pause in the middle of a turn would let those overtake that come after it.
        runtime.spawn(unconstrained(async move { sender.carry_out_all(to_send).await }));
        Self { clock, given, under_way: Arc::default(), lost }
    }

    pub(super) fn send(&self, settlement: &Settlement<'_>) -> Answer<'static, ()> {
        let Some(place) = Place::take(&self.under_way) else {
            lose(&self.lost, &Fault::Overloaded, settlement.consumer);
            return Answer::ready(());
        };
        let order = Order::of(settlement, self.clock.as_of(SystemClock.now()));
        let (done, seen) = oneshot::channel();
        if self.given.send(Given { order, place, done }).is_err() {
            // The runtime has ended, and nobody hears of it any more.
            let _ = self.lost.count(SystemClock.now());
        }
        Answer::later(async {
            // Few wait for it. Nothing is sent when the runtime ends.
            let _ = seen.await;
        })
    }

    /// Settlements that may not have been made, since the start.
    pub(crate) fn lost(&self) -> u64 {
        self.lost.total()
    }

    /// Waits until all that is under way has been answered, also what comes meanwhile; whether it was in
    /// time.
    pub(crate) async fn done(&self, within: Duration) -> bool {
        let mut under_way = self.under_way.subscribe();
        timeout(within, under_way.wait_for(|number| *number == 0)).await.is_ok()
    }
}

/// A settlement that is under way. Whoever waits for the last hinders none, as a semaphore would.
#[derive(Debug)]
struct Place(Arc<watch::Sender<u32>>);

impl Place {
    /// `None` if there are too many.
    fn take(under_way: &Arc<watch::Sender<u32>>) -> Option<Self> {
        let mut taken = false;
        under_way.send_if_modified(|number| {
            taken = *number < MOST;
            *number = number.saturating_add(u32::from(taken));
            false
        });
        taken.then(|| Self(Arc::clone(under_way)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.send_if_modified(|number| {
            *number = number.saturating_sub(1);
            *number == 0
        });
    }
}

/// A settlement that owns what it says.
#[derive(Debug)]
struct Order {
    consumer: ConsumerId,
    key: KeyId,
    limits: Vec<Limit>,
    correction: Correction,
    slot: Option<SlotId>,
    /// When it was given, by the clock of Redis.
    at: Timestamp,
}

impl Order {
    fn of(settlement: &Settlement<'_>, at: Timestamp) -> Self {
        Self {
            consumer: settlement.consumer.clone(),
            key: settlement.key,
            limits: settlement.limits.to_vec(),
            correction: settlement.correction,
            slot: settlement.slot,
            at,
        }
    }
}

/// A settlement of this consumer may not be made.
fn lose(lost: &Failures, fault: &Fault, consumer: &ConsumerId) {
    if let Some(settlements) = lost.count(SystemClock.now()) {
        tracing::error!(%fault, %consumer, settlements, "settlements may be lost");
    }
}

fn decimal(number: u64) -> Vec<u8> {
    number.to_string().into_bytes()
}

#[derive(Debug)]
struct Sender {
    link: Link,
    layout: Layout,
    correct: Script,
    lost: Arc<Failures>,
}

impl Sender {
    /// Until nobody can give any more, and all is answered.
    async fn carry_out_all(&self, mut to_send: mpsc::UnboundedReceiver<Given>) {
        let (mut under_way, mut open) = (FuturesUnordered::new(), true);
        while open || !under_way.is_empty() {
            select! {
                given = to_send.recv(), if open => match given {
                    Some(given) => under_way.push(self.settle(given)),
                    None => open = false,
                },
                Some(()) = under_way.next() => {}
            }
        }
    }

    async fn settle(&self, Given { order, place, done }: Given) {
        if let Err(fault) = self.carry_out(&order).await {
            lose(&self.lost, &fault, &order.consumer);
        }
        drop(place);
        let _ = done.send(());
    }

    async fn carry_out(&self, order: &Order) -> Result<(), Fault> {
        let (freed, of_consumer, of_key) = join!(
            self.free(order),
            self.correct(order, Partition::Consumer),
            self.correct(order, Partition::Key),
        );
        freed.and(of_consumer).and(of_key)
    }

    async fn free(&self, order: &Order) -> Result<(), Fault> {
        let Some(slot) = order.slot else { return Ok(()) };
        let sets = slots::sets(&order.consumer, order.key, &order.limits, &self.layout);
        for set in sets.iter() {
            self.link.query::<()>(&give_back(set, &[slot]), WITHIN).await?;
        }
        Ok(())
    }

    /// Corrects the limits of one owner. Where the calendar window is another one than Redis counts by,
    /// it says so and has changed nothing.
    async fn correct(&self, order: &Order, partition: Partition) -> Result<(), Fault> {
        let (takes, units, after_micros) = match order.correction {
            Correction::None => return Ok(()),
            Correction::Extra(units) => ("extra", units, 0),
            Correction::Refund { units, after_micros } => ("refund", units, after_micros),
        };
        let limits = order
            .limits
            .iter()
            .enumerate()
            .filter(|(_, limit)| limit.partition() == partition && !limit.is_concurrency());
        let mut asked: Few<Asked<'_>> = limits
            .map(|(place, limit)| Asked::new(limit, place, order.at))
            .collect::<Result<_, _>>()?;
        if asked.is_empty() {
            return Ok(());
        }
        asked.sort_by_key(|asked| asked.rule.kind);
        let key = self.layout.counters(owner(&order.consumer, order.key, partition));
        for _ in 0..TRIES.saturating_add(asked.len()) {
            let request = format::request(units, &asked, &View::of_none(asked.len()), &[]);
            let arguments =
                [request, takes.into(), decimal(after_micros), decimal(order.at.micros())];
            let keys = std::slice::from_ref(&key);
            let reply: Vec<u8> = self.link.call(&self.correct, keys, &arguments, WITHIN).await?;
            if reply.is_empty() {
                return Ok(());
            }
            let Verdict::Window { limit, at, .. } = Reply::read(&reply, 0)?.verdict else { break };
            if let Some(asked) = asked.get_mut(limit) {
                *asked = Asked::new(asked.limit, asked.place, at)?;
            }
        }
        Err(Fault::Foreign("the clock of Redis does not stand still".into()))
    }
}
