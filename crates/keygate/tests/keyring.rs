//! The life of keys, seen by those who manage them and by those who use them.

#![cfg(test)]

mod door;
mod rigged;

use std::{future::Future, sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use door::Door;
use keygate::{
    key::KeyId,
    keyring::{KeyringError, NewKey},
    port::KeyFilter,
    record::{KeyRecord, KeyStatus},
    verdict::Reason,
};
use rigged::{RiggedKeys, Way};

const HOUR: Duration = Duration::from_secs(3_600);

fn wait<T>(future: impl Future<Output = T>) -> T {
    pollster::block_on(future)
}

fn full(now: DateTime<Utc>) -> NewKey {
    NewKey::new("acme", "free")
        .name("CI")
        .scopes(["orders:read", "search:*"])
        .attribute("country", "FR")
        .not_before(now)
        .expires(now + TimeDelta::days(30))
}

#[test]
fn an_issued_key_is_found_by_its_id_and_works() {
    let door = Door::new();
    let issued = wait(door.keyring.issue(full(door.now()))).unwrap();
    let record = wait(door.keyring.find(issued.record.id)).unwrap().unwrap();
    assert_eq!(*record, issued.record);
    assert_eq!(record.name, "CI");
    assert_eq!(record.consumer.as_str(), "acme");
    assert_eq!(record.plan.as_str(), "free");
    assert_eq!(record.scopes.to_string(), "orders:read search:*");
    assert_eq!(record.attributes["country"], "FR");
    assert_eq!(record.status, KeyStatus::Active);
    assert_eq!((record.lineage, record.successor, record.revision), (record.id, None, 0));
    assert_eq!(record.hint, issued.key.hint());
    assert_eq!(door.knock(issued.key.expose()), Ok(()));
}

#[test]
fn the_text_of_a_key_is_in_no_record() {
    let door = Door::new();
    let issued = wait(door.keyring.issue(NewKey::new("acme", "free"))).unwrap();
    let secret = issued.key.expose().rsplit_once('_').unwrap().1;
    let shown = format!("{issued:?} {}", serde_json::to_string(&issued.record).unwrap());
    assert!(!shown.contains(secret));
}

#[test]
fn an_unknown_id_is_found_by_nobody() {
    let door = Door::new();
    let id = KeyId::random().unwrap();
    assert_eq!(wait(door.keyring.find(id)).unwrap(), None);
    let unknown = |result: Result<KeyRecord, KeyringError>| matches!(result, Err(KeyringError::UnknownKey { id: other }) if other == id);
    assert!(unknown(wait(door.keyring.disable(id))));
    assert!(unknown(wait(door.keyring.enable(id))));
    assert!(unknown(wait(door.keyring.revoke(id))));
    assert!(unknown(wait(door.keyring.move_to_plan(id, "pro"))));
    assert!(unknown(wait(door.keyring.rotate(id, HOUR)).map(|issued| issued.record)));
}

#[test]
fn pages_hold_every_key_once_in_the_order_of_ids() {
    let door = Door::new();
    let issue = |number: u32| {
        let consumer = if number.is_multiple_of(3) { "acme" } else { "globex" };
        wait(door.keyring.issue(NewKey::new(consumer, "free"))).unwrap().record.id
    };
    let mut ids: Vec<KeyId> = (0..25).map(issue).collect();
    ids.sort_unstable();
    let (mut listed, mut filter) = (Vec::new(), KeyFilter::default().most(4));
    loop {
        let page = wait(door.keyring.list(&filter)).unwrap();
        let Some(last) = page.last() else { break };
        filter = filter.after(last.id);
        assert!(page.len() == 4 || listed.len() + page.len() == 25);
        listed.extend(page.iter().map(|record| record.id));
    }
    assert_eq!(listed, ids);
    let acme = KeyFilter::default().consumer("acme".parse().unwrap());
    assert_eq!(wait(door.keyring.list(&acme)).unwrap().len(), 9);
    wait(door.keyring.revoke(ids[0])).unwrap();
    let active = KeyFilter::default().status(KeyStatus::Active);
    assert_eq!(wait(door.keyring.list(&active)).unwrap().len(), 24);
    wait(door.keyring.move_to_plan(ids[1], "pro")).unwrap();
    let pro = wait(door.keyring.list(&KeyFilter::default().plan("pro"))).unwrap();
    assert_eq!(pro.iter().map(|record| record.id).collect::<Vec<_>>(), [ids[1]]);
}

#[test]
fn a_disabled_key_rests_until_it_is_enabled() {
    let door = Door::new();
    let issued = wait(door.keyring.issue(NewKey::new("acme", "free"))).unwrap();
    let (id, text) = (issued.record.id, issued.key.expose());
    assert_eq!(wait(door.keyring.disable(id)).unwrap().status, KeyStatus::Disabled);
    assert_eq!(door.knock(text), Err(Reason::DisabledKey));
    let again = wait(door.keyring.disable(id)).unwrap();
    assert_eq!(again.revision, 1, "nothing was left to change");
    assert_eq!(wait(door.keyring.enable(id)).unwrap().revision, 2);
    assert_eq!(door.knock(text), Ok(()));
}

#[test]
fn a_revoked_key_never_comes_back() {
    let door = Door::new();
    let issued = wait(door.keyring.issue(NewKey::new("acme", "free"))).unwrap();
    let id = issued.record.id;
    assert_eq!(wait(door.keyring.revoke(id)).unwrap().status, KeyStatus::Revoked);
    assert_eq!(door.knock(issued.key.expose()), Err(Reason::RevokedKey));
    let refused = |result: Result<KeyRecord, KeyringError>| matches!(result, Err(KeyringError::Revoked { id: other }) if other == id);
    assert!(refused(wait(door.keyring.enable(id))));
    assert!(refused(wait(door.keyring.disable(id))));
    assert!(refused(wait(door.keyring.move_to_plan(id, "pro"))));
    assert!(refused(wait(door.keyring.rotate(id, HOUR)).map(|issued| issued.record)));
    assert_eq!(wait(door.keyring.revoke(id)).unwrap().revision, 1);
    assert_eq!(door.knock(issued.key.expose()), Err(Reason::RevokedKey));
}

#[test]
fn a_key_moved_to_another_plan_takes_what_it_used_along() {
    let door = Door::new();
    let issued = wait(door.keyring.issue(NewKey::new("acme", "free"))).unwrap();
    let text = issued.key.expose();
    assert_eq!(door.knocks(text, 2), [Ok(()), Ok(())]);
    assert_eq!(door.remaining(text), [1, 8]);
    wait(door.keyring.move_to_plan(issued.record.id, "pro")).unwrap();
    assert_eq!(door.remaining(text), [3, 98]);
}

#[test]
fn a_rotated_key_works_until_its_grace_ends() {
    let door = Door::new();
    let old = wait(door.keyring.issue(full(door.now()))).unwrap();
    let new = wait(door.keyring.rotate(old.record.id, HOUR)).unwrap();
    assert_ne!(new.key.expose(), old.key.expose());
    assert_eq!(door.knock(old.key.expose()), Ok(()));
    assert_eq!(door.knock(new.key.expose()), Ok(()));
    let kept = wait(door.keyring.find(old.record.id)).unwrap().unwrap();
    assert_eq!(kept.successor, Some(new.record.id));
    assert_eq!(kept.expires, Some(door.now() + TimeDelta::hours(1)));

    door.clock.advance(HOUR - Duration::from_micros(1));
    assert_eq!(door.knock(old.key.expose()), Ok(()));
    door.clock.advance(Duration::from_micros(1));
    assert_eq!(door.knock(old.key.expose()), Err(Reason::ExpiredKey));
    assert_eq!(door.knock(new.key.expose()), Err(Reason::QuotaExhausted));
    door.clock.advance(24 * HOUR);
    assert_eq!(door.knock(new.key.expose()), Ok(()));
}

#[test]
fn a_successor_is_like_the_key_it_follows() {
    let door = Door::new();
    let old = wait(door.keyring.issue(full(door.now()))).unwrap().record;
    door.clock.advance(HOUR);
    let new = wait(door.keyring.rotate(old.id, HOUR)).unwrap().record;
    let expected = KeyRecordLike { lineage: old.id, ..KeyRecordLike::of(&old) };
    assert_eq!(KeyRecordLike::of(&new), expected);
    assert_eq!((new.created, new.revision, new.successor), (door.now(), 0, None));
    let third = wait(door.keyring.rotate(new.id, HOUR)).unwrap().record;
    assert_eq!(third.lineage, old.id, "the first of the chain");
}

/// What a rotation must hand on.
#[derive(Debug, PartialEq)]
struct KeyRecordLike {
    text: String,
    lineage: KeyId,
    dates: (Option<DateTime<Utc>>, Option<DateTime<Utc>>),
    status: KeyStatus,
}

impl KeyRecordLike {
    fn of(record: &KeyRecord) -> Self {
        let KeyRecord { name, consumer, plan, scopes, attributes, .. } = record;
        Self {
            text: format!("{name} {consumer} {plan} {scopes} {attributes:?}"),
            lineage: record.lineage,
            dates: (record.not_before, record.expires),
            status: record.status,
        }
    }
}

#[test]
fn grace_never_extends_an_expiry() {
    let door = Door::new();
    let expires = door.now() + TimeDelta::minutes(10);
    let new_key = NewKey::new("acme", "free").expires(expires);
    let old = wait(door.keyring.issue(new_key)).unwrap();
    let new = wait(door.keyring.rotate(old.record.id, HOUR)).unwrap();
    let kept = wait(door.keyring.find(old.record.id)).unwrap().unwrap();
    assert_eq!((kept.expires, new.record.expires), (Some(expires), Some(expires)));
    door.clock.advance(Duration::from_secs(600));
    assert_eq!(door.knock(old.key.expose()), Err(Reason::ExpiredKey));
    assert_eq!(door.knock(new.key.expose()), Err(Reason::ExpiredKey));
    let expired = wait(door.keyring.rotate(new.record.id, HOUR)).unwrap_err();
    assert!(matches!(expired, KeyringError::Expired { id } if id == new.record.id), "{expired}");
}

#[test]
fn without_grace_the_old_key_ends_at_once_and_an_endless_grace_is_no_overflow() {
    let door = Door::new();
    let old = wait(door.keyring.issue(NewKey::new("acme", "free"))).unwrap();
    let new = wait(door.keyring.rotate(old.record.id, Duration::ZERO)).unwrap();
    assert_eq!(door.knock(old.key.expose()), Err(Reason::ExpiredKey));
    let last = wait(door.keyring.rotate(new.record.id, Duration::MAX)).unwrap();
    assert_eq!(door.knock(new.key.expose()), Ok(()));
    assert_eq!(door.knock(last.key.expose()), Ok(()));
}

#[test]
fn a_successor_goes_on_with_the_counters_of_the_key_it_follows() {
    let door = Door::new();
    let old = wait(door.keyring.issue(NewKey::new("acme", "free"))).unwrap();
    assert_eq!(door.knocks(old.key.expose(), 2), [Ok(()), Ok(())]);
    let new = wait(door.keyring.rotate(old.record.id, HOUR)).unwrap();
    assert_eq!(door.remaining(new.key.expose()), [1, 8], "per key, and per consumer");
    assert_eq!(door.knock(new.key.expose()), Ok(()));
    for key in [&old.key, &new.key] {
        assert_eq!(door.knock(key.expose()), Err(Reason::QuotaExhausted));
    }
    let stranger = wait(door.keyring.issue(NewKey::new("acme", "free"))).unwrap();
    assert_eq!(door.remaining(stranger.key.expose()), [3, 7]);
}

#[test]
fn a_key_is_rotated_once() {
    let door = Door::new();
    let old = wait(door.keyring.issue(NewKey::new("acme", "free"))).unwrap().record.id;
    let new = wait(door.keyring.rotate(old, HOUR)).unwrap().record.id;
    let twice = wait(door.keyring.rotate(old, HOUR)).unwrap_err();
    assert!(
        matches!(twice, KeyringError::Rotated { id, successor } if id == old && successor == new),
        "{twice}"
    );
    assert_eq!(door.keys(), 2, "nothing was issued in vain");
}

#[test]
fn a_disabled_key_has_a_disabled_successor() {
    let door = Door::new();
    let old = wait(door.keyring.issue(NewKey::new("acme", "free"))).unwrap();
    wait(door.keyring.disable(old.record.id)).unwrap();
    let new = wait(door.keyring.rotate(old.record.id, HOUR)).unwrap();
    assert_eq!(door.knock(new.key.expose()), Err(Reason::DisabledKey));
}

#[test]
fn of_racing_rotations_exactly_one_wins() {
    for _ in 0..20 {
        let door = Door::new();
        let old = wait(door.keyring.issue(NewKey::new("acme", "free"))).unwrap().record.id;
        let start = Arc::new(std::sync::Barrier::new(4));
        let rotate = |_| {
            let (keyring, start) = (door.keyring.clone(), Arc::clone(&start));
            std::thread::spawn(move || {
                start.wait();
                wait(keyring.rotate(old, HOUR)).map(|issued| issued.record.id)
            })
        };
        let threads: Vec<_> = (0..4).map(rotate).collect();
        let results: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        let winners: Vec<_> = results.iter().flatten().copied().collect();
        let [winner] = winners[..] else {
            panic!("{results:?}");
        };
        for lost in results.iter().filter_map(|result| result.as_ref().err()) {
            assert!(
                matches!(lost, KeyringError::Rotated { successor, .. } if *successor == winner),
                "{lost}"
            );
        }
        assert_eq!(door.keys(), 2);
    }
}

/// The same race in its one decisive order: the rival rotates between our read and our write.
#[test]
fn a_rotation_that_was_overtaken_names_the_winner() {
    let overtaken = Arc::new(RiggedKeys::default());
    let door = Door::with(Arc::clone(&overtaken) as _);
    let old = wait(door.keyring.issue(NewKey::new("acme", "free"))).unwrap().record.id;
    let rival = door.keyring.clone();
    overtaken.before_commit(move || {
        let _ = wait(rival.rotate(old, HOUR)).unwrap();
    });
    let lost = wait(door.keyring.rotate(old, HOUR)).unwrap_err();
    let kept = wait(door.keyring.find(old)).unwrap().unwrap();
    assert!(
        matches!(lost, KeyringError::Rotated { successor, .. } if Some(successor) == kept.successor)
    );
    assert_eq!(door.keys(), 2);
}

#[test]
fn a_change_that_was_overtaken_is_made_on_top() {
    let overtaken = Arc::new(RiggedKeys::default());
    let door = Door::with(Arc::clone(&overtaken) as _);
    let id = wait(door.keyring.issue(NewKey::new("acme", "free"))).unwrap().record.id;
    let rival = door.keyring.clone();
    overtaken.before_commit(move || {
        wait(rival.move_to_plan(id, "pro")).unwrap();
    });
    let record = wait(door.keyring.disable(id)).unwrap();
    assert_eq!((record.plan.as_str(), record.status), ("pro", KeyStatus::Disabled));
    assert_eq!(record.revision, 2);
}

#[test]
fn a_revocation_that_comes_first_is_not_undone() {
    let overtaken = Arc::new(RiggedKeys::default());
    let door = Door::with(Arc::clone(&overtaken) as _);
    let id = wait(door.keyring.issue(NewKey::new("acme", "free"))).unwrap().record.id;
    wait(door.keyring.disable(id)).unwrap();
    let rival = door.keyring.clone();
    overtaken.before_commit(move || {
        wait(rival.revoke(id)).unwrap();
    });
    let late = wait(door.keyring.enable(id)).unwrap_err();
    assert!(matches!(late, KeyringError::Revoked { .. }), "{late}");
    assert_eq!(wait(door.keyring.find(id)).unwrap().unwrap().status, KeyStatus::Revoked);
}

#[test]
fn bad_input_is_refused_and_the_field_named() {
    let door = Door::new();
    let now = door.now();
    let long = "x".repeat(257);
    let new = || NewKey::new("acme", "free");
    let cases = [
        (NewKey::new("", "free"), "consumer", "``"),
        (NewKey::new("two words", "free"), "consumer", "`two words`"),
        (NewKey::new("ip:203.0.113.7", "free"), "consumer", "`ip:203.0.113.7`"),
        (NewKey::new("acme", "platinum"), "plan", "free, pro"),
        (NewKey::new("acme", ""), "plan", "free, pro"),
        (new().scopes(["orders:read", "orders/read"]), "scopes", "orders/read"),
        (new().name(&long), "name", "256"),
        (new().attribute("country", &long), "attributes", "257"),
        (new().attribute(&long, "FR"), "attributes", "257"),
        (new().expires(now), "expires", "after now"),
        (
            new().not_before(now + TimeDelta::days(2)).expires(now + TimeDelta::days(1)),
            "expires",
            "not_before",
        ),
    ];
    for (new, field, told) in cases {
        let error = wait(door.keyring.issue(new.clone())).unwrap_err().to_string();
        assert!(error.starts_with(field), "{error}");
        assert!(error.contains(told), "{error}");
    }
    let longest = "x".repeat(256);
    assert!(wait(door.keyring.issue(new().name(longest))).is_ok());
    let id = wait(door.keyring.issue(new())).unwrap().record.id;
    let error = wait(door.keyring.move_to_plan(id, "gold\n")).unwrap_err().to_string();
    assert_eq!(error, r"plan `gold\n` is unknown; the plans are: free, pro");
    assert_eq!(door.keys(), 2);
}

#[test]
fn a_key_is_refused_before_its_time() {
    let door = Door::new();
    let new = NewKey::new("acme", "free").not_before(door.now() + TimeDelta::hours(1));
    let issued = wait(door.keyring.issue(new)).unwrap();
    assert_eq!(door.knock(issued.key.expose()), Err(Reason::KeyNotYetValid));
    door.clock.advance(HOUR);
    assert_eq!(door.knock(issued.key.expose()), Ok(()));
}

#[test]
fn a_store_that_fails_is_a_fault_of_the_keyring() {
    let store = Arc::new(RiggedKeys::default());
    store.writing(Way::Fails);
    let door = Door::with(store);
    let error = wait(door.keyring.issue(NewKey::new("acme", "free"))).unwrap_err();
    assert!(matches!(error, KeyringError::Store(_)), "{error}");
}
