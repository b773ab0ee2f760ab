//! What a thread asks of the allocator. A benchmark that wants to know installs [`HEAP`]:
//!
//! ```ignore
//! #[global_allocator]
//! static HEAP: keygate_bench::heap::Heap = keygate_bench::heap::HEAP;
//! ```

use std::{
    alloc::System,
    sync::{
        Mutex, Once, PoisonError,
        atomic::{AtomicIsize, Ordering},
    },
};

use tracking_allocator::{AllocationGroupId, AllocationRegistry, AllocationTracker, Allocator};

/// The allocator to install.
pub type Heap = Allocator<System>;

/// The system's allocator, watched.
pub const HEAP: Heap = Allocator::system();

static BYTES: AtomicIsize = AtomicIsize::new(0);
static SIZES: Mutex<Option<Vec<usize>>> = Mutex::new(None);

struct Watch;

impl AllocationTracker for Watch {
    fn allocated(&self, _: usize, size: usize, _: usize, _: AllocationGroupId) {
        BYTES.fetch_add(size.cast_signed(), Ordering::Relaxed);
        if let Some(sizes) = &mut *SIZES.lock().unwrap_or_else(PoisonError::into_inner) {
            sizes.push(size);
        }
    }

    fn deallocated(
        &self,
        _: usize,
        size: usize,
        _: usize,
        _: AllocationGroupId,
        _: AllocationGroupId,
    ) {
        BYTES.fetch_sub(size.cast_signed(), Ordering::Relaxed);
    }
}

fn watch() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| AllocationRegistry::set_global_tracker(Watch).expect("the only tracker"));
    AllocationRegistry::enable_tracking();
}

/// The sizes that `work` allocated, in order. What it frees is not told.
pub fn allocated<R>(work: impl FnOnce() -> R) -> (R, Vec<usize>) {
    let record = |sizes| {
        AllocationRegistry::untracked(|| {
            std::mem::replace(&mut *SIZES.lock().unwrap_or_else(PoisonError::into_inner), sizes)
        })
    };
    watch();
    record(Some(Vec::with_capacity(1024)));
    let result = work();
    AllocationRegistry::disable_tracking();
    (result, record(None).unwrap_or_default())
}

/// The bytes of heap that `work` left behind, as they were asked for: the allocator's own overhead
/// comes on top.
pub fn kept<R>(work: impl FnOnce() -> R) -> (R, isize) {
    watch();
    let before = BYTES.load(Ordering::Relaxed);
    let result = work();
    AllocationRegistry::disable_tracking();
    (result, BYTES.load(Ordering::Relaxed) - before)
}
