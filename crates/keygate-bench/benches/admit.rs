//! The core alone: from a request's head to the verdict, and to the meter.

use std::rc::Rc;

use keygate::{
    clock::{AnchoredClock, Clock},
    port::{Charge, CounterStore, KeyStore, UsageStore},
    usage::{Outcome, StatusClass, UsageEvent},
};
use keygate_bench::{
    harness::{self, Options, Report, Table},
    ours::{self, Setup, ready},
    peers::{self, Limitador},
};
use sha2::{Digest, Sha256};

const KEYS: usize = 100_000;
const TARGET: f64 = 8.0;

const GOVERNOR: &str = "governor, one rate";
const GOVERNOR_BY_SYSTEM_CLOCK: &str = "governor, by the system's clock";
const LIMITADOR: &str = "limitador, three windows";
const KEYGATE: &str = "keygate, everything";

fn main() {
    let mut report = Report::new("admit", Options::from_args());

    let hot = Setup::new();
    let key = hot.issue(1).remove(0);
    let outcome = report.table(hot_table(&hot, &key));
    targets(&mut report, "one key, keygate to governor", &outcome);
    report.table(breakdown(&hot, &key));

    let outcome = report.table(cold_table());
    targets(&mut report, "100,000 keys, keygate to governor", &outcome);
    report.finish();
}

fn targets(report: &mut Report, what: &str, outcome: &harness::Outcome) {
    let row = outcome.row(KEYGATE);
    report.target(what, row.ratio, TARGET);
    report.target(&format!("{what}, of the minima"), row.ratio_of_minima, TARGET);
    report.say("");
}

fn hot_table(setup: &Setup, key: &str) -> Table {
    let (governor, limitador) = (peers::governor(), Limitador::new(1));
    let slower = peers::governor_by_system_clock();
    let [own, same, text, other] = std::array::from_fn(|_| key.to_owned());
    let (setup, head) = (setup.clone(), ours::head(key));
    Table::new("admit: one hot key")
        .op(GOVERNOR, move || governor.check_key(&own).is_ok())
        .op(GOVERNOR_BY_SYSTEM_CLOCK, move || slower(&same))
        .op(LIMITADOR, move || limitador.check(&other).limited)
        .op(KEYGATE, move || setup.serve(&head))
        .op("floor: SHA-256 of the key", move || Sha256::digest(text.as_bytes()))
}

fn cold_table() -> Table {
    let setup = Setup::new();
    let keys = Rc::new(setup.issue(KEYS));
    let governor = peers::governor();
    let limitador = Limitador::new(KEYS);
    for key in &*keys {
        let _ = governor.check_key(key);
        limitador.check(key);
        setup.serve(&ours::head(key));
    }
    // A request was read a moment ago, so its bytes are near; what the gate knows of it is not.
    let next = || {
        let (keys, mut turn) = (Rc::clone(&keys), ours::shuffled(KEYS));
        move || keys[turn()].clone()
    };
    let mut key = next();
    Table::new("admit: over 100,000 keys, each of its own consumer")
        .batched(GOVERNOR, next(), move |key| (governor.check_key(&key).is_ok(), key))
        .batched(LIMITADOR, next(), move |key| (limitador.check(&key).limited, key))
        .batched(KEYGATE, move || ours::head(&key()), move |head| (setup.serve(&head), head))
}

fn breakdown(setup: &Setup, key: &str) -> Table {
    let table = steps(Table::new("admit: where the time goes, one hot key"), setup, key);
    ports(table, setup, key)
}

/// Each step of a request; together they are the whole.
fn steps(table: Table, setup: &Setup, key: &str) -> Table {
    let head = ours::head(key);
    let (shown, held) = (setup.present(&head), setup.admit(setup.present(&head)));
    let [all, present, admit, inner] = std::array::from_fn(|_| setup.clone());
    let heads = [(); 3].map(|()| ours::head(key));
    let [head, other, another] = heads;
    table
        .op(KEYGATE, move || all.serve(&head))
        .baseline()
        .op("present", move || present.present(&other))
        .batched("admit", move || shown.clone(), move |shown| admit.admit(shown))
        .op("fields", move || held.fields())
        .batched(
            "settle",
            move || inner.admit(inner.present(&another)),
            move |admission| admission.settle(Some(200)),
        )
        .op("one SHA-256 (in present)", {
            let key = key.to_owned();
            move || Sha256::digest(key.as_bytes())
        })
        .op("one look at the clock (of 3)", {
            let clock = AnchoredClock::new();
            move || clock.now()
        })
}

/// What the stores take of it.
fn ports(table: Table, setup: &Setup, key: &str) -> Table {
    let digest = keygate::key::Digester::sha256().digest(key.as_bytes());
    let record = ready(setup.keys.find(&digest)).expect("in memory").expect("issued");
    let plans = setup.gate.plans();
    let plan = plans.find("pro").expect("the only plan");
    let limits = plan.charges(setup.requirement.named_operation()).clone();
    let clock = AnchoredClock::new();
    let [find, charge, meter] = std::array::from_fn(|_| setup.clone());
    let (owner, metered) = (record.clone(), record);
    table
        .op("store: find (in admit)", move || ready(find.keys.find(&digest)).is_ok())
        .op("store: charge (in admit)", move || {
            let charge_of_one = Charge {
                consumer: &owner.consumer,
                key: owner.lineage,
                limits: &limits,
                cost: 1,
                slot: None,
            };
            ready(charge.counters.charge(&charge_of_one)).is_ok()
        })
        .op("store: record (in settle)", move || {
            meter.usage.record(&UsageEvent {
                at: clock.now(),
                key: Some((metered.id, &metered.consumer)),
                operation: meter.requirement.named_operation(),
                outcome: Outcome::Admitted(StatusClass::Success),
                cost: 1,
                latency_micros: 100,
            });
        })
}
