//! What an admitted request allocates, step by step, once its key is known to every store.

use keygate_bench::{
    harness::{Options, Report},
    heap::{HEAP, Heap, allocated},
    ours::{self, Setup},
};

#[global_allocator]
static ALLOCATOR: Heap = HEAP;

const TARGET: f64 = 4.0;

fn main() {
    let mut report = Report::new("allocations", Options::from_args());
    let setup = Setup::new();
    let key = setup.issue(1).remove(0);
    let head = ours::head(&key);
    for _ in 0..1000 {
        setup.serve(&head);
    }

    let (presented, present) = allocated(|| setup.present(&head));
    let (admission, admit) = allocated(|| setup.admit(presented));
    let (_fields, list) = allocated(|| admission.fields());
    let ((), settle) = allocated(|| admission.settle(Some(200)));

    let steps = [("present", present), ("admit", admit), ("fields", list), ("settle", settle)];
    let count: usize = steps.iter().map(|(_, sizes)| sizes.len()).sum();
    report.say("allocations of one admitted request, steady state");
    for (name, sizes) in &steps {
        report.figure(&format!("{name}, of bytes {sizes:?}"), sizes.len() as f64);
    }
    report.target("allocations per admitted request", count as f64, TARGET);
    report.finish();
}
