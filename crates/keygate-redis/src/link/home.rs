use tokio::{runtime::Handle, task::AbortHandle};

/// Where connections live: the runtime of whoever asked first, while there is that. A server may have one
/// for each of its threads, and a connection must not wait for a handler that blocks one of them, or end
/// with it.
pub(super) struct Home {
    runtime: Handle,
    /// A task that ends with the runtime only.
    alive: AbortHandle,
}

impl Home {
    pub(super) fn here() -> Option<Self> {
        let runtime = Handle::try_current().ok()?;
        let alive = runtime.spawn(std::future::pending::<()>()).abort_handle();
        Some(Self { runtime, alive })
    }

    pub(super) fn is_gone(&self) -> bool {
        self.alive.is_finished()
    }

    pub(super) const fn runtime(&self) -> &Handle {
        &self.runtime
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        self.alive.abort();
    }
}
