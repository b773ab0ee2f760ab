//! One call of the store for everybody who waits for the same digest.

use std::{
    sync::{Arc, Barrier},
    thread,
};

use keygate::{cached::Settings, port::KeyStore};

use crate::{
    bench::{Bench, MAX_AGE, MICRO, SECOND, answered, poll},
    rigged::Way,
};

#[test]
fn those_who_wait_for_one_digest_share_one_call() {
    let bench = Bench::new();
    let (record, other) = (bench.issued(), bench.issued());
    bench.store.finding(Way::Waits);
    let mut finds: Vec<_> = (0..100).map(|_| bench.cached.find(&record.digest)).collect();
    assert!(finds.iter_mut().all(|find| poll(find).is_pending()));
    assert_eq!(bench.store.finds(), 1);
    let mut another = bench.cached.find(&other.digest);
    assert!(poll(&mut another).is_pending());
    assert_eq!(bench.store.finds(), 2, "another digest is another call");
    bench.store.release();
    for find in &mut finds {
        assert_eq!(answered(find).unwrap().as_deref(), Some(&record));
    }
    assert_eq!(answered(&mut another).unwrap().as_deref(), Some(&other));
    assert_eq!(bench.store.finds(), 2);
}

#[test]
fn unknown_digests_share_a_call_too() {
    let bench = Bench::new();
    let record = crate::bench::record();
    bench.store.finding(Way::Waits);
    let mut finds: Vec<_> = (0..9).map(|_| bench.cached.find(&record.digest)).collect();
    assert!(finds.iter_mut().all(|find| poll(find).is_pending()));
    bench.store.release();
    assert!(finds.iter_mut().all(|find| answered(find).unwrap().is_none()));
    assert_eq!(bench.store.finds(), 1);
}

#[test]
fn a_fault_is_the_answer_to_all_who_waited() {
    let bench = Bench::new();
    let record = bench.issued();
    bench.store.finding(Way::FailsLate);
    let mut finds: Vec<_> = (0..100).map(|_| bench.cached.find(&record.digest)).collect();
    assert!(finds.iter_mut().all(|find| poll(find).is_pending()));
    bench.store.release();
    for find in &mut finds {
        assert_eq!(answered(find).unwrap_err().to_string(), "the store failed: broken");
    }
    assert_eq!(bench.store.finds(), 1);
    bench.store.finding(Way::Well);
    assert_eq!(bench.asks(&record), (Some(0), 1));
}

#[test]
fn a_call_goes_on_when_the_request_that_began_it_is_cancelled() {
    let bench = Bench::new();
    let record = bench.issued();
    bench.store.finding(Way::Waits);
    let mut leader = bench.cached.find(&record.digest);
    assert!(poll(&mut leader).is_pending());
    // Blocks on a real waker: it must be woken though it did not begin the call.
    let cached = bench.cached.clone();
    let digest = record.digest;
    let joined = Arc::new(Barrier::new(2));
    let other = Arc::clone(&joined);
    let waiter = thread::spawn(move || {
        let mut find = cached.find(&digest);
        assert!(poll(&mut find).is_pending());
        other.wait();
        pollster::block_on(find)
    });
    joined.wait();
    drop(leader);
    bench.store.release();
    assert_eq!(waiter.join().unwrap().unwrap().as_deref(), Some(&record));
    assert_eq!(bench.store.finds(), 1);
    bench.store.finding(Way::Well);
    assert_eq!(bench.asks(&record), (Some(0), 0), "its answer is held");
}

#[test]
fn a_call_that_everybody_left_is_begun_anew() {
    let bench = Bench::new();
    let record = bench.issued();
    bench.store.finding(Way::Hangs);
    let mut finds = [(); 3].map(|()| bench.cached.find(&record.digest));
    assert!(finds.iter_mut().all(|find| poll(find).is_pending()));
    assert_eq!(bench.cached.stats().in_flight, 1);
    drop(finds);
    assert_eq!(bench.cached.stats().in_flight, 0);
    bench.store.finding(Way::Well);
    assert_eq!(bench.asks(&record), (Some(0), 1));
}

#[test]
fn a_call_as_old_as_an_entry_may_be_is_not_joined() {
    let bench = Bench::new();
    let record = bench.issued();
    bench.store.finding(Way::Waits);
    let mut first = bench.cached.find(&record.digest);
    assert!(poll(&mut first).is_pending());
    bench.clock.advance(MAX_AGE - MICRO);
    let mut second = bench.cached.find(&record.digest);
    assert!(poll(&mut second).is_pending());
    assert_eq!(bench.store.finds(), 1);
    bench.changed(&record);
    bench.clock.advance(MICRO);
    let mut third = bench.cached.find(&record.digest);
    assert!(poll(&mut third).is_pending());
    assert_eq!(bench.store.finds(), 2);
    bench.store.release();
    // In this order: the older call may not replace what the younger one brought.
    assert_eq!(answered(&mut third).unwrap().unwrap().revision, 1);
    assert_eq!(answered(&mut first).unwrap().unwrap().revision, 0);
    bench.store.finding(Way::Well);
    assert_eq!(bench.asks(&record), (Some(1), 0));
}

#[test]
fn a_call_from_the_future_is_not_joined() {
    let bench = Bench::with(Settings::default());
    let record = bench.issued();
    let start = bench.now();
    bench.clock.advance(SECOND / 2);
    bench.store.finding(Way::Hangs);
    let mut first = bench.cached.find(&record.digest);
    assert!(poll(&mut first).is_pending());
    bench.clock.set(start);
    bench.store.finding(Way::Well);
    assert_eq!(bench.asks(&record), (Some(0), 1));
}

#[test]
fn threads_that_miss_together_make_one_call() {
    let bench = Bench::new();
    let record = bench.issued();
    bench.store.finding(Way::Waits);
    let barrier = Arc::new(Barrier::new(9));
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let (cached, barrier) = (bench.cached.clone(), Arc::clone(&barrier));
            let digest = record.digest;
            thread::spawn(move || {
                let mut find = cached.find(&digest);
                assert!(poll(&mut find).is_pending());
                barrier.wait();
                pollster::block_on(find).unwrap().unwrap().revision
            })
        })
        .collect();
    barrier.wait();
    bench.store.release();
    assert!(threads.into_iter().all(|thread| thread.join().unwrap() == 0));
    assert_eq!(bench.store.finds(), 1);
}
