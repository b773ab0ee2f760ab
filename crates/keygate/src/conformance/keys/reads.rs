use std::{collections::BTreeSet, sync::Arc};

use super::{
    KeyHarness,
    scene::{Scene, renamed},
};
use crate::{
    conformance::{Coverage, broken, require, require_eq, sound},
    key::KeyId,
    plan::Name,
    port::KeyFilter,
    record::{KeyRecord, KeyStatus},
};

/// What was committed is found by its digest and by its id, equal to what was committed.
pub async fn found_by_digest_and_id(harness: &dyn KeyHarness) -> Coverage {
    let scene = Scene::new("found_by_digest_and_id", harness);
    let records = [scene.record(), scene.full_record(), scene.record()];
    for record in &records {
        scene.commit(std::slice::from_ref(record)).await;
    }
    let together = [scene.full_record(), scene.record()];
    scene.commit(&together).await;
    for record in records.iter().chain(&together) {
        scene.shows(record).await;
    }
    Coverage::Whole
}

/// A digest or id that was never committed is `None`, not a fault.
pub async fn unknown_is_none(harness: &dyn KeyHarness) -> Coverage {
    let scene = Scene::new("unknown_is_none", harness);
    scene.hides(&scene.record()).await;
    scene.commit(&[scene.record()]).await;
    scene.hides(&scene.record()).await;
    let nobody = Scene::new(scene.law, harness);
    require(
        nobody.list(&nobody.filter()).await.is_empty(),
        scene.law,
        "a consumer without keys has some",
    );
    Coverage::Whole
}

/// After a commit, every way to read shows it.
pub async fn changes_show_at_once(harness: &dyn KeyHarness) -> Coverage {
    let scene = Scene::new("changes_show_at_once", harness);
    let mut record = scene.full_record();
    scene.commit(std::slice::from_ref(&record)).await;
    scene.shows(&record).await;
    let statuses = [KeyStatus::Disabled, KeyStatus::Active, KeyStatus::Revoked];
    for (number, status) in (1..).zip(statuses) {
        record = renamed(&record, &format!("change {number}"));
        record.status = status;
        record.expires = None;
        record.plan = sound(Name::parse(&format!("plan-{number}")), scene.law);
        record.successor = Some(sound(KeyId::random(), scene.law));
        scene.commit(std::slice::from_ref(&record)).await;
        scene.shows(&record).await;
        let stale = scene.list(&scene.filter().plan("free")).await;
        require(stale.is_empty(), scene.law, "listed under a plan it left");
    }
    Coverage::Whole
}

/// Pages by id, each record once, filtered as asked.
pub async fn list_is_complete_and_ordered(harness: &dyn KeyHarness) -> Coverage {
    let scene = Scene::new("list_is_complete_and_ordered", harness);
    let mut records = Vec::new();
    for number in 0..11 {
        let plan = if number % 3 == 0 { "pro" } else { "free" };
        let mut record = scene.record();
        record.plan = sound(Name::parse(plan), scene.law);
        if number % 2 == 0 {
            record.status = KeyStatus::Disabled;
        }
        records.push(record);
    }
    scene.commit(&records).await;
    let stranger = Scene::new(scene.law, harness);
    stranger.commit(&[stranger.record()]).await;

    let mine = scene.filter();
    let disabled = KeyStatus::Disabled;
    for filter in [
        mine.clone(),
        mine.clone().plan("pro"),
        mine.clone().status(disabled),
        mine.clone().status(disabled).plan("free"),
        mine.clone().plan("no-such-plan"),
        mine.clone().status(KeyStatus::Revoked),
    ] {
        let right = ordered(records.iter().filter(|record| filter.selects(record)));
        for most in [1, 2, 3, 10, 11, 12, 1_000] {
            let listed = all_pages(&scene, filter.clone().most(most)).await;
            let ids = listed.iter().map(|record| record.id).collect::<Vec<_>>();
            require_eq(&ids, &right, scene.law, "ids of all pages");
            let same = listed.iter().all(|listed| records.contains(listed));
            require(same, scene.law, "a listed record differs from the committed one");
        }
    }
    without_a_consumer(&scene, &records).await;
    Coverage::Whole
}

/// A filter for everybody selects at least those of these records that it should, in order.
async fn without_a_consumer(scene: &Scene, records: &[KeyRecord]) {
    let everybody = KeyFilter::default();
    for filter in [
        everybody.clone(),
        everybody.clone().plan("pro"),
        everybody.clone().status(KeyStatus::Disabled),
        everybody.status(KeyStatus::Active).plan("free"),
    ] {
        let listed = all_pages(scene, filter.clone().most(50)).await;
        let selected = listed.iter().all(|record| filter.selects(record));
        require(selected, scene.law, format_args!("a record that {filter:?} does not select"));
        let ids = listed.iter().map(|record| record.id);
        let known = ordered(records.iter().filter(|record| filter.selects(record)));
        let own: Vec<KeyId> = ids.filter(|id| known.contains(id)).collect();
        require_eq(&own, &known, scene.law, "ids among those of everybody");
    }
}

fn ordered<'r>(records: impl IntoIterator<Item = &'r KeyRecord>) -> Vec<KeyId> {
    let ids: BTreeSet<KeyId> = records.into_iter().map(|record| record.id).collect();
    ids.into_iter().collect()
}

/// Every record that a filter selects, page by page.
async fn all_pages(scene: &Scene, mut filter: KeyFilter) -> Vec<Arc<KeyRecord>> {
    let mut all: Vec<Arc<KeyRecord>> = Vec::new();
    loop {
        let page = scene.list(&filter).await;
        require(page.len() <= filter.most, scene.law, "a page is longer than asked for");
        let full = page.len() == filter.most;
        for record in page {
            if all.last().is_some_and(|before| before.id >= record.id) {
                broken(scene.law, "the ids do not rise, or one stands twice");
            }
            filter = filter.after(record.id);
            all.push(record);
        }
        if !full {
            return all;
        }
    }
}
