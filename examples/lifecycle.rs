//! The life of a key: issued, rotated with an overlap, revoked. `cargo run --bin lifecycle`.

use std::time::Duration;

use keygate::{Gate, NewKey, Plans, port::KeyFilter};

#[tokio::main]
#[expect(clippy::print_stdout, reason = "an example shows what happens")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let gate = Gate::in_memory(Plans::from_toml("[plans.free]\nscopes = [\"orders:read\"]")?)?;
    let keyring = gate.keyring();

    // The text of a key exists only in `issued.key`; the store keeps its hash.
    let issued = keyring
        .issue(
            NewKey::new("acme", "free")
                .name("CI")
                .scopes(["orders:read"])
                .attribute("country", "FR"),
        )
        .await?;
    println!("issued  {} {}", issued.record.id, issued.record.hint);

    // The successor shares plan, scopes and counters. The old key works for another day, so that
    // nothing breaks while the new one is rolled out.
    let successor = keyring.rotate(issued.record.id, Duration::from_secs(86_400)).await?;
    println!("rotated {} {}", successor.record.id, successor.record.hint);

    keyring.revoke(issued.record.id).await?;
    for record in keyring.list(&KeyFilter::default()).await? {
        println!("{} {:?} expires {:?}", record.id, record.status, record.expires);
    }
    Ok(())
}
