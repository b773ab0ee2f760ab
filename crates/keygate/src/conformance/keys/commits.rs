use super::{
    KeyHarness,
    scene::{Scene, renamed},
};
use crate::{
    conformance::{Coverage, Gathered, Job, broken, require_eq},
    port::Commit,
    record::KeyRecord,
};

/// If one record of a commit conflicts, none is written.
pub async fn commit_is_all_or_nothing(harness: &dyn KeyHarness) -> Coverage {
    let scene = Scene::new("commit_is_all_or_nothing", harness);
    let (first, second) = (scene.record(), scene.record());
    scene.commit(&[first.clone(), second.clone()]).await;
    let stale = KeyRecord { name: "stale".to_owned(), ..second.clone() };
    let good = renamed(&first, "never written");
    for fresh in [scene.record(), scene.full_record()] {
        for order in [
            vec![fresh.clone(), good.clone(), stale.clone()],
            vec![stale.clone(), good.clone(), fresh.clone()],
            vec![good.clone(), stale.clone(), fresh.clone()],
        ] {
            scene.conflict(&order, "a commit with one stale record").await;
            scene.hides(&fresh).await;
            scene.shows(&first).await;
            scene.shows(&second).await;
        }
    }
    let fresh = scene.record();
    scene.commit(&[good.clone(), fresh.clone()]).await;
    scene.shows(&good).await;
    scene.shows(&fresh).await;
    Coverage::Whole
}

/// A new record must have revision 0 and an unused id; a change must have the stored revision plus
/// one; anything else is a conflict.
pub async fn stale_revision_conflicts(harness: &dyn KeyHarness) -> Coverage {
    let scene = Scene::new("stale_revision_conflicts", harness);
    let of_revision = |record: &KeyRecord, revision| KeyRecord {
        name: format!("of revision {revision}"),
        revision,
        ..record.clone()
    };
    let new = scene.record();
    for revision in [1, 2, u64::MAX] {
        scene.conflict(&[of_revision(&new, revision)], "a new record of a later revision").await;
        scene.hides(&new).await;
    }
    scene.commit(std::slice::from_ref(&new)).await;
    let same_id = KeyRecord { id: new.id, ..scene.record() };
    scene.conflict(&[same_id], "a new record under a used id").await;
    let mut stored = new;
    for next in 1..4 {
        for revision in [0, next - 1, next + 1, next + 2, u64::MAX] {
            scene.conflict(&[of_revision(&stored, revision)], "a change of another revision").await;
        }
        scene.shows(&stored).await;
        stored = of_revision(&stored, next);
        scene.commit(std::slice::from_ref(&stored)).await;
        scene.shows(&stored).await;
    }
    Coverage::Whole
}

/// Two records never share a digest, and a record never changes its own.
pub async fn digest_is_unique(harness: &dyn KeyHarness) -> Coverage {
    let scene = Scene::new("digest_is_unique", harness);
    let taken = scene.record();
    scene.commit(std::slice::from_ref(&taken)).await;
    let with_digest_of =
        |other: &KeyRecord, record: KeyRecord| KeyRecord { digest: other.digest, ..record };
    let thief = with_digest_of(&taken, scene.record());
    scene.conflict(&[thief], "a new record with a digest that is taken").await;
    let changed = with_digest_of(&scene.record(), renamed(&taken, "another digest"));
    scene.conflict(&[changed], "a change of a digest").await;
    let (one, fresh) = (scene.record(), scene.record());
    let twin = with_digest_of(&one, fresh);
    scene.conflict(&[one.clone(), twin], "one digest twice in a commit").await;
    scene.hides(&one).await;
    scene.conflict(&[one.clone(), one.clone()], "one id twice in a commit").await;
    scene.hides(&one).await;
    scene.shows(&taken).await;
    Coverage::Whole
}

/// Of several changes to the same revision one is done and the others conflict.
pub async fn racing_commits_have_one_winner(harness: &dyn KeyHarness) -> Coverage {
    let scene = Scene::new("racing_commits_have_one_winner", harness);
    let mut stored = scene.record();
    scene.commit(std::slice::from_ref(&stored)).await;
    for _ in 0..8 {
        // As a rotation does: a change and a new record, together.
        let rivals: Vec<[KeyRecord; 2]> = (0..6)
            .map(|rival| [renamed(&stored, &format!("rival {rival}")), scene.record()])
            .collect();
        let winner = race(harness, &scene, &rivals).await;
        for rival in &rivals {
            let [change, successor] = rival;
            if *rival == winner {
                scene.shows(change).await;
                scene.shows(successor).await;
            } else {
                scene.hides(successor).await;
            }
        }
        let [change, _] = winner;
        stored = change;
    }
    Coverage::Whole
}

async fn race(
    harness: &dyn KeyHarness,
    scene: &Scene,
    rivals: &[[KeyRecord; 2]],
) -> [KeyRecord; 2] {
    let gathered = Gathered::new();
    let job = |rival: &[KeyRecord; 2]| -> Job {
        let (scene, rival) = (scene.clone(), rival.clone());
        gathered.job(async move { vec![(scene.try_commit(&rival).await, rival)] })
    };
    harness.run_concurrently(rivals.iter().map(job).collect()).await;
    let ended = gathered.take();
    require_eq(&ended.len(), &rivals.len(), scene.law, "commits the harness ran");
    let mut winners = ended.into_iter().filter(|(commit, _)| *commit == Commit::Done);
    match (winners.next(), winners.next()) {
        (Some((_, winner)), None) => winner,
        (None, _) => broken(scene.law, "every rival was told of a conflict"),
        (Some(_), Some(_)) => broken(scene.law, "two rivals were told that they were first"),
    }
}
