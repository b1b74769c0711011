//! Steps in a Task's life.

use std::time::Instant;

use onward::store::{AppendError, AskedBy, JournalLine, Poll};

use super::*;

pub async fn a_step_is_written_whole(b: Bench) {
    let before = one_task(&b, "a").await;
    b.clock.advance(10);
    let answered = Event::Answered { from: TaskStatus::Requested, to: TaskStatus::Accepted, implied: false };
    let delivered = Event::Delivered { inbox: before.inbox.clone(), remote: Some("77".into()), by_answer: true };
    let provider = Actor::Provider(before.provider.clone());
    let after = TaskState { cancel_requested: true, sent: true, ..state(TaskStatus::Accepted) };
    let asked = AskedBy { request: "r-1".into(), correlation: Some("c|1".into()), person: Some("local:anna".into()) };
    let appended = b
        .store
        .append(Append {
            events: vec![
                NewEvent { event: delivered.clone(), actor: Actor::Onward, body: None, lanes: vec![] },
                NewEvent {
                    event: answered.clone(),
                    actor: provider.clone(),
                    body: Some(r#"{"status":"accepted"}"#.into()),
                    lanes: vec![Side::WriteBack],
                },
            ],
            state: after,
            asked_by: Some(asked.clone()),
            ..step(&before)
        })
        .await
        .unwrap();

    assert_eq!(appended.task.state, after);
    assert_eq!((appended.task.seq, appended.task.version), (3, 3));
    assert_eq!((appended.task.created, appended.task.last_updated), (start(), start() + secs(10)));
    assert!(appended.next.is_none());
    let [wake_up] = &appended.wake_ups[..] else { panic!("one wake-up: {:?}", appended.wake_ups) };
    assert_eq!((wake_up.side, wake_up.seq, wake_up.to.as_str()), (Side::WriteBack, 3, "mersey-epr"));
    assert_eq!(task(&b, before.id).await.state, after, "and it was stored");

    let journal = b.store.journal(before.id).await.unwrap();
    let submitted = Event::Submitted {
        route: None,
        route_set: "2026-03-01".into(),
        inbox: before.inbox.clone(),
        instead_of: None,
        beside: None,
    };
    let at = start() + secs(10);
    assert_eq!(
        journal,
        [
            JournalLine {
                seq: 1,
                at: start(),
                actor: Actor::System(before.system.clone()),
                event: submitted,
                asked_by: None
            },
            JournalLine { seq: 2, at, actor: Actor::Onward, event: delivered, asked_by: Some(asked.clone()) },
            JournalLine { seq: 3, at, actor: provider, event: answered, asked_by: Some(asked) },
        ]
    );
}

pub async fn a_stale_step_stores_nothing(b: Bench) {
    let before = one_task(&b, "a").await;
    let held = lease(&b, before.id, Side::Delivery).await;
    let now = add(&b, before.id, &[]).await.task;
    let stale = Append {
        events: vec![event(Some("{\"stale\":true}"), &[Side::WriteBack])],
        state: state(TaskStatus::Failed),
        attempt: Some(attempt(Side::Delivery, 1, "delivered", start())),
        poll: Some(Poll { memory: Some("stale".into()), at: Some(start()) }),
        ..held.settle(Side::Delivery, Settled::Done { memory: Some("stale".into()) })
    };
    for expected_seq in [0, now.seq - 1, now.seq + 1] {
        let refused = b.store.append(Append { expected_seq, ..stale.clone() }).await;
        assert!(matches!(refused, Err(AppendError::Moved)), "{refused:?}");
    }

    let after = task(&b, before.id).await;
    assert_eq!((after.seq, after.version, after.state), (now.seq, now.version, now.state));
    assert_eq!(b.store.journal(before.id).await.unwrap().len(), 2);
    assert_eq!(b.store.versions("Task", before.id.0).await.unwrap().len(), 2);
    assert!(b.store.attempts(before.id).await.unwrap().is_empty());
    assert!(b.store.claim_polls(Shares::even(10, 10), MINUTE).await.unwrap().is_empty());
    assert!(matches!(b.store.lease_lane(before.id, Side::WriteBack, MINUTE).await.unwrap(), LaneState::Idle));
    b.clock.advance(61);
    let again = lease(&b, before.id, Side::Delivery).await;
    assert_eq!((again.head.seq, again.head.attempts, again.head.memory), (1, 0, None));
}

pub async fn a_task_nobody_knows_has_moved(b: Bench) {
    let known = one_task(&b, "a").await;
    let refused = b.store.append(Append { task: TaskId::mint(), ..step(&known) }).await;
    assert!(matches!(refused, Err(AppendError::Moved)));
}

pub async fn answers_and_bookkeeping_are_told_apart(b: Bench) {
    let before = one_task(&b, "a").await;
    b.clock.advance(1);
    let silent = b.store.append(Append { events: vec![event(None, &[])], ..step(&before) }).await.unwrap().task;
    assert_eq!((silent.seq, silent.version, silent.answered), (2, 1, 1));
    assert_eq!(silent.last_updated, start(), "the content is as it was");
    let ours = b.store.append(Append { events: vec![event(Some("{}"), &[])], ..step(&silent) }).await.unwrap().task;
    assert_eq!((ours.seq, ours.version, ours.answered), (3, 3, 1));
    assert_eq!(ours.last_updated, start() + secs(1));
    let events = vec![event(Some("{}"), &[]), event(None, &[])];
    let theirs = b.store.append(Append { events, answers: true, ..step(&ours) }).await.unwrap().task;
    assert_eq!((theirs.seq, theirs.version, theirs.answered), (5, 4, 4));
}

pub async fn a_refused_step_does_not_harm_its_neighbours(b: Bench) {
    let mut racing = Vec::new();
    for n in 0..40 {
        let known = one_task(&b, &format!("k{n}")).await;
        let events = vec![event(Some("{}"), &[Side::WriteBack])];
        let expected_seq = if n % 2 == 0 { known.seq } else { 99 };
        let append = Append { events, expected_seq, ..step(&known) };
        let store = b.store.clone();
        racing.push((n, known.id, append, store));
    }
    let racing: Vec<_> = racing
        .into_iter()
        .map(|(n, id, append, store)| (n, id, tokio::spawn(async move { store.append(append).await })))
        .collect();
    for (n, id, append) in racing {
        let stored = append.await.unwrap().is_ok();
        assert_eq!(stored, n % 2 == 0);
        assert_eq!(b.store.journal(id).await.unwrap().len(), if stored { 2 } else { 1 });
    }
}

pub async fn racing_steps_lose_nothing(b: Bench) {
    let id = one_task(&b, "a").await.id;
    let racing: Vec<_> = (0..20)
        .map(|n| {
            let store = b.store.clone();
            tokio::spawn(async move {
                loop {
                    let now = store.task(id).await.unwrap().unwrap();
                    let why = format!("writer {n}");
                    let new = NewEvent {
                        event: Event::AnswerRefused { why },
                        actor: Actor::Onward,
                        body: Some("{}".into()),
                        lanes: vec![Side::WriteBack],
                    };
                    match store.append(Append { events: vec![new], ..step(&now) }).await {
                        Ok(appended) => break appended.task.seq,
                        Err(AppendError::Moved) => {}
                        Err(other) => panic!("{other}"),
                    }
                }
            })
        })
        .collect();
    let mut seqs = Vec::new();
    for one in racing {
        seqs.push(one.await.unwrap());
    }
    seqs.sort_unstable();
    assert_eq!(seqs, (2..=21).collect::<Vec<_>>(), "every step has a seq of its own");
    let journal = b.store.journal(id).await.unwrap();
    assert_eq!(journal.iter().map(|l| l.seq).collect::<Vec<_>>(), (1..=21).collect::<Vec<_>>());
    for n in 0..20 {
        let event = Event::AnswerRefused { why: format!("writer {n}") };
        assert_eq!(journal.iter().filter(|l| l.event == event).count(), 1);
    }
    assert_eq!(b.store.versions("Task", id.0).await.unwrap().len(), 21);
}

pub async fn tries_are_kept_in_order(b: Bench) {
    let id = one_task(&b, "a").await.id;
    let mut tries = Vec::new();
    for (n, result) in ["deferred", "deferred", "delivered"].into_iter().enumerate() {
        let held = lease(&b, id, Side::Delivery).await;
        assert_eq!(held.head.attempts, u32::try_from(n).unwrap());
        let tried = attempt(Side::Delivery, held.head.seq, result, b.store.now());
        tries.push(tried.clone());
        let outcome = if result == "delivered" { done() } else { deferred(b.store.now() + secs(5)) };
        b.store.append(Append { attempt: Some(tried), ..held.settle(Side::Delivery, outcome) }).await.unwrap();
        b.clock.advance(5);
    }
    assert_eq!(b.store.attempts(id).await.unwrap(), tries);
    assert!(b.store.attempts(TaskId::mint()).await.unwrap().is_empty());
}

/// Not a benchmark: it shows that nothing is lost under load, and about what it costs.
pub async fn load_of_submits_and_steps(b: Bench) {
    let began = Instant::now();
    let racing: Vec<_> = (0..200)
        .map(|n| {
            let store = b.store.clone();
            tokio::spawn(async move {
                let (submitted, _) = stored(store.submit(submission(vec![referral(&format!("k{n}"))])).await.unwrap());
                let id = submitted[0].tasks[0];
                for _ in 0..3 {
                    let now = store.task(id).await.unwrap().unwrap();
                    let events = vec![event(Some("{}"), &[Side::WriteBack])];
                    store.append(Append { events, ..step(&now) }).await.unwrap();
                }
                id
            })
        })
        .collect();
    let mut ids = Vec::new();
    for one in racing {
        ids.push(one.await.unwrap());
    }
    println!("200 submits, each with 3 steps: {:?}", began.elapsed());
    for id in ids {
        assert_eq!(task(&b, id).await.seq, 4);
        assert_eq!(b.store.journal(id).await.unwrap().len(), 4);
        assert_eq!(b.store.versions("Task", id.0).await.unwrap().len(), 4);
    }
    b.clock.advance(31);
    assert_eq!(claim(&b).await.wake_ups.len(), 400, "the heads of both lanes of every task");
}
