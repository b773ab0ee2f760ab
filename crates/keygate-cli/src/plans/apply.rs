//! `keygate plans apply`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Display, Path, PathBuf},
};

use clap::Args;
use keygate::{Plans, plan::Name};
use serde::Serialize;

use super::view::PlanView;
use crate::{
    args::Global,
    confirm::confirm,
    error::Failure,
    output::{Output, counted},
    store::Store,
};

/// Put the plans of a file in force, for every key at once
///
/// The file is the whole set: a plan that is not in it is removed. It is checked first, and shown is
/// what changes. What was used stays used. A plan that still has keys is not removed.
#[derive(Args)]
pub(crate) struct Apply {
    /// The plans in TOML; `-` reads standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Show what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Remove plans that still have keys: those keys are refused until they are moved
    #[arg(long)]
    force: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

impl Apply {
    pub(super) async fn run(&self, global: &Global, output: &Output) -> Result<(), Failure> {
        let text = self.read()?;
        let plans = Plans::from_toml(&text)
            .map_err(|error| Failure::Refused(format!("{}: {error}", self.name())))?;
        self.apply(&text, &plans, &Store::connect(global).await?, output).await
    }

    async fn apply(
        &self,
        text: &str,
        plans: &Plans,
        store: &Store,
        output: &Output,
    ) -> Result<(), Failure> {
        let stored = store.stored_plans().load().await?;
        let before = stored.as_ref().map(|stored| stored.plans.clone()).unwrap_or_default();
        let mut edit = Edit::between(&before, plans, self.dry_run);
        self.refuse_orphans(&edit, store).await?;
        if !output.is_json() {
            edit.tell(output)?;
        }
        let same_text = stored.as_ref().is_some_and(|stored| stored.text == text);
        edit.revision = stored.map(|stored| stored.revision);
        if !self.dry_run && !same_text {
            if !edit.is_empty() {
                confirm("Apply this?", self.yes)?;
            }
            let applied = store.stored_plans().apply(text, edit.revision).await?;
            edit.revision = Some(applied.revision);
        }
        if output.is_json() {
            return output.json(&edit);
        }
        output.note(edit.outcome(same_text));
        Ok(())
    }

    async fn refuse_orphans(&self, edit: &Edit, store: &Store) -> Result<(), Failure> {
        let in_use = store.stored_plans().in_use().await?;
        let left = edit.removed.iter().find_map(|plan| Some((plan, in_use.get(plan)?)));
        match left {
            Some((plan, keys)) if !self.force => Err(Failure::Refused(format!(
                "plan {plan} would be removed, but has {}; move or revoke them \
                 (`keygate keys list --plan {plan}`), or give --force",
                counted(*keys)
            ))),
            _ => Ok(()),
        }
    }

    fn read(&self) -> Result<String, Failure> {
        let read = if self.is_stdin() {
            io::read_to_string(io::stdin())
        } else {
            fs::read_to_string(&self.file)
        };
        read.map_err(|error| Failure::Refused(format!("{} cannot be read: {error}", self.name())))
    }

    fn is_stdin(&self) -> bool {
        self.file == Path::new("-")
    }

    fn name(&self) -> Display<'_> {
        let name = if self.is_stdin() { Path::new("standard input") } else { &self.file };
        name.display()
    }
}

/// What an edit does to the plans.
#[derive(Serialize)]
struct Edit {
    dry_run: bool,
    revision: Option<u64>,
    added: Vec<Name>,
    changed: Vec<Name>,
    removed: Vec<Name>,
}

impl Edit {
    fn between(before: &Plans, after: &Plans, dry_run: bool) -> Self {
        let [old, new] = [before, after].map(views);
        let names: BTreeSet<&Name> = old.keys().chain(new.keys()).collect();
        let mut edit =
            Self { dry_run, revision: None, added: vec![], changed: vec![], removed: vec![] };
        for name in names {
            match (old.get(name), new.get(name)) {
                (None, _) => edit.added.push(name.clone()),
                (_, None) => edit.removed.push(name.clone()),
                (old, new) if old != new => edit.changed.push(name.clone()),
                _ => {}
            }
        }
        edit
    }

    fn is_empty(&self) -> bool {
        self.added.is_empty() && self.changed.is_empty() && self.removed.is_empty()
    }

    fn tell(&self, output: &Output) -> Result<(), Failure> {
        let signs = [("+", &self.added), ("~", &self.changed), ("-", &self.removed)];
        let mut lines =
            signs.into_iter().flat_map(|(sign, names)| names.iter().map(move |name| (sign, name)));
        lines.try_for_each(|(sign, name)| output.line(format_args!("{sign} {name}")))
    }

    fn outcome(&self, same_text: bool) -> String {
        match (self.dry_run, same_text, self.revision) {
            (true, ..) if self.is_empty() => "no plan would change".to_owned(),
            (true, ..) => "nothing was changed: this was a dry run".to_owned(),
            (_, true, _) => "these plans are in force already".to_owned(),
            (.., revision) => format!("in force, as revision {}", revision.unwrap_or_default()),
        }
    }
}

fn views(plans: &Plans) -> BTreeMap<Name, PlanView> {
    let nobody = BTreeMap::new();
    plans.iter().map(|plan| (plan.name().clone(), PlanView::of(plan, &nobody))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edit_tells_what_is_added_changed_and_removed() {
        let plans = |text: &str| Plans::from_toml(text).unwrap();
        let limits = "limits = [{ name = 'daily', quota = 9, per = 'day' }]";
        let before =
            plans(&format!("[plans.same]\n{limits}\n[plans.other]\n{limits}\n[plans.gone]"));
        let limits = limits.replace("9", "8");
        let after = plans(&format!(
            "[plans.other]\n{limits}\n[plans.new]\n[plans.same]\n# as before\n{}",
            limits.replace("8", "9")
        ));
        let edit = Edit::between(&before, &after, false);
        let names = |names: &[Name]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(names(&edit.added), ["new"]);
        assert_eq!(names(&edit.changed), ["other"]);
        assert_eq!(names(&edit.removed), ["gone"]);
        assert!(Edit::between(&after, &after, false).is_empty());
    }
}
