//! `keygate plans`: the plans in force.

mod apply;
mod view;

use clap::Subcommand;
use keygate::plan::Name;

pub(crate) use self::view::LimitView;
use self::{apply::Apply, view::PlanView};
use crate::{
    args::Global,
    error::Failure,
    output::{Output, counted},
    store::Store,
};

/// What can be done with plans.
#[derive(Subcommand)]
pub(crate) enum PlansCommand {
    Apply(Apply),
    /// List the plans, and how many keys each has
    List,
    /// Show the limits of a plan
    Show {
        /// The plan
        #[arg(value_name = "PLAN")]
        name: Name,
    },
    /// Write the plans as they were applied, comments and all
    Export,
}

impl PlansCommand {
    pub(crate) async fn run(&self, global: &Global, output: &Output) -> Result<(), Failure> {
        match self {
            Self::Apply(apply) => apply.run(global, output).await,
            Self::List => list(global, output).await,
            Self::Show { name } => show(name, global, output).await,
            Self::Export => export(global, output).await,
        }
    }
}

async fn list(global: &Global, output: &Output) -> Result<(), Failure> {
    let store = Store::connect(global).await?;
    let (plans, in_use) = (store.plans().await?, store.stored_plans().in_use().await?);
    let views: Vec<PlanView> = plans.iter().map(|plan| PlanView::of(plan, &in_use)).collect();
    if output.is_json() {
        return output.json(&views);
    }
    if views.is_empty() {
        output.note("no plans yet; `keygate plans apply FILE` puts some in force");
        return Ok(());
    }
    output.table(PlanView::COLUMNS, views.iter().map(PlanView::row))
}

async fn show(name: &Name, global: &Global, output: &Output) -> Result<(), Failure> {
    let store = Store::connect(global).await?;
    let (plans, in_use) = (store.plans().await?, store.stored_plans().in_use().await?);
    let plan = plans.find(name.as_str()).ok_or_else(|| {
        Failure::Refused(format!("plan {name} is unknown; the plans are: {}", plans.names()))
    })?;
    let view = PlanView::of(plan, &in_use);
    if output.is_json() {
        return output.json(&view);
    }
    output.line(format_args!("plan {name}: {}, scopes {}", counted(view.keys), plan.scopes()))?;
    output.table(LimitView::COLUMNS, view.limits.iter().map(LimitView::row))
}

async fn export(global: &Global, output: &Output) -> Result<(), Failure> {
    let stored = Store::connect(global).await?.stored_plans().load().await?;
    let stored = stored.ok_or_else(|| Failure::Refused("no plans were applied yet".to_owned()))?;
    if output.is_json() {
        return output.json(&view::Exported { revision: stored.revision, text: &stored.text });
    }
    output.text(&stored.text)
}
