//! Who has a lane, what stands at its head, and what becomes of it.

use onward::store::{AppendError, Poll};

use super::*;

/// The step must be refused because the lane is in other hands.
async fn lost(b: &Bench, append: Append) {
    let refused = b.store.append(append).await;
    assert!(matches!(refused, Err(AppendError::LeaseLost)), "{refused:?}");
}

async fn busy(b: &Bench, id: TaskId, side: Side) {
    let found = b.store.lease_lane(id, side, MINUTE).await.unwrap();
    assert!(matches!(found, LaneState::Busy), "{found:?}");
}

async fn idle(b: &Bench, id: TaskId, side: Side) {
    let found = b.store.lease_lane(id, side, MINUTE).await.unwrap();
    assert!(matches!(found, LaneState::Idle), "{found:?}");
}

pub async fn a_lease_is_exclusive_until_it_ends(b: Bench) {
    let id = one_task(&b, "a").await.id;
    let first = lease(&b, id, Side::Delivery).await;
    assert_eq!((first.head.seq, first.head.attempts, first.head.cursor), (1, 0, 0));
    assert_eq!((first.head.since, first.task.id), (start(), id));
    b.clock.advance(59);
    busy(&b, id, Side::Delivery).await;
    b.clock.advance(1);
    let second = lease(&b, id, Side::Delivery).await;
    assert!(second.lease > first.lease);
    assert_eq!(second.head.message, first.head.message);
}

pub async fn one_of_many_gets_the_lane(b: Bench) {
    let id = one_task(&b, "a").await.id;
    let racing: Vec<_> = (0..50)
        .map(|_| {
            let store = b.store.clone();
            tokio::spawn(async move { store.lease_lane(id, Side::Delivery, MINUTE).await.unwrap() })
        })
        .collect();
    let (mut leased, mut turned_away) = (0, 0);
    for one in racing {
        match one.await.unwrap() {
            LaneState::Leased { .. } => leased += 1,
            LaneState::Busy => turned_away += 1,
            LaneState::Idle => panic!("it is due"),
        }
    }
    assert_eq!((leased, turned_away), (1, 49));
}

pub async fn an_idle_lane_is_not_leased(b: Bench) {
    let id = one_task(&b, "a").await.id;
    idle(&b, id, Side::WriteBack).await;
    idle(&b, TaskId::mint(), Side::Delivery).await;
    add(&b, id, &[Side::WriteBack]).await;
    lease(&b, id, Side::WriteBack).await;
}

pub async fn an_old_lease_settles_nothing(b: Bench) {
    let id = one_task(&b, "a").await.id;
    let old = lease(&b, id, Side::Delivery).await;
    let tried = attempt(Side::Delivery, 1, "delivered", start());
    let late = |outcome| Append {
        events: vec![event(Some("{}"), &[Side::WriteBack])],
        attempt: Some(tried.clone()),
        ..old.settle(Side::Delivery, outcome)
    };
    let all = [late(done()), late(deferred(start())), late(dead())];
    b.clock.advance(60);
    for append in all.clone() {
        lost(&b, append).await; // it has ended, though nobody else took the lane
    }
    let new = lease(&b, id, Side::Delivery).await;
    for append in all {
        lost(&b, append).await;
    }
    assert_eq!(task(&b, id).await.seq, 1);
    assert_eq!(b.store.journal(id).await.unwrap().len(), 1);
    assert!(b.store.attempts(id).await.unwrap().is_empty());
    idle(&b, id, Side::WriteBack).await;
    busy(&b, id, Side::Delivery).await;
    let settled = b.store.append(new.settle(Side::Delivery, done())).await.unwrap();
    assert!(settled.next.is_none());
}

pub async fn a_settled_message_is_not_settled_again(b: Bench) {
    let id = one_task(&b, "a").await.id;
    add(&b, id, &[Side::Delivery]).await;
    let held = lease(&b, id, Side::Delivery).await;
    b.store.append(held.settle(Side::Delivery, done())).await.unwrap();
    for outcome in [done(), deferred(start()), dead()] {
        lost(&b, held.settle(Side::Delivery, outcome)).await;
    }
    let none = Settle { side: Side::Delivery, seq: 99, lease: Some(held.lease), extend: MINUTE, outcome: done() };
    lost(&b, Append { settle: Some(none), ..step(&task(&b, id).await) }).await;
    assert!(b.store.dead_letters(10).await.unwrap().is_empty());
    busy(&b, id, Side::Delivery).await; // the second message is still the first worker's
}

