mod catch_up;
mod watcher;

use std::{slice::from_ref, sync::Mutex};

use keygate::{
    Plans,
    clock::SystemClock,
    port::{Commit, KeyStore},
    record::{KeyRecord, KeyStatus},
};
use keygate_tests::{PATIENCE, RedisServer};
use tokio::time::{sleep, timeout};

use super::*;
use crate::{
    address::Address,
    keys::{CHANGES_KEPT, RedisKeys},
    link::PushSource,
    plans::RedisPlans,
    testing::{changed, layout, link, link_to, record},
};

const LONG: Duration = Duration::from_secs(3_600);
const SHORT: Duration = Duration::from_millis(50);

/// A cache that tells what it was told.
#[derive(Debug, Default)]
struct Told(Mutex<Vec<Word>>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    Forget(KeyDigest),
    ForgetAll,
    Confirm(Timestamp),
}

impl Told {
    /// What was told since the last time, confirmations aside; `None` if there was none of these.
    fn forgotten(&self) -> Option<Vec<Word>> {
        let words = std::mem::take(&mut *self.0.lock().unwrap());
        let (confirmed, forgotten): (Vec<_>, Vec<_>) =
            words.into_iter().partition(|word| matches!(word, Word::Confirm(_)));
        (!confirmed.is_empty()).then_some(forgotten)
    }

    fn confirmed(&self) -> Option<Timestamp> {
        let words = self.0.lock().unwrap();
        words.iter().rev().find_map(|word| match word {
            Word::Confirm(at) => Some(*at),
            Word::Forget(_) | Word::ForgetAll => None,
        })
    }

    async fn hears(&self, word: Word) {
        until(|| self.0.lock().unwrap().contains(&word)).await;
    }
}

impl Cache for Told {
    fn forget(&self, digest: &KeyDigest) {
        self.0.lock().unwrap().push(Word::Forget(*digest));
    }

    fn forget_all(&self) {
        self.0.lock().unwrap().push(Word::ForgetAll);
    }

    fn confirm(&self, at: Timestamp) {
        self.0.lock().unwrap().push(Word::Confirm(at));
    }
}

async fn until(holds: impl Fn() -> bool) {
    let wait = async {
        while !holds() {
            sleep(Duration::from_micros(200)).await;
        }
    };
    timeout(PATIENCE, wait).await.expect("it comes true");
}

fn watch(url: &str, poll: Duration, hints: Subscription) -> (Watch, Arc<Told>) {
    let told = Arc::new(Told::default());
    let watch = Watch {
        link: link_to(url),
        layout: layout(),
        hints: Some(hints),
        poll,
        cache: Arc::clone(&told) as _,
        plans: LivePlans::new(Plans::from_toml("[plans.built-in]").unwrap()),
        clock: Arc::new(SystemClock),
        serves: true,
    };
    (watch, told)
}

fn subscription(url: &str) -> Subscription {
    let source = PushSource::try_from(&Address::parse(url).unwrap()).unwrap();
    Subscription::new(source, layout().changed())
}

/// Nothing is ever announced.
fn deaf(server: &RedisServer, poll: Duration) -> (Watch, Arc<Told>) {
    watch(&server.url(), poll, Subscription::new(PushSource::Nodes(vec![]), layout().changed()))
}

fn hearing(url: &str, poll: Duration) -> (Watch, Arc<Told>) {
    watch(url, poll, subscription(url))
}

fn keys(url: &str) -> RedisKeys {
    RedisKeys::new(link_to(url), layout(), PATIENCE)
}

async fn done(keys: &RedisKeys, records: &[KeyRecord]) {
    assert_eq!(keys.commit(records).await.unwrap(), Commit::Done);
}

fn revoked(record: &KeyRecord) -> KeyRecord {
    changed(record, |record| record.status = KeyStatus::Revoked)
}
