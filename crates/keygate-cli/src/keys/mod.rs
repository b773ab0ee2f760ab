//! `keygate keys`: the life of keys.

mod change;
mod digest;
mod format;
mod issue;
mod list;
mod rotate;
mod view;

use clap::Subcommand;
use keygate::{key::KeyId, plan::Name};

use self::{issue::Issue, list::List, rotate::Rotate};
use crate::{
    args::{Global, key_id},
    error::Failure,
    output::Output,
};

/// What can be done with keys.
#[derive(Subcommand)]
pub(crate) enum KeysCommand {
    Issue(Issue),
    List(List),
    /// Show what is known of a key
    Show {
        /// The key's id
        #[arg(value_name = "KEY_ID", value_parser = key_id)]
        id: KeyId,
    },
    Rotate(Rotate),
    /// End a key for good
    ///
    /// A revoked key does not come back. To switch a key off for a while, disable it.
    Revoke {
        /// The key's id
        #[arg(value_name = "KEY_ID", value_parser = key_id)]
        id: KeyId,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Switch a key off, until it is enabled again
    Disable {
        /// The key's id
        #[arg(value_name = "KEY_ID", value_parser = key_id)]
        id: KeyId,
    },
    /// Switch a disabled key on
    Enable {
        /// The key's id
        #[arg(value_name = "KEY_ID", value_parser = key_id)]
        id: KeyId,
    },
    /// Move a key to another plan
    ///
    /// What it used under limits of the same names stays used.
    Move {
        /// The key's id
        #[arg(value_name = "KEY_ID", value_parser = key_id)]
        id: KeyId,
        /// The plan it goes to
        #[arg(long, value_name = "PLAN")]
        plan: Name,
    },
}

impl KeysCommand {
    pub(crate) async fn run(&self, global: &Global, output: &Output) -> Result<(), Failure> {
        match self {
            Self::Issue(issue) => issue.run(global, output).await,
            Self::List(list) => list.run(global, output).await,
            Self::Show { id } => list::show(*id, global, output).await,
            Self::Rotate(rotate) => rotate.run(global, output).await,
            Self::Revoke { id, yes } => change::revoke(*id, *yes, global, output).await,
            Self::Disable { id } => change::disable(*id, global, output).await,
            Self::Enable { id } => change::enable(*id, global, output).await,
            Self::Move { id, plan } => change::move_to(*id, plan, global, output).await,
        }
    }
}