pub async fn done_goes_on_with_the_next(b: Bench) {
    let id = one_task(&b, "a").await.id;
    add(&b, id, &[Side::Delivery]).await;
    add(&b, id, &[Side::WriteBack]).await;
    b.clock.advance(1);
    add(&b, id, &[Side::Delivery]).await;
    let mut held = lease(&b, id, Side::Delivery).await;
    let mut order = vec![held.head.seq];
    for cursor in [1, 2] {
        let appended = b.store.append(held.settle(Side::Delivery, done())).await.unwrap();
        let head = appended.next.expect("there is more to send");
        assert_eq!((head.cursor, head.attempts), (cursor, 0));
        busy(&b, id, Side::Delivery).await; // the lease goes on
        order.push(head.seq);
        held = Held { head, task: appended.task, ..held };
    }
    assert_eq!(order, [1, 2, 4], "the lane's own, in the order they happened");
    assert_eq!(held.head.since, start() + secs(1));
    assert!(b.store.append(held.settle(Side::Delivery, done())).await.unwrap().next.is_none());
    idle(&b, id, Side::Delivery).await;
}

pub async fn done_goes_on_with_what_the_step_added(b: Bench) {
    let id = one_task(&b, "a").await.id;
    let held = lease(&b, id, Side::Delivery).await;
    let events = vec![event(Some("{}"), &[Side::Delivery, Side::WriteBack])];
    let appended = b.store.append(Append { events, ..held.settle(Side::Delivery, done()) }).await.unwrap();
    assert_eq!(appended.next.map(|n| n.seq), Some(2));
    let woken: Vec<_> = appended.wake_ups.iter().map(|w| (w.side, w.seq)).collect();
    assert_eq!(woken, [(Side::WriteBack, 2)], "nobody needs to be woken for what this worker sends next");
}

pub async fn the_last_done_ends_the_lease(b: Bench) {
    let id = one_task(&b, "a").await.id;
    let held = lease(&b, id, Side::Delivery).await;
    assert!(b.store.append(held.settle(Side::Delivery, done())).await.unwrap().next.is_none());
    idle(&b, id, Side::Delivery).await;
    assert_eq!(add(&b, id, &[Side::Delivery]).await.wake_ups.len(), 1);
    let next = lease(&b, id, Side::Delivery).await; // at once, by anyone
    assert_eq!((next.head.seq, next.head.cursor), (2, 1));
    assert!(next.lease > held.lease);
}

pub async fn a_deferred_head_blocks_the_lane(b: Bench) {
    let id = one_task(&b, "a").await.id;
    add(&b, id, &[Side::Delivery]).await;
    let held = lease(&b, id, Side::Delivery).await;
    let until = start() + secs(300);
    let appended = b.store.append(held.settle(Side::Delivery, deferred(until))).await.unwrap();
    assert!(appended.next.is_none());
    idle(&b, id, Side::Delivery).await;
    b.clock.advance(120);
    assert!(claim(&b).await.wake_ups.is_empty(), "the later one waits behind it");
    b.clock.advance(179);
    idle(&b, id, Side::Delivery).await;
    b.clock.advance(1);
    let due = claim(&b).await.wake_ups;
    assert_eq!(heads(&due), [(id, 1)]);
    let held = lease(&b, id, Side::Delivery).await;
    assert_eq!((held.head.seq, held.head.attempts, held.head.cursor), (1, 1, 0));
    assert_eq!(held.head.since, start());
    let next = b.store.append(held.settle(Side::Delivery, done())).await.unwrap().next;
    assert_eq!(next.map(|n| n.seq), Some(2));
}

