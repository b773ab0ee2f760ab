//! Reading by id: a step along an index, with the records it names.

use std::sync::Arc;

use keygate::{
    key::{KeyDigest, KeyId},
    port::KeyFilter,
    record::{ConsumerId, KeyRecord},
};

use super::{WITHIN, read, unreadable};
use crate::{fault::Fault, layout::Layout, link::Link, script::Script};

/// How many records one step reads at most: a few milliseconds of Redis' time.
const STEP: usize = 500;

#[derive(Debug)]
pub(super) struct Pages {
    link: Arc<Link>,
    layout: Layout,
    script: Script,
}

impl Pages {
    pub(super) fn new(link: Arc<Link>, layout: Layout) -> Self {
        let script = Script::new(concat!(include_str!("../common.lua"), include_str!("page.lua")));
        Self { link, layout, script }
    }

    /// The record of this id.
    pub(super) async fn of_id(&self, id: KeyId) -> Result<Option<Arc<KeyRecord>>, Fault> {
        let range = Range::of_id(&self.layout, id);
        Ok(self.step(&range, 1).await?.pop())
    }

    /// The records that a filter selects.
    pub(super) async fn of(&self, filter: &KeyFilter) -> Result<Vec<Arc<KeyRecord>>, Fault> {
        let mut range = Range::of(&self.layout, filter);
        let mut selected = Vec::new();
        while selected.len() < filter.most {
            let size = step_size(filter, selected.len());
            let step = self.step(&range, size).await?;
            let more = step.len() == size;
            if let Some(last) = step.last() {
                range.go_on_after(last.id);
            }
            selected.extend(step.into_iter().filter(|record| filter.selects(record)));
            if !more {
                break;
            }
        }
        selected.truncate(filter.most);
        Ok(selected)
    }

    async fn step(&self, range: &Range, size: usize) -> Result<Vec<Arc<KeyRecord>>, Fault> {
        let keys = [range.index.clone(), self.layout.records()];
        let args = [range.from.clone(), range.to.clone(), size.to_string()];
        let answer = self.link.call(&self.script, &keys, &args, WITHIN).await;
        let named: Vec<(Vec<u8>, Option<Vec<u8>>)> =
            answer.map_err(|fault: Fault| fault.at(&range.index))?;
        named
            .into_iter()
            .map(|(member, json)| self.record(range, &member, json.as_deref()))
            .collect()
    }

    fn record(
        &self,
        range: &Range,
        member: &[u8],
        json: Option<&[u8]>,
    ) -> Result<Arc<KeyRecord>, Fault> {
        let (id, digest) = parse(member).ok_or_else(|| {
            Fault::foreign(&range.index, "a member that does not end in a key id and a digest")
        })?;
        json.and_then(read)
            .filter(|record| record.id == id && record.digest == digest)
            .map(Arc::new)
            .ok_or_else(|| unreadable(&self.layout.records(), &digest))
    }
}

/// A part of an index, as bounds of ZRANGE BYLEX.
///
/// All members have score 0 and so lie in the order of their bytes. Words are parted by a space,
/// the next byte after which is `!`: what lies between the two begins with the same words.
struct Range {
    index: String,
    scope: String,
    from: String,
    to: String,
}

impl Range {
    fn of_id(layout: &Layout, id: KeyId) -> Self {
        Self {
            index: layout.ids(),
            scope: String::new(),
            from: format!("[{id} "),
            to: format!("({id}!"),
        }
    }

    fn of(layout: &Layout, filter: &KeyFilter) -> Self {
        let mut range = match &filter.consumer {
            Some(consumer) => Self::of_consumer(layout, consumer),
            None => Self {
                index: layout.ids(),
                scope: String::new(),
                from: "-".to_owned(),
                to: "+".to_owned(),
            },
        };
        if let Some(id) = filter.after {
            range.go_on_after(id);
        }
        range
    }

    fn of_consumer(layout: &Layout, consumer: &ConsumerId) -> Self {
        Self {
            index: layout.consumers(),
            scope: format!("{consumer} "),
            from: format!("[{consumer} "),
            to: format!("({consumer}!"),
        }
    }

    fn go_on_after(&mut self, id: KeyId) {
        self.from = format!("({}{id}!", self.scope);
    }
}

fn parse(member: &[u8]) -> Option<(KeyId, KeyDigest)> {
    let mut words = str::from_utf8(member).ok()?.rsplit(' ');
    let (digest, id) = (words.next()?, words.next()?);
    Some((id.parse().ok()?, digest.parse().ok()?))
}

/// What is compared record by record may need more records than it selects.
fn step_size(filter: &KeyFilter, selected: usize) -> usize {
    if filter.plan.is_some() || filter.status.is_some() {
        STEP
    } else {
        filter.most.saturating_sub(selected).min(STEP)
    }
}
