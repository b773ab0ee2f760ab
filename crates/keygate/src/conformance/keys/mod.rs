//! The laws of [`KeyStore`].

mod commits;
mod reads;
mod scene;

use std::sync::Arc;

pub use self::{
    commits::{
        commit_is_all_or_nothing, digest_is_unique, racing_commits_have_one_winner,
        stale_revision_conflicts,
    },
    reads::{
        changes_show_at_once, found_by_digest_and_id, list_is_complete_and_ordered, unknown_is_none,
    },
};
use super::{Job, Law};
use crate::port::{BoxFuture, KeyStore};

/// A key store under test.
pub trait KeyHarness: Send + Sync {
    /// The store.
    fn store(&self) -> Arc<dyn KeyStore>;

    /// Runs jobs beside each other until all are done. A job that panics must not go unseen.
    fn run_concurrently(&self, jobs: Vec<Job>) -> BoxFuture<'_, ()>;
}

/// Every law, in the order of the port's doc comment.
pub const LAWS: &[Law<dyn KeyHarness>] = &[
    Law {
        name: "found_by_digest_and_id",
        check: |harness| Box::pin(found_by_digest_and_id(harness)),
    },
    Law { name: "unknown_is_none", check: |harness| Box::pin(unknown_is_none(harness)) },
    Law { name: "changes_show_at_once", check: |harness| Box::pin(changes_show_at_once(harness)) },
    Law {
        name: "commit_is_all_or_nothing",
        check: |harness| Box::pin(commit_is_all_or_nothing(harness)),
    },
    Law {
        name: "stale_revision_conflicts",
        check: |harness| Box::pin(stale_revision_conflicts(harness)),
    },
    Law { name: "digest_is_unique", check: |harness| Box::pin(digest_is_unique(harness)) },
    Law {
        name: "racing_commits_have_one_winner",
        check: |harness| Box::pin(racing_commits_have_one_winner(harness)),
    },
    Law {
        name: "list_is_complete_and_ordered",
        check: |harness| Box::pin(list_is_complete_and_ordered(harness)),
    },
];