pub async fn what_stands_behind_a_waiting_head_wakes_nobody(b: Bench) {
    let id = one_task(&b, "a").await.id;
    let early = add(&b, id, &[Side::Delivery]).await;
    b.store.mark_published(early.wake_ups.iter().map(|w| w.message).collect()).await.unwrap();
    let held = lease(&b, id, Side::Delivery).await;
    b.store.append(held.settle(Side::Delivery, deferred(start() + secs(300)))).await.unwrap();
    let late = add(&b, id, &[Side::Delivery, Side::WriteBack]).await;
    assert_eq!(late.wake_ups.iter().map(|w| w.side).collect::<Vec<_>>(), [Side::WriteBack]);
    b.clock.advance(299);
    assert_eq!(heads(&claim(&b).await.wake_ups), [(id, 3)], "the write-back only");

    // an answer settles the head before its time: the lane goes on at once
    let settle = Some(Settle { side: Side::Delivery, seq: 1, lease: None, extend: MINUTE, outcome: done() });
    b.store.append(Append { settle, ..step(&task(&b, id).await) }).await.unwrap();
    assert_eq!(heads(&claim(&b).await.wake_ups), [(id, 2)]);
    let held = lease(&b, id, Side::Delivery).await;
    assert_eq!(b.store.append(held.settle(Side::Delivery, done())).await.unwrap().next.map(|n| n.seq), Some(3));
}

pub async fn a_dead_head_lets_the_lane_go_on(b: Bench) {
    let id = one_task(&b, "a").await.id;
    add(&b, id, &[Side::Delivery]).await;
    let held = lease(&b, id, Side::Delivery).await;
    let appended = b.store.append(held.settle(Side::Delivery, dead())).await.unwrap();
    let head = appended.next.expect("the lane goes on");
    assert_eq!((head.seq, head.cursor), (2, 0), "what died was not sent");
    busy(&b, id, Side::Delivery).await;
    let held = Held { head, task: appended.task, ..held };
    assert!(b.store.append(held.settle(Side::Delivery, dead())).await.unwrap().next.is_none());
    idle(&b, id, Side::Delivery).await;
}

pub async fn an_answer_settles_from_outside(b: Bench) {
    let id = one_task(&b, "a").await.id;
    add(&b, id, &[Side::Delivery]).await;
    let held = lease(&b, id, Side::Delivery).await;
    let from_outside = Settle { side: Side::Delivery, seq: 1, lease: None, extend: MINUTE, outcome: done() };
    let answer =
        Append { settle: Some(from_outside.clone()), events: vec![event(None, &[])], ..step(&task(&b, id).await) };
    let appended = b.store.append(answer).await.unwrap();
    assert!(appended.next.is_none(), "the one who answers does not send");

    let stale = b.store.append(held.settle(Side::Delivery, done())).await;
    assert!(matches!(stale, Err(AppendError::Moved)));
    let again = Held { task: appended.task, ..held };
    lost(&b, again.settle(Side::Delivery, done())).await;
    let twice = Append { settle: Some(from_outside), ..step(&again.task) };
    assert!(b.store.append(twice).await.is_ok(), "settled already, and that is all that is wanted");

    // what it answered has arrived, so the lane is free, and what stands behind is found by the sweeper
    assert_eq!(heads(&claim(&b).await.wake_ups), [(id, 2)]);
    let next = lease(&b, id, Side::Delivery).await;
    assert_eq!((next.head.seq, next.head.cursor), (2, 1));
}

pub async fn memory_is_kept(b: Bench) {
    let id = one_task(&b, "a").await.id;
    for _ in 0..3 {
        add(&b, id, &[Side::Delivery]).await;
    }
    let mut held = lease(&b, id, Side::Delivery).await;
    assert_eq!(held.head.memory, None);
    for (left, found) in [(Some("v1"), "v1"), (None, "v1"), (Some("v2"), "v2")] {
        let memory = left.map(str::to_owned);
        let appended = b.store.append(held.settle(Side::Delivery, Settled::Done { memory })).await.unwrap();
        let head = appended.next.unwrap();
        assert_eq!(head.memory.as_deref(), Some(found));
        held = Held { head, task: appended.task, ..held };
    }
    for (left, found) in [(None, "v2"), (Some("v3"), "v3")] {
        let memory = left.map(str::to_owned);
        let outcome = Settled::Deferred { until: b.store.now(), memory, why: "later".into() };
        b.store.append(held.settle(Side::Delivery, outcome)).await.unwrap();
        held = lease(&b, id, Side::Delivery).await;
        assert_eq!(held.head.memory.as_deref(), Some(found));
    }
    b.store.append(held.settle(Side::Delivery, dead())).await.unwrap();
    add(&b, id, &[Side::Delivery, Side::WriteBack]).await;
    assert_eq!(lease(&b, id, Side::Delivery).await.head.memory.as_deref(), Some("v3"));
    assert_eq!(lease(&b, id, Side::WriteBack).await.head.memory, None, "each lane has its own");
}

