//! What waits for Redis: by consumer, in batches that are the same however often they are sent.

use std::{collections::HashMap, sync::Arc, time::Duration};

use keygate::{clock::Timestamp, key::KeyId, record::ConsumerId};
use tokio::time::Instant;

use super::{
    errand::{Batch, Errand, MARKER_LIFE},
    series::{Facts, Series, Sums},
};
use crate::clock::now;

/// Series in a batch: a script that adds them takes about a millisecond.
const BATCH: usize = 100;

/// Consumers in one call that notes who has usage.
const LISTED: usize = 1_000;

/// How often the use of a key is written.
const USED_EVERY: Duration = Duration::from_secs(60);

/// A batch whose answer was lost is sent again while Redis surely remembers it.
const IN_DOUBT: Duration = MARKER_LIFE.saturating_sub(Duration::from_secs(3_600));

/// Series that wait or are on their way, no more than so many.
#[derive(Debug)]
pub(super) struct Backlog {
    most: usize,
    series: usize,
    /// Series that were added by the minute since all were summed by the hour.
    by_minute: usize,
    sequence: u64,
    accounts: HashMap<Option<ConsumerId>, Account>,
    listed: HashMap<ConsumerId, Timestamp>,
    used: HashMap<KeyId, Used>,
}

/// What waits for one consumer, or for nobody known.
#[derive(Debug, Default)]
struct Account {
    waiting: HashMap<Facts, Sums>,
    /// Frozen until it is answered.
    batch: Option<Arc<Batch>>,
    sent: Option<Instant>,
    failures: u32,
}

/// The last use of a key.
#[derive(Debug)]
struct Used {
    at: Timestamp,
    consumer: ConsumerId,
    is_written: bool,
    /// When it was last written.
    written: Option<Instant>,
}

