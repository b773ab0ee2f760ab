//! `keygate limits`: what is left, and giving it back.

mod show;

use clap::Subcommand;
use keygate::port::Owner;
use serde::Serialize;

use crate::{
    args::{Global, Subject},
    confirm::confirm,
    error::Failure,
    output::{Output, counted},
    store::Store,
};

/// What can be done with limits.
#[derive(Subcommand)]
pub(crate) enum LimitsCommand {
    /// Show what is used and left of every limit; this consumes nothing
    ///
    /// For a consumer: the limits of all plans that its keys are on, revoked keys left out.
    Show {
        /// A key's id, or else a consumer
        #[arg(value_name = "KEY_OR_CONSUMER")]
        subject: Subject,
    },
    /// Forget what was used, so that everything is left again
    ///
    /// For a key: its own limits (`partition = "key"`). For a consumer: those that its keys share.
    Reset {
        /// A key's id, or else a consumer
        #[arg(value_name = "KEY_OR_CONSUMER")]
        subject: Subject,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

impl LimitsCommand {
    pub(crate) async fn run(&self, global: &Global, output: &Output) -> Result<(), Failure> {
        match self {
            Self::Show { subject } => show::show(subject, global, output).await,
            Self::Reset { subject, yes } => {
                reset(subject, *yes, &Store::connect(global).await?).await?;
                tell(subject, output)
            }
        }
    }
}

async fn reset(subject: &Subject, yes: bool, store: &Store) -> Result<(), Failure> {
    let counters = store.counters();
    match subject {
        Subject::Key(id) => {
            let record = store.record(*id).await?;
            let consumer = &record.consumer;
            confirm(&format!("Forget what {id} of {consumer} used?"), yes)?;
            Ok(counters.reset(Owner::Key { consumer, key: record.lineage }).await?)
        }
        Subject::Consumer(consumer) => {
            let keys = counted(store.records_of(consumer).await?.len());
            confirm(&format!("Forget what {consumer} used with its {keys}?"), yes)?;
            Ok(counters.reset(Owner::Consumer(consumer)).await?)
        }
    }
}

fn tell(subject: &Subject, output: &Output) -> Result<(), Failure> {
    if output.is_json() {
        return output.json(&Reset { reset: subject.to_string() });
    }
    output.line(format_args!("reset {subject}"))
}

/// Whose counters were reset.
#[derive(Serialize)]
struct Reset {
    reset: String,
}
