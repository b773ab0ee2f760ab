//! `keygate keys issue`.

use std::collections::BTreeSet;

use clap::Args;
use keygate::{
    NewKey, Plans,
    clock::{Clock, SystemClock},
    key::KeyFormat,
    keyring::Issued,
    plan::Name,
    port::KeyFilter,
    record::{ConsumerId, KeyRecord},
    scope::Scope,
};
use serde::Serialize;

use super::{digest::DigestArgs, format::FormatArgs, view::KeyView};
use crate::{
    args::{Global, attribute},
    error::Failure,
    output::Output,
    pepper,
    store::Store,
    time::{When, instant_or},
};

/// How many keys are looked at, to see how keys are digested here. Ids are random, so any page is
/// a sample.
const SAMPLE: usize = 20;

const EXAMPLES: &str = "\
Examples:
  keygate keys issue --consumer acme --plan free --scope 'search:*' --scope orders:read
  keygate keys issue --consumer acme --plan pro --expires 90d --name ci > acme.key
  KEY=$(keygate keys issue --consumer acme --plan free)

The text of the key is shown this once: the store keeps its digest only. It goes to standard output
alone; everything else goes to standard error. A key without scopes may use only what asks for none.

Where the services have a pepper, set KEYGATE_PEPPER_FILE (or KEYGATE_PEPPER) and
KEYGATE_PEPPER_VERSION as they have it: without it they would never find the key.";

/// Issue a key, and show its text this once
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Issue {
    /// Who owns the key and pays: a project or an organisation
    #[arg(long, value_name = "CONSUMER")]
    consumer: ConsumerId,
    /// The plan that holds it to its limits
    #[arg(long, value_name = "PLAN")]
    plan: Name,
    /// What it may do, under the ceiling of its plan; again for more
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<Scope>,
    /// A name for people
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    name: String,
    /// When it ends: a span such as 90d, or an instant such as 2027-01-01T00:00:00Z
    #[arg(long, value_name = "WHEN")]
    expires: Option<When>,
    /// When it begins: a span from now, or an instant
    #[arg(long, value_name = "WHEN")]
    not_before: Option<When>,
    /// A fact for the services, such as country=FR; again for more
    #[arg(long = "attribute", value_name = "NAME=VALUE", value_parser = attribute)]
    attributes: Vec<(String, String)>,
    #[command(flatten)]
    format: FormatArgs,
    #[command(flatten)]
    digest: DigestArgs,
}

impl Issue {
    pub(super) async fn run(&self, global: &Global, output: &Output) -> Result<(), Failure> {
        let new = self.new_key()?;
        let format = self.format.or(&KeyFormat::default())?;
        let digester = pepper::digester()?;
        let store = Store::connect(global).await?;
        let sample = store.records(KeyFilter::default(), Some(SAMPLE)).await?;
        self.digest.check(&digester, &sample)?;
        let plans = store.plans().await?;
        let issued = store.keyring(plans.clone(), format, digester)?.issue(new).await?;
        let outside = outside_ceiling(&plans, &issued.record);
        let KeyRecord { id, consumer, plan, expires, .. } = &issued.record;
        let until = instant_or(*expires, "it is revoked");
        let note = format!(
            "issued {id} to {consumer} on plan {plan}, until {until}; this key is shown once"
        );
        let view = IssuedView { key: issued.key.expose(), record: KeyView::of(&issued.record) };
        hand_over(&issued, &view, &note, output)?;
        if !outside.is_empty() {
            let outside = outside.join(", ");
            output.note(format_args!("plan {plan} does not cover, and so withholds: {outside}"));
        }
        Ok(())
    }

    fn new_key(&self) -> Result<NewKey, Failure> {
        let now = SystemClock.now().to_datetime();
        let mut new = NewKey::new(self.consumer.as_str(), self.plan.as_str())
            .name(&self.name)
            .scopes(self.scopes.iter().map(ToString::to_string));
        let mut named = BTreeSet::new();
        for (name, value) in &self.attributes {
            if !named.insert(name) {
                let name = name.escape_debug();
                let twice = format!("--attribute: `{name}` is given twice; give it once");
                return Err(Failure::Usage(twice));
            }
            new = new.attribute(name, value);
        }
        if let Some(when) = self.not_before {
            new = new.not_before(when.hence(now, "--not-before")?);
        }
        if let Some(when) = self.expires {
            new = new.expires(when.hence(now, "--expires")?);
        }
        Ok(new)
    }
}

/// A new key with its text.
#[derive(Serialize)]
struct IssuedView<'a> {
    key: &'a str,
    #[serde(flatten)]
    record: KeyView<'a>,
}

/// Shows a new key. Its text is lost when it cannot be shown, so that is told even where whoever read
/// the output has gone.
pub(super) fn hand_over(
    issued: &Issued,
    view: &impl Serialize,
    note: &str,
    output: &Output,
) -> Result<(), Failure> {
    let shown = if output.is_json() { output.json(view) } else { output.secret(&issued.key) };
    shown.map_err(|error| {
        let id = issued.record.id;
        let fix = format!("`keygate keys rotate {id} --grace 0s` makes another");
        Failure::Refused(format!("{id} was made, but its text is lost: {error}; {fix}"))
    })?;
    if !output.is_json() {
        output.note(note);
    }
    Ok(())
}

/// The scopes of a key that its plan does not cover.
fn outside_ceiling(plans: &Plans, record: &KeyRecord) -> Vec<String> {
    let Some(plan) = plans.find(record.plan.as_str()) else { return Vec::new() };
    let outside = record.scopes.iter().filter(|scope| !plan.scopes().covers(scope));
    outside.map(ToString::to_string).collect()
}
