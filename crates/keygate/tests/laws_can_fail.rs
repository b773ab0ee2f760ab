//! A law that cannot fail says nothing: each is shown a store that breaks it, and must name itself.

#![cfg(test)]

mod broken;
mod common;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use broken::{
    counters::{COUNTER_FAULTS, CounterFault, broken_counters},
    keys::{BrokenKeys, KEY_FAULTS},
    usage::{BrokenUsage, USAGE_FAULTS},
};
use common::{Keys, Together, Usage};
use keygate::conformance::{Law, counters, keys, usage};

#[test]
fn every_counter_law_fails_over_a_store_that_breaks_it() {
    for (fault, law) in COUNTER_FAULTS {
        let message = failure(counters::LAWS, law, &broken_counters(*fault));
        assert_named(&message, law, fault);
    }
    for law in counters::LAWS {
        let shown = COUNTER_FAULTS.iter().any(|(_, name)| *name == law.name());
        assert!(shown, "{law:?} was never seen to fail");
    }
}

#[test]
fn the_decorator_breaks_nothing_by_itself() {
    for law in counters::LAWS {
        pollster::block_on(law.check(&broken_counters(CounterFault::None)))
            .unwrap_whole(law.name());
    }
}

#[test]
fn key_laws_fail_over_stores_that_break_them() {
    for (fault, law) in KEY_FAULTS {
        let harness = Keys(Arc::new(BrokenKeys::new(*fault)), Together::RoundRobin);
        let message = failure(keys::LAWS, law, &harness);
        assert_named(&message, law, fault);
    }
    for law in keys::LAWS {
        let shown = KEY_FAULTS.iter().any(|(_, name)| *name == law.name());
        assert!(shown, "{law:?} was never seen to fail");
    }
}

#[test]
fn usage_laws_fail_over_stores_that_break_them() {
    for (fault, law) in USAGE_FAULTS {
        let harness = Usage(Arc::new(BrokenUsage::new(*fault)));
        let message = failure(usage::LAWS, law, &harness);
        assert_named(&message, law, fault);
    }
    for law in usage::LAWS {
        let shown = USAGE_FAULTS.iter().any(|(_, name)| *name == law.name());
        assert!(shown, "{law:?} was never seen to fail");
    }
}

trait Whole {
    fn unwrap_whole(self, law: &str);
}

impl Whole for keygate::conformance::Coverage {
    fn unwrap_whole(self, law: &str) {
        assert_eq!(self, Self::Whole, "{law}");
    }
}

/// The message of a law, run alone.
fn failure<H: ?Sized>(laws: &[Law<H>], name: &str, harness: &H) -> String {
    let law = laws.iter().find(|law| law.name() == name).unwrap();
    let run = AssertUnwindSafe(|| pollster::block_on(law.check(harness)));
    match catch_unwind(run) {
        Ok(coverage) => format!("no failure, but {coverage:?}"),
        Err(panic) => panic.downcast_ref::<String>().cloned().unwrap_or_default(),
    }
}

fn assert_named(message: &str, law: &str, fault: &dyn std::fmt::Debug) {
    println!("{fault:?} breaks {message}");
    assert!(message.starts_with(&format!("{law}: ")), "{fault:?}: {message}");
}
