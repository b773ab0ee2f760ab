use std::{
    collections::BTreeMap,
    fmt,
    net::SocketAddr,
    ops::RangeInclusive,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use keygate_tests::{Random, Raw, now};

use crate::{
    GUESS,
    visit::{Leaves, Visit, Visited},
};

/// Clients at once: more than there are slots.
const CLIENTS: usize = 24;

/// What many requests of many clients came to, who go away at all times.
#[derive(Debug)]
pub(crate) struct Storm {
    visits: Vec<(Visit, Visited)>,
    took: Duration,
}

impl Storm {
    /// So many requests, each of an export that takes no longer than this.
    #[track_caller]
    pub(crate) fn at(addresses: &[SocketAddr], key: &str, requests: usize, most: Duration) -> Self {
        let (left, start) = (&AtomicUsize::new(requests), now());
        let client = |number: usize| {
            let address = addresses[number % addresses.len()];
            let (mut random, mut raw) = (Random::of(number as u64), Raw::connect(address));
            let mut visits = Vec::new();
            while left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok() {
                let visit = any(&mut random, most);
                let visited = visit.make(&mut raw, key, &mut random);
                visits.push((visit, visited));
                match visited.leaves {
                    Leaves::Served => {}
                    // Not at once: most requests are to be admitted.
                    Leaves::Refused => thread::sleep(visit.takes / 4),
                    _ => raw = Raw::connect(address),
                }
            }
            visits
        };
        let client = &client;
        let visits = thread::scope(|scope| {
            let spawn = |number| scope.spawn(move || client(number));
            let running: Vec<_> = (0..CLIENTS).map(spawn).collect();
            running.into_iter().flat_map(|it| it.join().expect("no client fails")).collect()
        });
        Self { visits, took: now().duration_since(start) }
    }

    /// The rows of those that were served.
    pub(crate) fn rows(&self) -> u64 {
        self.ended(Leaves::Served).map(|visit| visit.rows).sum()
    }

    /// How many exports may have been cut off: of those that went away before they heard anything, some
    /// were.
    pub(crate) fn unfinished(&self) -> RangeInclusive<u64> {
        let count = |leaves| self.ended(leaves).count() as u64;
        let reading = count(Leaves::Reading);
        reading..=reading + count(Leaves::Waiting)
    }

    /// The most that were under way at once for certain.
    pub(crate) fn most_at_once(&self) -> usize {
        let spans = self.visits.iter().filter_map(|(_, visited)| visited.under_way);
        // Where one ends as another begins, the end comes first.
        let mut turns: Vec<(Instant, isize)> =
            spans.flat_map(|(begin, end)| [(begin, 1), (end, -1)]).collect();
        turns.sort_unstable();
        let mut now = 0;
        let counts = turns.into_iter().map(|(_, turn)| {
            now += turn;
            now
        });
        counts.max().unwrap_or_default().unsigned_abs()
    }

    fn ended(&self, leaves: Leaves) -> impl Iterator<Item = Visit> {
        let ended = move |(_, visited): &&(Visit, Visited)| visited.leaves == leaves;
        self.visits.iter().filter(ended).map(|(visit, _)| *visit)
    }
}

/// A visit of any kind. Who may be cut off at any time pays the same either way.
fn any(random: &mut Random, most: Duration) -> Visit {
    let leaves = Leaves::any(random);
    let rows = if leaves == Leaves::Served { random.within(0..10) } else { GUESS };
    let takes = most * u32::try_from(random.within(0..101)).unwrap() / 100;
    Visit { leaves, takes, rows }
}

impl fmt::Display for Storm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut ended = BTreeMap::<_, u64>::new();
        for (_, visited) in &self.visits {
            *ended.entry(visited.leaves).or_default() += 1;
        }
        let (count, took, most) = (self.visits.len(), self.took, self.most_at_once());
        write!(f, "{count} requests in {took:.2?}: {ended:?}, {most} seen under way at once")
    }
}