pub async fn sides_are_independent(b: Bench) {
    let id = one_task(&b, "a").await.id;
    add(&b, id, &[Side::WriteBack]).await;
    let there = lease(&b, id, Side::Delivery).await;
    let back = lease(&b, id, Side::WriteBack).await;
    assert_eq!((there.head.seq, back.head.seq), (1, 2));
    b.store.append(there.settle(Side::Delivery, deferred(start() + secs(900)))).await.unwrap();
    busy(&b, id, Side::WriteBack).await;
    b.store.append(back.settle(Side::WriteBack, done())).await.unwrap();
    idle(&b, id, Side::WriteBack).await;
    b.clock.advance(900);
    assert_eq!(lease(&b, id, Side::Delivery).await.head.cursor, 0);
}

pub async fn a_copy_is_watched_by_one(b: Bench) {
    let one = one_task(&b, "a").await.id;
    let two = one_task(&b, "b").await.id;
    assert!(b.store.claim_polls(Shares::even(10, 10), MINUTE).await.unwrap().is_empty());
    let plan = |memory: &str, at| Poll { memory: Some(memory.into()), at };
    b.store.plan_poll(one, plan("etag 1", Some(start() + secs(20)))).await.unwrap();
    b.store.plan_poll(two, plan("etag 2", Some(start() + secs(10)))).await.unwrap();
    b.clock.advance(9);
    assert!(b.store.claim_polls(Shares::even(10, 10), MINUTE).await.unwrap().is_empty());
    b.clock.advance(11);
    let found = |claimed: Vec<(TaskRecord, String)>| claimed.into_iter().map(|(t, m)| (t.id, m)).collect::<Vec<_>>();
    assert_eq!(
        found(b.store.claim_polls(Shares::even(1, 1), MINUTE).await.unwrap()),
        [(two, "etag 2".to_owned())],
        "the longest due"
    );
    assert_eq!(found(b.store.claim_polls(Shares::even(10, 10), MINUTE).await.unwrap()), [(one, "etag 1".to_owned())]);
    assert!(b.store.claim_polls(Shares::even(10, 10), MINUTE).await.unwrap().is_empty(), "both are taken");
    b.store.plan_poll(two, plan("etag 3", None)).await.unwrap();
    b.clock.advance(60);
    let again = found(b.store.claim_polls(Shares::even(10, 10), MINUTE).await.unwrap());
    assert_eq!(again, [(one, "etag 1".to_owned())], "whoever took it died; the other is not watched any more");
    b.store.plan_poll(one, plan("etag 4", Some(b.store.now() + secs(5)))).await.unwrap();
    b.clock.advance(5);
    assert_eq!(found(b.store.claim_polls(Shares::even(10, 10), MINUTE).await.unwrap()), [(one, "etag 4".to_owned())]);
    let head = lease(&b, one, Side::Delivery).await.head;
    assert_eq!(head.memory.as_deref(), Some("etag 4"), "the delivery lane's memory is what is known of the copy");
}

pub async fn a_copy_is_planned_with_a_step(b: Bench) {
    let id = one_task(&b, "a").await.id;
    let held = lease(&b, id, Side::Delivery).await;
    let poll = Some(Poll { memory: Some("etag 1".into()), at: Some(start() + secs(5)) });
    let outcome = Settled::Done { memory: Some("overridden".into()) };
    b.store.append(Append { poll, ..held.settle(Side::Delivery, outcome) }).await.unwrap();
    b.clock.advance(5);
    let claimed = b.store.claim_polls(Shares::even(10, 10), MINUTE).await.unwrap();
    assert_eq!(claimed.iter().map(|(t, m)| (t.id, m.as_str())).collect::<Vec<_>>(), [(id, "etag 1")]);
}
