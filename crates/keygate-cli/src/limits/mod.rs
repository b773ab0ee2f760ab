//! `keygate limits`: what is left, and giving it back.

mod show;

use clap::Subcommand;
use keygate::{plan::Name, port::Owner};
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
    /// For a consumer: the limits of all plans that its keys are on, revoked keys left out. For who calls
    /// without a key: those of the plan that you name.
    Show {
        /// A key's id, an address such as ip:203.0.113.7 that calls without a key, or else a consumer
        #[arg(value_name = "SUBJECT")]
        subject: Subject,
        /// Only of this plan; needed for an address, whose plan no key names
        #[arg(long, value_name = "NAME")]
        plan: Option<Name>,
    },
    /// Forget what was used, so that everything is left again
    ///
    /// For a key: its own limits (`partition = "key"`). For a consumer: those that its keys share. For who
    /// calls without a key: all limits.
    Reset {
        /// A key's id, an address such as ip:203.0.113.7 that calls without a key, or else a consumer
        #[arg(value_name = "SUBJECT")]
        subject: Subject,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

impl LimitsCommand {
    pub(crate) async fn run(&self, global: &Global, output: &Output) -> Result<(), Failure> {
        match self {
            Self::Show { subject, plan } => {
                show::show(subject, plan.as_ref(), global, output).await
            }
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
        Subject::Visitor(consumer) => {
            confirm(&format!("Forget what {consumer} used without a key?"), yes)?;
            if let Some(key) = consumer.visitor_lineage() {
                counters.reset(Owner::Key { consumer, key }).await?;
            }
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