impl Backlog {
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            series: 0,
            by_minute: 0,
            sequence: 0,
            accounts: HashMap::new(),
            listed: HashMap::new(),
            used: HashMap::new(),
        }
    }

    /// How many series wait or are on their way.
    pub(super) fn len(&self) -> usize {
        self.series
    }

    /// Whether all there was to bring is in Redis, the last uses that are not due aside.
    pub(super) fn is_empty(&self) -> bool {
        self.series == 0 && self.listed.is_empty()
    }

    /// Takes a series in, and gives how many events lost their key and operation for want of room.
    pub(super) fn absorb(&mut self, series: Series) -> u64 {
        self.note(&series);
        if self.has_room_for(&series) {
            self.by_minute = self.by_minute.saturating_add(1);
            self.add(series);
            return 0;
        }
        self.sum_by_hour();
        let series = Series { facts: series.facts.by_hour(), ..series };
        if self.has_room_for(&series) {
            self.add(series);
            return 0;
        }
        let lost = if series.has_detail() { series.sums.requests } else { 0 };
        self.add(series.folded());
        lost
    }

    /// What is to be sent now: who has usage, what they used, and when keys were last used. The
    /// last ones are due a minute after they were written, or at once.
    pub(super) fn errands(&mut self, at_once: bool) -> Vec<Errand> {
        let listed: Vec<_> =
            self.listed.iter().map(|(consumer, at)| (consumer.clone(), *at)).collect();
        let mut errands: Vec<_> =
            listed.chunks(LISTED).map(|part| Errand::List(part.to_vec())).collect();
        // Whoever failed before comes last, so that it keeps nobody waiting.
        let mut accounts: Vec<_> =
            self.accounts.iter().map(|(consumer, it)| (it.failures, consumer.clone())).collect();
        accounts.sort_by_key(|(failures, _)| *failures);
        errands.extend(accounts.into_iter().filter_map(|(_, consumer)| self.batch(&consumer)));
        errands.extend(self.due(at_once));
        errands
    }

    /// The batch of a consumer: the one that was not answered, or the next.
    fn batch(&mut self, consumer: &Option<ConsumerId>) -> Option<Errand> {
        let account = self.accounts.get_mut(consumer)?;
        if account.batch.is_none() {
            self.sequence = self.sequence.saturating_add(1);
            account.batch = account.next(self.sequence).map(Arc::new);
        }
        let batch = Arc::clone(account.batch.as_ref()?);
        Some(Errand::Add(consumer.clone(), batch))
    }

    /// An errand is on its way.
    pub(super) fn sent(&mut self, errand: &Errand) {
        if let Errand::Add(consumer, _) = errand
            && let Some(account) = self.accounts.get_mut(consumer)
        {
            account.sent.get_or_insert_with(now);
        }
    }

    /// An errand was carried out. Gives the next of the same consumer.
    pub(super) fn done(&mut self, errand: &Errand) -> Option<Errand> {
        match errand {
            Errand::List(part) => {
                for (consumer, _) in part {
                    self.listed.remove(consumer);
                }
                None
            }
            Errand::Used(key, ..) => {
                if let Some(used) = self.used.get_mut(key) {
                    (used.is_written, used.written) = (true, Some(now()));
                }
                None
            }
            Errand::Add(consumer, batch) => {
                self.forget(consumer, batch);
                self.batch(consumer)
            }
        }
    }

    /// An errand failed, and whether it was carried out is unknown. Gives how many events are
    /// given up: those of a batch that Redis may have forgotten.
    pub(super) fn failed(&mut self, errand: &Errand) -> u64 {
        let Errand::Add(consumer, batch) = errand else { return 0 };
        let Some(account) = self.accounts.get_mut(consumer) else { return 0 };
        account.failures = account.failures.saturating_add(1);
        if account.sent.is_none_or(|sent| sent.elapsed() < IN_DOUBT) {
            return 0;
        }
        self.forget(consumer, batch);
        batch.requests()
    }

    fn forget(&mut self, consumer: &Option<ConsumerId>, batch: &Batch) {
        self.series = self.series.saturating_sub(batch.len());
        if let Some(account) = self.accounts.get_mut(consumer) {
            (account.batch, account.sent, account.failures) = (None, None, 0);
            if account.waiting.is_empty() {
                self.accounts.remove(consumer);
            }
        }
    }

    fn add(&mut self, series: Series) {
        let waiting = &mut self.accounts.entry(series.consumer).or_default().waiting;
        let before = waiting.len();
        waiting.entry(series.facts).or_default().absorb(series.sums);
        self.series = self.series.saturating_add(waiting.len().saturating_sub(before));
    }

    fn note(&mut self, series: &Series) {
        let Some(consumer) = &series.consumer else { return };
        let has_room = self.listed.len() < self.most;
        if has_room || self.listed.contains_key(consumer) {
            let latest = self.listed.entry(consumer.clone()).or_default();
            *latest = series.latest.max(*latest);
        }
        let Some(key) = series.facts.key else { return };
        let has_room = self.used.len() < self.most;
        match self.used.get_mut(&key) {
            Some(used) if used.at < series.latest => {
                used.consumer.clone_from(consumer);
                (used.at, used.is_written) = (series.latest, false);
            }
            None if has_room => {
                let (at, consumer) = (series.latest, consumer.clone());
                self.used.insert(key, Used { at, consumer, is_written: false, written: None });
            }
            _ => {}
        }
    }

    fn due(&mut self, at_once: bool) -> Vec<Errand> {
        let is_recent =
            |used: &Used| used.written.is_some_and(|written| written.elapsed() < USED_EVERY);
        self.used.retain(|_, used| !used.is_written || is_recent(used));
        let due = |used: &Used| !used.is_written && (at_once || !is_recent(used));
        let due = self.used.iter().filter(|(_, used)| due(used));
        due.map(|(key, used)| Errand::Used(*key, used.consumer.clone(), used.at)).collect()
    }

    fn has_room_for(&self, series: &Series) -> bool {
        let held = self.accounts.get(&series.consumer);
        self.series < self.most
            || held.is_some_and(|account| account.waiting.contains_key(&series.facts))
    }

    /// Makes room: whatever waits is summed by the hour. Minutes are kept for the shortest time.
    fn sum_by_hour(&mut self) {
        // It is work for all that waits, so it has to be worth it.
        if self.by_minute <= self.most / 8 {
            return;
        }
        for account in self.accounts.values_mut() {
            let before = account.waiting.len();
            for (facts, sums) in std::mem::take(&mut account.waiting) {
                account.waiting.entry(facts.by_hour()).or_default().absorb(sums);
            }
            let gone = before.saturating_sub(account.waiting.len());
            self.series = self.series.saturating_sub(gone);
        }
        self.by_minute = 0;
    }
}

