//! `keygate keys revoke`, `disable`, `enable` and `move`.

use keygate::{
    Keyring,
    key::{Digester, KeyFormat, KeyId},
    plan::Name,
    record::KeyRecord,
};

use super::view;
use crate::{args::Global, confirm::confirm, error::Failure, output::Output, store::Store};

pub(super) async fn revoke(
    id: KeyId,
    yes: bool,
    global: &Global,
    output: &Output,
) -> Result<(), Failure> {
    let store = Store::connect(global).await?;
    let KeyRecord { hint, consumer, .. } = &*store.record(id).await?;
    confirm(&format!("End {id} ({hint}) of {consumer} for good?"), yes)?;
    view::tell("revoked", &keyring(&store).await?.revoke(id).await?, output)
}

pub(super) async fn disable(id: KeyId, global: &Global, output: &Output) -> Result<(), Failure> {
    let keyring = keyring(&Store::connect(global).await?).await?;
    view::tell("disabled", &keyring.disable(id).await?, output)
}

pub(super) async fn enable(id: KeyId, global: &Global, output: &Output) -> Result<(), Failure> {
    let keyring = keyring(&Store::connect(global).await?).await?;
    view::tell("enabled", &keyring.enable(id).await?, output)
}

pub(super) async fn move_to(
    id: KeyId,
    plan: &Name,
    global: &Global,
    output: &Output,
) -> Result<(), Failure> {
    let keyring = keyring(&Store::connect(global).await?).await?;
    view::tell("moved", &keyring.move_to_plan(id, plan.as_str()).await?, output)
}

/// A keyring that makes no keys.
async fn keyring(store: &Store) -> Result<Keyring, Failure> {
    store.keyring(store.plans().await?, KeyFormat::default(), Digester::default())
}
