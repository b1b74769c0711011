//! What comes after the referral itself: new versions, messages, and steps that several Tasks take together.

use onward::store::{AppendError, NewVersion, ResourceKey};

use super::*;

fn version(kind: &str, id: Uuid, version: u64) -> NewVersion {
    let resource = resource(kind, id, &format!(r#"{{"version":{version}}}"#));
    NewVersion { resource, version, task: None, key: None }
}

fn keyed(id: Uuid, key: &str) -> NewVersion {
    let key = ResourceKey { author: "system:mersey-epr".into(), key: key.into(), digest: digest(key) };
    NewVersion { key: Some(key), ..version("Communication", id, 1) }
}

pub async fn a_new_version_comes_with_a_step(b: Bench) {
    let before = one_task(&b, "a").await;
    let first = b.store.resources_of(before.referral).await.unwrap();
    assert!(first.iter().all(|r| !r.later && r.task.is_none()));
    b.clock.advance(10);
    let resources = vec![version("ServiceRequest", before.request, 2)];
    b.store.append(Append { events: vec![event(Some("{}"), &[])], resources, ..step(&before) }).await.unwrap();
    let versions = b.store.versions("ServiceRequest", before.request).await.unwrap();
    assert_eq!(versions.iter().map(|v| (v.version, v.later)).collect::<Vec<_>>(), [(1, false), (2, true)]);
    assert_eq!(versions[1].last_updated, start() + secs(10));
    let now = b.store.resources_of(before.referral).await.unwrap();
    assert_eq!(now.len(), first.len(), "the newest of each");
    assert!(now.iter().any(|r| r.version == 2 && r.body.contains('2')));

    // one that is there already came in between: nothing of the step is stored
    let known = task(&b, before.id).await;
    let again = vec![version("ServiceRequest", before.request, 2)];
    let refused = b
        .store
        .append(Append { events: vec![event(Some("{}"), &[Side::Delivery])], resources: again, ..step(&known) })
        .await;
    assert!(matches!(refused, Err(AppendError::Moved)), "{refused:?}");
    assert_eq!(task(&b, before.id).await.seq, known.seq);
}

pub async fn a_state_is_kept_whole(b: Bench) {
    let before = one_task(&b, "a").await;
    let state = TaskState { information_requested: true, cancel_requested: true, ..before.state };
    let after = b.store.append(Append { state, ..step(&before) }).await.unwrap().task;
    assert_eq!((after.state, task(&b, before.id).await.state), (state, state));
}

pub async fn what_a_sender_calls_a_resource_is_kept(b: Bench) {
    let mut new = referral("a");
    new.resources[1].origin = Some("https://epr.example/fhir/Patient/7".into());
    let id = new.id;
    b.store.submit(submission(vec![new])).await.unwrap();
    let known = b.store.resources_of(id).await.unwrap();
    let origins: Vec<_> = known.iter().map(|r| (r.kind.as_str(), r.origin.as_deref())).collect();
    assert!(origins.contains(&("Patient", Some("https://epr.example/fhir/Patient/7"))), "{origins:?}");
    assert!(origins.contains(&("ServiceRequest", None)));
}

pub async fn a_key_is_taken_once(b: Bench) {
    let (one, other) = (one_task(&b, "a").await, one_task(&b, "b").await);
    assert!(b.store.keyed("system:mersey-epr", "k").await.unwrap().is_none());
    let id = Uuid::now_v7();
    b.store.append(Append { resources: vec![keyed(id, "k")], ..step(&one) }).await.unwrap();
    assert_eq!(b.store.keyed("system:mersey-epr", "k").await.unwrap(), Some((id, digest("k"))));
    assert!(b.store.keyed("provider:life-rooms", "k").await.unwrap().is_none(), "another author's is another");
    let second = Uuid::now_v7();
    let refused = b.store.append(Append { resources: vec![keyed(second, "k")], ..step(&other) }).await;
    assert!(matches!(refused, Err(AppendError::Moved)), "{refused:?}");
    assert!(b.store.resource("Communication", second, None).await.unwrap().is_none());
    assert_eq!(b.store.keyed("system:mersey-epr", "k").await.unwrap(), Some((id, digest("k"))));
}

pub async fn what_is_one_tasks_concerns_its_parties(b: Bench) {
    let new = referral_for("a", &["life-rooms", "housing"]);
    let (submitted, _) = stored(b.store.submit(submission(vec![new])).await.unwrap());
    let one = task(&b, submitted[0].tasks[0]).await;
    let (own, all) = (Uuid::now_v7(), Uuid::now_v7());
    let own_version = NewVersion { task: Some(one.id), ..version("Communication", own, 1) };
    let resources = vec![own_version, version("Communication", all, 1)];
    b.store.append(Append { resources, ..step(&one) }).await.unwrap();
    let (found, parties) = b.store.resource("Communication", own, None).await.unwrap().unwrap();
    assert_eq!((found.task, parties.system.as_str()), (Some(one.id), "mersey-epr"));
    assert_eq!(parties.providers, std::slice::from_ref(&one.provider));
    let (_, parties) = b.store.resource("Communication", all, None).await.unwrap().unwrap();
    assert_eq!(parties.providers.len(), 2);
}

pub async fn steps_of_several_are_stored_together(b: Bench) {
    let new = referral_for("a", &["life-rooms", "housing"]);
    let (submitted, _) = stored(b.store.submit(submission(vec![new])).await.unwrap());
    let mut both = Vec::new();
    for id in &submitted[0].tasks {
        both.push(task(&b, *id).await);
    }
    let change = |task: &TaskRecord| Append {
        events: vec![event(Some("{}"), &[Side::WriteBack])],
        state: state(TaskStatus::Accepted),
        ..step(task)
    };
    // one of them has moved on: neither is stored
    let moved = add(&b, both[1].id, &[]).await.task;
    let refused = b.store.append_together(both.iter().map(change).collect()).await;
    assert!(matches!(refused, Err(AppendError::Moved)), "{refused:?}");
    assert_eq!(task(&b, both[0].id).await.seq, both[0].seq);
    both[1] = moved;
    let done = b.store.append_together(both.iter().map(change).collect()).await.unwrap();
    assert_eq!(done.iter().map(|d| d.task.id).collect::<Vec<_>>(), submitted[0].tasks);
    assert!(done.iter().all(|d| d.wake_ups.len() == 1 && d.task.state.status == TaskStatus::Accepted));
}

/// Whether a step that holds only if nothing was sent is taken; nothing is changed by it.
async fn unsent(b: &Bench, id: TaskId) -> bool {
    let now = task(b, id).await;
    match b.store.append(Append { unsent: true, ..step(&now) }).await {
        Ok(_) => true,
        Err(AppendError::LeaseLost) => false,
        Err(other) => panic!("{other:?}"),
    }
}

pub async fn it_knows_whether_a_try_is_under_way(b: Bench) {
    let one = one_task(&b, "a").await;
    assert!(unsent(&b, one.id).await, "not tried yet");
    let held = lease(&b, one.id, Side::Delivery).await;
    assert!(!unsent(&b, one.id).await, "being tried");
    b.store.append(held.settle(Side::Delivery, deferred(start() + secs(5)))).await.unwrap();
    assert!(unsent(&b, one.id).await, "tried, and it is known what came of it");
    b.clock.advance(5);
    lease(&b, one.id, Side::Delivery).await;
    b.clock.advance(61);
    assert!(!unsent(&b, one.id).await, "nobody came back to say");
    let held = lease(&b, one.id, Side::Delivery).await;
    b.store.append(held.settle(Side::Delivery, deferred(start() + secs(70)))).await.unwrap();
    assert!(!unsent(&b, one.id).await, "one of the tries never came back");

    // what a service gave up, or a store error cut short, may have gone out
    let other = one_task(&b, "b").await;
    let held = lease(&b, other.id, Side::Delivery).await;
    b.store.release_lane(other.id, Side::Delivery, held.lease).await.unwrap();
    assert!(!unsent(&b, other.id).await);

    // a try that may have arrived is noted without an event: whoever decided before that does not know it
    let perhaps = one_task(&b, "d").await;
    let held = lease(&b, perhaps.id, Side::Delivery).await;
    let tried = TaskState { sent: true, ..perhaps.state };
    let noted = Append { state: tried, ..held.settle(Side::Delivery, deferred(b.store.now() + secs(5))) };
    b.store.append(noted).await.unwrap();
    let cancel = Append { unsent: true, events: vec![event(Some("{}"), &[])], ..step(&perhaps) };
    assert!(matches!(b.store.append(cancel).await, Err(AppendError::LeaseLost)), "it may have arrived");

    let dead_one = one_task(&b, "c").await;
    let held = lease(&b, dead_one.id, Side::Delivery).await;
    b.store.append(held.settle(Side::Delivery, dead())).await.unwrap();
    assert!(unsent(&b, dead_one.id).await);
}
