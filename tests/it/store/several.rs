//! A referral to several targets: a parent and its parts, what is one part's own, and how full inboxes are.

use onward::{
    domain::{InboxId, deadline::RouteTerms, parent, working_days::Within},
    store::AppendError,
};

use super::*;

/// A referral with a parent and a part for each inbox; each part has an order of its own.
fn several(key: &str, inboxes: &[&str]) -> NewReferral {
    let parent = NewTask { deadlines: Deadlines::default(), ..task_for(parent::RESERVED) };
    let part = |inbox: &&str| NewTask {
        part_of: Some(parent.id),
        terms: RouteTerms {
            acknowledge_within: Some(Within::WorkingDays(3)),
            answer_within: Some(Within::Never),
            escalate_to: Some("triage".parse().unwrap()),
        },
        resources: vec![resource("ServiceRequest", Uuid::now_v7(), r#"{"intent":"filler-order"}"#)],
        ..task_for(inbox)
    };
    let parts: Vec<_> = inboxes.iter().map(part).collect();
    NewReferral { tasks: std::iter::once(parent).chain(parts).collect(), ..referral(key) }
}

pub async fn a_parent_and_its_parts_are_kept(b: Bench) {
    let new = several("a", &["life-rooms", "citizens-advice"]);
    let (submitted, _) = stored(b.store.submit(submission(vec![new.clone()])).await.unwrap());
    let ids: Vec<_> = new.tasks.iter().map(|task| task.id).collect();
    assert_eq!(submitted[0].tasks, ids, "the parent first");
    let again = b.store.submitted(&"mersey-epr".parse().unwrap(), "a").await.unwrap().unwrap().0;
    assert_eq!(again.tasks, ids, "as often as it is asked");
    let parent = task(&b, ids[0]).await;
    assert!(parent.is_parent() && parent.part_of.is_none() && parent.terms.is_empty());
    for (id, made) in ids.iter().zip(&new.tasks).skip(1) {
        let part = task(&b, *id).await;
        assert_eq!((part.part_of, &part.terms), (Some(ids[0]), &made.terms));
        assert!(!part.is_parent());
    }
    // a step changes neither
    let part = add(&b, ids[1], &[]).await.task;
    assert_eq!((part.part_of, &part.terms), (Some(ids[0]), &new.tasks[1].terms));
    let family = b.store.find_tasks(&new.request.to_string()).await.unwrap();
    assert_eq!(family.iter().map(|task| task.id).collect::<Vec<_>>(), ids);
}

pub async fn what_is_a_parts_own_is_seen_by_its_parties_alone(b: Bench) {
    let new = several("a", &["life-rooms", "citizens-advice"]);
    stored(b.store.submit(submission(vec![new.clone()])).await.unwrap());
    for part in &new.tasks[1..] {
        let order = part.resources[0].id;
        let (found, parties) = b.store.resource("ServiceRequest", order, None).await.unwrap().unwrap();
        assert_eq!((found.task, found.version, found.later), (Some(part.id), 1, false));
        assert_eq!(parties.providers, std::slice::from_ref(&part.provider));
        assert_eq!(parties.system.as_str(), "mersey-epr");
    }
    let all = b.store.resources_of(new.id).await.unwrap();
    assert_eq!(all.iter().filter(|found| found.task.is_some()).count(), 2);
    assert_eq!(all.len(), 4);
    let (original, parties) = b.store.resource("ServiceRequest", new.request, None).await.unwrap().unwrap();
    assert_eq!((original.task, parties.providers.len()), (None, 3));
}

pub async fn an_inbox_is_full_with_its_last_open_task(b: Bench) {
    let inbox = |id: &str| id.parse::<InboxId>().unwrap();
    let asked = || vec![(inbox("life-rooms"), 2), (inbox("citizens-advice"), 1), (inbox("nobodys"), 1)];
    assert_eq!(b.store.full_inboxes(asked()).await.unwrap(), []);
    let first = one_task(&b, "a").await;
    assert_eq!(b.store.full_inboxes(asked()).await.unwrap(), []);
    one_task(&b, "b").await;
    stored(b.store.submit(submission(vec![referral_for("c", &["citizens-advice"])])).await.unwrap());
    assert_eq!(b.store.full_inboxes(asked()).await.unwrap(), [inbox("life-rooms"), inbox("citizens-advice")]);
    for status in TaskStatus::ALL {
        let now = task(&b, first.id).await;
        b.store.append(Append { state: state(*status), events: vec![event(None, &[])], ..step(&now) }).await.unwrap();
        let full = b.store.full_inboxes(vec![(inbox("life-rooms"), 2)]).await.unwrap();
        assert_eq!(full.is_empty(), status.is_terminal(), "{status}");
    }
    assert_eq!(b.store.full_inboxes(vec![]).await.unwrap(), []);
}

/// Two steps that each change a part and name the parent as it was: one of them is told that something came in between.
pub async fn of_parts_that_end_at_once_the_parent_hears_of_each(b: Bench) {
    let new = several("a", &["life-rooms", "citizens-advice"]);
    stored(b.store.submit(submission(vec![new.clone()])).await.unwrap());
    let parent = task(&b, new.tasks[0].id).await;
    let mut ends = Vec::new();
    for part in &new.tasks[1..] {
        let part = task(&b, part.id).await;
        let own = Append { state: state(TaskStatus::Rejected), events: vec![event(Some("{}"), &[])], ..step(&part) };
        let above = Append { events: vec![event(None, &[])], ..step(&parent) };
        let store = Arc::clone(&b.store);
        ends.push(tokio::spawn(async move { store.append_together(vec![own, above]).await }));
    }
    let (one, other) = (ends.remove(0).await.unwrap(), ends.remove(0).await.unwrap());
    let moved = |end: &Result<Vec<Appended>, AppendError>| matches!(end, Err(AppendError::Moved));
    assert!(moved(&one) != moved(&other), "{one:?} {other:?}");
    assert_eq!(task(&b, parent.id).await.seq, parent.seq + 1);
    let mut ended = 0;
    for part in &new.tasks[1..] {
        ended += usize::from(task(&b, part.id).await.state.status == TaskStatus::Rejected);
    }
    assert_eq!(ended, 1, "of the other nothing is stored");
}

fn further(part_of: Option<TaskId>) -> NewTask {
    let deadlines = Deadlines { deliver_by: Some(start() + secs(5)), ..Deadlines::default() };
    let order = resource("ServiceRequest", Uuid::now_v7(), r#"{"intent":"filler-order"}"#);
    let order = NewResource { names: vec!["by-this".into()], ..order };
    NewTask { part_of, deadlines, resources: vec![order], ..task_for("triage") }
}

pub async fn a_step_may_make_a_further_task(b: Bench) {
    let late = one_task(&b, "a").await;
    let new = further(Some(late.id));
    let step = Append { events: vec![event(Some("{}"), &[])], tasks: vec![new.clone()], ..step(&late) };
    let stepped = b.store.append(step).await.unwrap();
    assert_eq!(stepped.task.seq, late.seq + 1);
    let woken: Vec<_> = stepped.wake_ups.iter().map(|w| (w.task, w.side, w.seq, w.to.as_str())).collect();
    assert_eq!(woken, [(new.id, Side::Delivery, 1, "triage")]);
    let made = task(&b, new.id).await;
    assert_eq!((made.referral, made.request, made.part_of), (late.referral, late.request, Some(late.id)));
    assert_eq!((&made.identifier, &made.origin, &made.route_set), (&late.identifier, &late.origin, &late.route_set));
    assert_eq!((made.seq, made.version, made.answered, made.inbox.as_str()), (1, 1, 1, "triage"));
    assert_eq!((made.created, made.state.deadlines), (start(), new.deadlines));
    let found = b.store.find_tasks(&late.request.to_string()).await.unwrap();
    assert_eq!(found.iter().map(|task| task.id).collect::<Vec<_>>(), [late.id, new.id]);
    let known = b.store.submitted(&"mersey-epr".parse().unwrap(), "a").await.unwrap().unwrap().0;
    assert_eq!(known.tasks, [late.id, new.id]);
    let (order, parties) = b.store.resource("ServiceRequest", new.resources[0].id, None).await.unwrap().unwrap();
    assert_eq!((order.task, order.later, order.version), (Some(new.id), false, 1));
    assert_eq!(parties.providers, std::slice::from_ref(&new.provider));
    let (_, parties) = b.store.resource("ServiceRequest", late.request, None).await.unwrap().unwrap();
    assert_eq!(parties.providers.len(), 2);
    let query = onward::store::TaskQuery {
        systems: vec!["mersey-epr".parse().unwrap()],
        count: 5,
        ..onward::store::TaskQuery::default()
    };
    let named = b.store.referrals_of(query, vec![], vec!["by-this".into()]).await.unwrap();
    assert_eq!(named, [late.referral]);
    // it lives like any other
    let held = lease(&b, new.id, Side::Delivery).await;
    assert_eq!(held.head.seq, 1);
    b.store.append(held.settle(Side::Delivery, done())).await.unwrap();
    b.clock.advance(6);
    let due = b.store.claim_deadlines(10, MINUTE).await.unwrap();
    assert_eq!(due.iter().map(|task| task.id).collect::<Vec<_>>(), [new.id]);
    assert_eq!(add(&b, new.id, &[]).await.task.seq, 2);
}

pub async fn a_step_that_is_refused_makes_none(b: Bench) {
    let late = one_task(&b, "a").await;
    let other = one_task(&b, "b").await;
    let new = further(None);
    let stale = Append { expected_seq: other.seq + 1, events: vec![event(None, &[])], ..step(&other) };
    let step = Append { events: vec![event(None, &[])], tasks: vec![new.clone()], ..step(&late) };
    let refused = b.store.append_together(vec![step.clone(), stale]).await;
    assert!(matches!(refused, Err(AppendError::Moved)));
    assert!(b.store.task(new.id).await.unwrap().is_none());
    assert!(b.store.resource("ServiceRequest", new.resources[0].id, None).await.unwrap().is_none());
    let both = vec![Append { expected_seq: 99, ..step.clone() }];
    assert!(matches!(b.store.append_together(both).await, Err(AppendError::Moved)));
    assert!(b.store.task(new.id).await.unwrap().is_none());
    b.store.append(step).await.unwrap();
    assert!(b.store.task(new.id).await.unwrap().is_some());
}
