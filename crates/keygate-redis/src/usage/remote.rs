//! Usage as it lies in Redis: the only part that talks to it.

use std::{sync::Arc, time::Duration};

use keygate::{clock::Clock, memory::Retention};

use super::errand::{Call, Errand};
use crate::{
    fault::Fault,
    layout::Layout,
    link::{Link, Places},
    script::Script,
};

#[derive(Debug)]
pub(super) struct Remote {
    pub(super) link: Link,
    pub(super) layout: Layout,
    pub(super) retention: Retention,
    pub(super) clock: Arc<dyn Clock>,
    /// Tells this process from all others that add to the same rollups.
    pub(super) replica: String,
    pub(super) within: Duration,
    /// A charge that is sent behind batches waits for all of them.
    pub(super) places: Places,
    pub(super) scripts: Scripts,
}

#[derive(Debug)]
pub(super) struct Scripts {
    add: Script,
    list: Script,
    used: Script,
    pub(super) read: Script,
}

/// What an errand could not do, for good: keys of ours hold what we did not write.
#[derive(Debug, Default)]
pub(super) struct Refused {
    /// One of the keys.
    pub(super) key: Option<String>,
    /// How many events are not in some rollup.
    pub(super) events: u64,
}

impl Remote {
    pub(super) async fn run(&self, errand: &Errand) -> Result<Refused, Fault> {
        let call = errand.call(self);
        if call.keys.is_empty() {
            return Ok(Refused::default());
        }
        let script = match errand {
            Errand::List(_) => &self.scripts.list,
            Errand::Add(..) => &self.scripts.add,
            Errand::Used(..) => &self.scripts.used,
        };
        let sent = self.link.call(script, &call.keys, &call.args, self.within);
        let refused: Vec<usize> = self.places.in_turn(sent).await?;
        Ok(Refused::of(&call, &refused))
    }
}

impl Refused {
    fn of(call: &Call, refused: &[usize]) -> Self {
        let first = refused.first().and_then(|number| call.keys.get(number.checked_sub(1)?));
        Self { key: first.cloned(), events: call.lost(refused) }
    }
}

impl Default for Scripts {
    fn default() -> Self {
        Self {
            add: Script::new(include_str!("add.lua")),
            list: Script::new(include_str!("list.lua")),
            used: Script::new(include_str!("used.lua")),
            read: Script::new(include_str!("read.lua")),
        }
    }
}