impl Account {
    fn next(&mut self, sequence: u64) -> Option<Batch> {
        if self.waiting.is_empty() {
            return None;
        }
        let series = if self.waiting.len() <= BATCH {
            std::mem::take(&mut self.waiting).into_iter().collect()
        } else {
            self.waiting.extract_if(|_, _| true).take(BATCH).collect()
        };
        Some(Batch::new(sequence, series))
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;
    use crate::usage::tests::scene::{Fact, consumer};

    fn backlog(consumers: &[&str]) -> Backlog {
        let mut backlog = Backlog::new(100);
        for id in consumers {
            assert_eq!(backlog.absorb(Fact::by(&consumer(id)).series()), 0);
        }
        backlog
    }

    fn batches(backlog: &mut Backlog) -> Vec<(Option<ConsumerId>, Arc<Batch>)> {
        let batch = |errand| match errand {
            Errand::Add(consumer, batch) => Some((consumer, batch)),
            _ => None,
        };
        backlog.errands(false).into_iter().filter_map(batch).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_is_the_same_until_it_is_answered() {
        let mut backlog = backlog(&["acme"]);
        let (who, first) = batches(&mut backlog).remove(0);
        backlog.absorb(Fact::by(&consumer("acme")).series());
        for _ in 0..3 {
            let errand = Errand::Add(who.clone(), Arc::clone(&batches(&mut backlog).remove(0).1));
            backlog.sent(&errand);
            assert!(matches!(&errand, Errand::Add(_, batch) if Arc::ptr_eq(batch, &first)));
            assert_eq!(backlog.failed(&errand), 0);
        }
        let next = backlog.done(&Errand::Add(who, Arc::clone(&first)));
        let Some(Errand::Add(_, next)) = next else { panic!("{next:?}") };
        assert!(!Arc::ptr_eq(&next, &first));
        assert_eq!((first.requests(), next.requests(), backlog.len()), (1, 1, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_is_given_up_before_redis_forgets_it() {
        let mut backlog = backlog(&["acme"]);
        let (who, batch) = batches(&mut backlog).remove(0);
        let errand = Errand::Add(who, batch);
        advance(MARKER_LIFE).await;
        // It was not sent yet: there is no doubt about it.
        backlog.sent(&errand);
        assert_eq!(backlog.failed(&errand), 0);
        advance(IN_DOUBT.saturating_sub(Duration::from_secs(1))).await;
        backlog.sent(&errand);
        assert_eq!((backlog.failed(&errand), backlog.len()), (0, 1));
        advance(Duration::from_secs(1)).await;
        assert_eq!((backlog.failed(&errand), backlog.len()), (1, 0));
        assert_eq!(batches(&mut backlog).len(), 0);
    }

    #[tokio::test]
    async fn who_failed_comes_last() {
        let ids: Vec<_> = (0..20).map(|number| format!("consumer-{number}")).collect();
        let mut backlog = backlog(&ids.iter().map(String::as_str).collect::<Vec<_>>());
        let (who, batch) = batches(&mut backlog).remove(3);
        backlog.failed(&Errand::Add(who.clone(), batch));
        assert_eq!(batches(&mut backlog).pop().unwrap().0, who);
    }

    #[tokio::test(start_paused = true)]
    async fn the_use_of_a_key_is_due_once_a_minute() {
        let mut backlog = Backlog::new(100);
        let mut fact = Fact::by(&consumer("acme"));
        let mut written = Vec::new();
        for second in 0..=120 {
            fact.at = fact.at.saturating_add(Duration::from_secs(1));
            backlog.absorb(fact.series());
            for errand in backlog.errands(false) {
                if let Errand::Used(..) = errand {
                    written.push(second);
                    backlog.done(&errand);
                }
            }
            advance(Duration::from_secs(1)).await;
        }
        assert_eq!(written, [0, 60, 120]);
        advance(USED_EVERY).await;
        backlog.errands(false);
        assert!(backlog.used.is_empty(), "what is written is not kept");
    }
}
