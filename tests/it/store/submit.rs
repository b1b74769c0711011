//! What becomes of a request's referrals.

use std::{collections::HashSet, time::Duration};

use super::*;

pub async fn stores_everything_and_leases_the_wake_ups(b: Bench) {
    let new = referral_for("a", &["life-rooms", "citizens-advice"]);
    let (submitted, wake_ups) = stored(b.store.submit(submission(vec![new.clone()])).await.unwrap());
    let tasks: Vec<_> = new.tasks.iter().map(|t| t.id).collect();
    assert_eq!(
        submitted,
        [Submitted {
            referral: new.id,
            request: new.request,
            tasks: tasks.clone(),
            new: true,
            at: start(),
            answer: "[]".into()
        }]
    );

    let record = task(&b, tasks[1]).await;
    assert_eq!((record.referral, record.request, record.id), (new.id, new.request, tasks[1]));
    assert_eq!((record.system.as_str(), record.inbox.as_str()), ("mersey-epr", "citizens-advice"));
    assert_eq!((&record.identifier, &record.origin), (&new.identifier, &new.origin));
    assert_eq!(record.route_set, new.route_set);
    assert_eq!(record.state, TaskState::new());
    assert_eq!((record.seq, record.version, record.answered), (1, 1, 1));
    assert_eq!((record.created, record.last_updated), (start(), start()));

    assert_eq!(
        wake_ups.iter().map(|w| (w.task, w.side, w.seq, w.to.as_str())).collect::<Vec<_>>(),
        [(tasks[0], Side::Delivery, 1, "life-rooms"), (tasks[1], Side::Delivery, 1, "citizens-advice"),]
    );
    assert!(wake_ups.iter().all(|w| w.route_set == "2026-03-01" && w.traceparent.is_some()));

    assert!(claim(&b).await.wake_ups.is_empty(), "they are leased to the one who submitted");
    b.clock.advance(31);
    let mut claimed = claim(&b).await.wake_ups;
    claimed.sort_by_key(|w| w.task);
    assert_eq!(claimed, wake_ups, "the same wake-ups, to the last field");
}

pub async fn the_same_again_is_answered_and_not_stored(b: Bench) {
    let first = referral_for("a", &["life-rooms", "citizens-advice"]);
    let (before, _) = stored(b.store.submit(submission(vec![first])).await.unwrap());
    let again = referral_for("a", &["life-rooms", "citizens-advice"]);
    let (after, wake_ups) = stored(b.store.submit(submission(vec![again.clone()])).await.unwrap());
    assert!(!after[0].new && wake_ups.is_empty());
    assert_eq!(after, [Submitted { new: false, ..before[0].clone() }]);
    nothing_of(&b, &again).await;
    b.clock.advance(31);
    assert_eq!(claim(&b).await.wake_ups.len(), 2, "the first one's only");
}

pub async fn other_content_differs_and_stores_nothing(b: Bench) {
    one_task(&b, "a").await;
    let other = NewReferral { digest: digest("b"), ..referral("a") };
    assert_eq!(b.store.submit(submission(vec![other.clone()])).await.unwrap(), Submit::Differs(0));
    nothing_of(&b, &other).await;
}

pub async fn one_that_differs_keeps_all_out(b: Bench) {
    one_task(&b, "a").await;
    let other = NewReferral { digest: digest("b"), ..referral("a") };
    let all = vec![referral("x"), other, referral("y")];
    assert_eq!(b.store.submit(submission(all.clone())).await.unwrap(), Submit::Differs(1));
    for referral in &all {
        nothing_of(&b, referral).await;
    }
    b.clock.advance(31);
    assert_eq!(claim(&b).await.wake_ups.len(), 1);
    // and none of their keys is taken
    let (submitted, _) = stored(b.store.submit(submission(vec![referral("x"), referral("y")])).await.unwrap());
    assert!(submitted.iter().all(|s| s.new));
}

pub async fn several_in_one_commit(b: Bench) {
    let all = vec![referral("a"), referral_for("b", &["life-rooms", "citizens-advice"]), referral("c")];
    let (submitted, wake_ups) = stored(b.store.submit(submission(all.clone())).await.unwrap());
    assert_eq!(submitted.iter().map(|s| s.referral).collect::<Vec<_>>(), all.iter().map(|r| r.id).collect::<Vec<_>>());
    assert_eq!(submitted.iter().map(|s| s.tasks.len()).collect::<Vec<_>>(), [1, 2, 1]);
    assert_eq!(wake_ups.len(), 4);
    assert_eq!(wake_ups.iter().map(|w| w.message).collect::<HashSet<_>>().len(), 4);
}

