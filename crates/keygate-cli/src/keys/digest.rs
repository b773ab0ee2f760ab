//! Whether new keys are digested as the services do it.

use std::sync::Arc;

use clap::Args;
use keygate::{key::Digester, record::KeyRecord};

use crate::{error::Failure, pepper};

/// How new keys are digested.
#[derive(Args)]
pub(super) struct DigestArgs {
    /// Go on although keys were issued here with a newer pepper, or with one at all
    #[arg(long)]
    older_pepper: bool,
}

impl DigestArgs {
    /// Refuses to make a key under an older scheme than `there` are: the services would hardly
    /// find it.
    pub(super) fn check(
        &self,
        digester: &Digester,
        there: &[Arc<KeyRecord>],
    ) -> Result<(), Failure> {
        let ours = pepper::scheme(digester);
        let newest = there.iter().map(|record| record.digest.scheme()).max();
        match newest {
            Some(newest) if newest > ours && !self.older_pepper => Err(Failure::Refused(format!(
                "keys here are digested by {newest}, and this one would be by {ours}; set \
                 KEYGATE_PEPPER_FILE and KEYGATE_PEPPER_VERSION as the services have them, or give \
                 --older-pepper if they take both"
            ))),
            _ => Ok(()),
        }
    }
}
