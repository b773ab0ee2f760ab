//! One look at what changed.

use std::{num::NonZeroU32, time::Duration};

use keygate::key::KeyDigest;

use super::Watch;
use crate::{
    fault::Fault,
    plans::{self, Fields},
    script::Script,
};

/// How long a look may take.
const WITHIN: Duration = Duration::from_secs(1);

/// How long a replica counts that is not heard of any more.
const LIFETIME: Duration = Duration::from_secs(15);

/// Where this replica stands in the log.
pub(super) struct CatchUp<'w> {
    watch: &'w Watch,
    script: Script,
    keys: [String; 3],
    /// Its name among the replicas; empty if it is none.
    replica: String,
    /// The last change seen; `None` before the first look.
    position: Option<String>,
    /// Which plans were seen last, whether or not they could be read.
    stamp: String,
}

/// Position, what changed, stamp, the plans if they changed, how many replicas there are.
type Look = (String, Vec<String>, String, Option<Fields>, Option<u32>);

impl<'w> CatchUp<'w> {
    pub(super) fn new(watch: &'w Watch) -> Self {
        let layout = &watch.layout;
        Self {
            watch,
            script: Script::new(concat!(include_str!("../common.lua"), include_str!("tick.lua"))),
            keys: [layout.changes(), layout.plans(), layout.replicas()],
            // Two replicas of one name would be counted as one.
            replica: if watch.serves {
                format!("{:016x}", getrandom::u64().unwrap_or(0))
            } else {
                String::new()
            },
            position: None,
            stamp: String::new(),
        }
    }

    /// Looks, forgets what changed, and confirms the rest. How many replicas there are, if that
    /// could be told.
    pub(super) async fn once(&mut self) -> Result<Option<NonZeroU32>, Fault> {
        let began = self.watch.clock.now();
        let (position, changed, stamp, stored, replicas) = self.look().await?;
        if self.position.is_none() {
            self.watch.cache.forget_all();
        }
        self.forget(&changed);
        self.position = Some(position);
        if let Some(stored) = stored {
            self.replace_plans(stored);
            self.stamp = stamp;
        }
        self.watch.cache.confirm(began);
        Ok(replicas.and_then(NonZeroU32::new))
    }

    async fn look(&self) -> Result<Look, Fault> {
        let args = [
            self.position.as_deref().unwrap_or_default(),
            &self.stamp,
            &self.replica,
            &LIFETIME.as_secs().to_string(),
        ];
        let look = self.watch.link.call(&self.script, &self.keys, &args, WITHIN).await;
        look.map_err(|fault: Fault| fault.at(&self.watch.layout.changes()))
    }

    /// Forgets the digests that stand in these words; everything if a word is none.
    fn forget(&self, changed: &[String]) {
        let words = changed.iter().flat_map(|words| words.split(' '));
        for digest in words.map(str::parse::<KeyDigest>) {
            let Ok(digest) = digest else { return self.watch.cache.forget_all() };
            self.watch.cache.forget(&digest);
        }
    }

    /// Puts the stored plans in force. Those in force stay if there are none, or none that this
    /// version can read.
    fn replace_plans(&self, stored: Fields) {
        match plans::read(&self.watch.layout.plans(), stored) {
            Ok(Some(stored)) => {
                tracing::info!(revision = stored.revision, "plans are in force");
                self.watch.plans.replace(stored.plans);
            }
            Ok(None) => tracing::info!("no plans are stored; those in force stay"),
            Err(error) => tracing::error!(%error, "the plans in force stay"),
        }
    }
}
