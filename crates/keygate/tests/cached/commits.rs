//! What is written through the cache shows at once, and what may have been written is asked for.

use keygate::port::{Commit, KeyStore};

use crate::{
    bench::{Bench, answered, next, poll, record},
    rigged::Way,
};

#[test]
fn what_was_written_is_asked_for() {
    let bench = Bench::new();
    let (first, second) = (record(), record());
    let all = || [&first, &second].map(|record| bench.asks(record));
    assert_eq!(all(), [(None, 1), (None, 1)]);
    let both = [first.clone(), second.clone()];
    assert_eq!(pollster::block_on(bench.cached.commit(&both)).unwrap(), Commit::Done);
    assert_eq!(all(), [(Some(0), 1), (Some(0), 1)]);
    let change = [next(&first)];
    assert_eq!(pollster::block_on(bench.cached.commit(&change)).unwrap(), Commit::Done);
    assert_eq!(all(), [(Some(1), 1), (Some(0), 0)]);
}

#[test]
fn a_conflict_says_that_what_is_held_is_old() {
    let bench = Bench::new();
    let record = bench.issued();
    assert_eq!(bench.asks(&record), (Some(0), 1));
    let change = [bench.changed(&record)];
    assert_eq!(pollster::block_on(bench.cached.commit(&change)).unwrap(), Commit::Conflict);
    assert_eq!(bench.asks(&record), (Some(1), 1));
}

#[test]
fn a_commit_that_failed_may_have_been_done() {
    let bench = Bench::new();
    let record = bench.issued();
    assert_eq!(bench.asks(&record), (Some(0), 1));
    bench.changed(&record);
    bench.store.writing(Way::Fails);
    assert!(pollster::block_on(bench.cached.commit(&[next(&record)])).is_err());
    assert_eq!(bench.asks(&record), (Some(1), 1));
}

#[test]
fn a_commit_that_was_cancelled_may_have_been_done() {
    let bench = Bench::new();
    let record = bench.issued();
    assert_eq!(bench.asks(&record), (Some(0), 1));
    bench.store.writing(Way::Waits);
    let change = [next(&record)];
    let mut commit = bench.cached.commit(&change);
    assert!(poll(&mut commit).is_pending());
    drop(commit);
    assert_eq!(bench.asks(&record), (Some(1), 1));
}

#[test]
fn what_is_read_while_a_commit_is_on_its_way_is_not_held_after_it() {
    let bench = Bench::new();
    let record = bench.issued();
    bench.store.finding(Way::Waits);
    let mut find = bench.cached.find(&record.digest);
    assert!(poll(&mut find).is_pending());
    bench.store.writing(Way::Waits);
    let change = [next(&record)];
    let mut commit = bench.cached.commit(&change);
    assert!(poll(&mut commit).is_pending());
    bench.store.release();
    assert_eq!(answered(&mut find).unwrap().unwrap().revision, 0);
    assert_eq!(answered(&mut commit).unwrap(), Commit::Done);
    bench.store.finding(Way::Well);
    assert_eq!(bench.asks(&record), (Some(1), 1));
}

#[test]
fn reading_by_id_and_listing_go_to_the_store() {
    let bench = Bench::new();
    let record = bench.issued();
    bench.revision(&record);
    let change = bench.changed(&record);
    let loaded = pollster::block_on(bench.cached.load(record.id)).unwrap();
    assert_eq!(loaded.as_deref(), Some(&change));
    let listed = pollster::block_on(bench.cached.list(&Default::default())).unwrap();
    assert_eq!(*listed[0], change);
}
