//! The heap that a million active keys take.

use keygate::{
    clock::{Clock, SystemClock},
    key::Digester,
    port::{Charge, CounterStore, KeyStore, UsageStore},
    usage::{Outcome, StatusClass, UsageEvent},
};
use keygate_bench::{
    harness::{Options, Report},
    heap::{HEAP, Heap, kept},
    ours::{Setup, ready},
    peers,
};

#[global_allocator]
static ALLOCATOR: Heap = HEAP;

const KEYS: usize = 1_000_000;

fn main() {
    let mut report = Report::new("memory", Options::from_args());
    let setup = Setup::new();
    let (texts, records) = kept(|| setup.issue(KEYS));
    let held: usize = texts.iter().map(String::capacity).sum();
    let held = held + texts.capacity() * size_of::<String>();
    let records = records - held.cast_signed();

    let ((), counters) = kept(|| texts.iter().for_each(|text| charge(&setup, text)));
    let ((), usage) = kept(|| texts.iter().for_each(|text| meter(&setup, text)));
    let governor = peers::governor();
    let ((), peer) =
        kept(|| texts.iter().for_each(|text| assert!(governor.check_key(text).is_ok())));

    report.say("heap bytes per key, over a million keys, each of its own consumer");
    let rows = [
        ("key records", records),
        ("counters, three limits", counters),
        ("usage, one operation and outcome", usage),
        ("keygate in sum", records + counters + usage),
        ("governor, one rate", peer),
    ];
    for (what, bytes) in rows {
        report.figure(what, bytes as f64 / KEYS as f64);
    }
    report.finish();
}

fn charge(setup: &Setup, text: &str) {
    let record = find(setup, text);
    let plans = setup.gate.plans();
    let limits = plans.find("pro").expect("the only plan").limits();
    let charge =
        Charge { consumer: &record.consumer, key: record.lineage, limits, cost: 1, slot: None };
    let readings = ready(setup.counters.charge(&charge)).expect("in memory");
    assert!(readings.iter().all(|reading| reading.within));
}

fn meter(setup: &Setup, text: &str) {
    let record = find(setup, text);
    setup.usage.record(&UsageEvent {
        at: SystemClock.now(),
        key: Some((record.id, &record.consumer)),
        operation: setup.requirement.named_operation(),
        outcome: Outcome::Admitted(StatusClass::Success),
        cost: 1,
        latency_micros: 100,
    });
}

fn find(setup: &Setup, text: &str) -> std::sync::Arc<keygate::record::KeyRecord> {
    let digest = Digester::sha256().digest(text.as_bytes());
    ready(setup.keys.find(&digest)).expect("in memory").expect("issued")
}