pub async fn known_and_new_in_one_request(b: Bench) {
    let (known, _) = stored(b.store.submit(submission(vec![referral("a")])).await.unwrap());
    let all = vec![referral("x"), referral("a"), referral("y")];
    let (submitted, wake_ups) = stored(b.store.submit(submission(all.clone())).await.unwrap());
    assert_eq!(submitted.iter().map(|s| s.new).collect::<Vec<_>>(), [true, false, true]);
    assert_eq!((submitted[1].referral, &submitted[1].tasks), (known[0].referral, &known[0].tasks));
    assert_eq!(wake_ups.iter().map(|w| w.task).collect::<Vec<_>>(), [all[0].tasks[0].id, all[2].tasks[0].id]);
}

pub async fn the_same_key_twice_in_one_request(b: Bench) {
    let all = vec![referral("a"), referral("x"), NewReferral { digest: digest("b"), ..referral("a") }];
    assert_eq!(b.store.submit(submission(all.clone())).await.unwrap(), Submit::Differs(2));
    nothing_of(&b, &all[0]).await;
    nothing_of(&b, &all[1]).await;

    let twice = vec![referral("a"), referral("a")];
    let (submitted, wake_ups) = stored(b.store.submit(submission(twice.clone())).await.unwrap());
    assert_eq!(submitted[1], Submitted { new: false, ..submitted[0].clone() });
    assert!(submitted[0].new);
    assert_eq!(wake_ups.len(), 1);
    nothing_of(&b, &twice[1]).await;
}

pub async fn systems_do_not_share_keys(b: Bench) {
    one_task(&b, "a").await;
    let other = Submission {
        system: "gp-north".parse().unwrap(),
        ..submission(vec![NewReferral { digest: digest("b"), ..referral("a") }])
    };
    let (submitted, _) = stored(b.store.submit(other).await.unwrap());
    assert!(submitted[0].new);
    assert_eq!(task(&b, submitted[0].tasks[0]).await.system.as_str(), "gp-north");
}

pub async fn a_hundred_at_once_store_one(b: Bench) {
    let racing: Vec<_> = (0..100)
        .map(|_| {
            let store = b.store.clone();
            tokio::spawn(async move { stored(store.submit(submission(vec![referral("a")])).await.unwrap()) })
        })
        .collect();
    let (mut new, mut wake_ups, mut ids) = (0, 0, HashSet::new());
    for one in racing {
        let (submitted, woken) = one.await.unwrap();
        new += usize::from(submitted[0].new);
        wake_ups += woken.len();
        ids.insert((submitted[0].referral, submitted[0].request, submitted[0].tasks.clone()));
    }
    assert_eq!((new, wake_ups, ids.len()), (1, 1, 1));
    b.clock.advance(31);
    assert_eq!(b.store.claim_due(Claim { lease: Duration::ZERO, ..at_most(1000) }).await.unwrap().wake_ups.len(), 1);
}

/// No part of a referral is in the store.
async fn nothing_of(b: &Bench, referral: &NewReferral) {
    for new in &referral.tasks {
        assert!(b.store.task(new.id).await.unwrap().is_none());
        assert!(b.store.journal(new.id).await.unwrap().is_empty());
        assert!(b.store.resource("Task", new.id.0, None).await.unwrap().is_none());
    }
    for new in &referral.resources {
        assert!(b.store.versions(&new.kind, new.id).await.unwrap().is_empty());
    }
    assert!(b.store.decision_of(referral.id).await.unwrap().is_none());
    assert!(b.store.resources_of(referral.id).await.unwrap().is_empty());
}

pub async fn what_was_submitted_is_found_by_its_key(b: Bench) {
    let new = referral_for("a", &["life-rooms"]);
    stored(b.store.submit(submission(vec![new.clone()])).await.unwrap());
    let (system, other) = ("mersey-epr".parse().unwrap(), "ward-epr".parse().unwrap());
    let (found, digest) = b.store.submitted(&system, &new.key).await.unwrap().unwrap();
    let tasks = new.tasks.iter().map(|t| t.id).collect();
    let expected =
        Submitted { referral: new.id, request: new.request, tasks, new: false, at: start(), answer: "[]".into() };
    assert_eq!((found, digest), (expected, new.digest));
    assert!(b.store.submitted(&system, "another").await.unwrap().is_none());
    assert!(b.store.submitted(&other, &new.key).await.unwrap().is_none());
}
