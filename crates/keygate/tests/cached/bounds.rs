//! What is held is bounded, and guessed keys push out guessed keys only.

use keygate::{cached::Settings, port::KeyStore};

use crate::{
    bench::{Bench, MAX_AGE, guess, poll},
    rigged::Way,
};

#[test]
fn a_flood_of_guesses_pushes_no_record_out() {
    let bench = Bench::with(Settings::default().records(1_000).unknown(100));
    let records: Vec<_> = (0..400).map(|_| bench.issued()).collect();
    assert!(records.iter().all(|record| bench.asks(record) == (Some(0), 1)));
    for number in 0..20_000 {
        assert!(bench.find(&guess(number)).unwrap().is_none());
    }
    assert!(records.iter().all(|record| bench.asks(record) == (Some(0), 0)));
    let stats = bench.cached.stats();
    assert_eq!(stats.records, 400);
    assert!((50..=100).contains(&stats.unknown), "{stats:?}");
}

#[test]
fn guesses_on_their_way_push_no_record_out_either() {
    let bench = Bench::with(Settings::default().records(100).unknown(100));
    let records: Vec<_> = (0..40).map(|_| bench.issued()).collect();
    assert!(records.iter().all(|record| bench.asks(record) == (Some(0), 1)));
    bench.store.finding(Way::Waits);
    let guesses: Vec<_> = (0..5_000).map(guess).collect();
    let mut finds: Vec<_> = guesses.iter().map(|digest| bench.cached.find(digest)).collect();
    assert!(finds.iter_mut().all(|find| poll(find).is_pending()));
    assert!(records.iter().all(|record| bench.asks(record) == (Some(0), 0)));
}

#[test]
fn records_are_bounded_and_pushed_out_ones_are_loaded_again() {
    let bench = Bench::with(Settings::default().records(100));
    let records: Vec<_> = (0..1_000).map(|_| bench.issued()).collect();
    assert!(records.iter().all(|record| bench.revision(record) == Some(0)));
    assert!((50..=100).contains(&bench.cached.stats().records), "{:?}", bench.cached);
    assert!(records.iter().all(|record| bench.revision(record) == Some(0)));
}

#[test]
fn a_cache_without_room_asks_every_time() {
    let bench = Bench::with(Settings::default().records(0).unknown(0));
    let record = bench.issued();
    for _ in 0..3 {
        assert_eq!(bench.asks(&record), (Some(0), 1));
        assert!(bench.find(&guess(0)).unwrap().is_none());
    }
    assert_eq!(bench.store.finds(), 6);
}

#[test]
fn figures_tell_how_requests_were_answered() {
    let bench = Bench::new();
    let record = bench.issued();
    let figures = || {
        let stats = bench.cached.stats();
        [stats.hits, stats.unknown_hits, stats.misses, stats.stale]
    };
    bench.revision(&record);
    bench.revision(&record);
    bench.revision(&record);
    assert_eq!(figures(), [2, 0, 1, 0]);
    for _ in 0..4 {
        assert!(bench.find(&guess(0)).unwrap().is_none());
    }
    assert_eq!(figures(), [2, 3, 2, 0]);
    bench.clock.advance(MAX_AGE);
    bench.store.finding(Way::Fails);
    bench.revision(&record);
    assert_eq!(figures(), [2, 3, 3, 1], "asked in vain");
    bench.revision(&record);
    assert_eq!(figures(), [2, 3, 3, 2], "not asked");
}

#[test]
fn debug_shows_figures_and_no_digest() {
    let bench = Bench::new();
    let record = bench.issued();
    bench.revision(&record);
    let shown = format!("{:?} {:#?}", bench.cached, bench.cached);
    assert!(shown.contains("records: 1"), "{shown}");
    let text = record.digest.to_string();
    let (_, hex) = text.split_once(':').unwrap();
    let (beginning, _) = hex.split_at(4);
    assert!(!shown.contains(beginning), "{shown}");
}
