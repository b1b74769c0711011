//! Wake-ups that are due, published, lost, dead and replayed.

use std::collections::HashSet;

use onward::{
    domain::Destination,
    store::{AppendError, Failing},
};

use super::*;

pub async fn only_heads_are_claimed(b: Bench) {
    let id = one_task(&b, "a").await.id;
    for _ in 0..3 {
        add(&b, id, &[Side::Delivery, Side::WriteBack]).await;
    }
    b.clock.advance(31);
    let mut due: Vec<_> = claim(&b).await.wake_ups.iter().map(|w| (w.side, w.seq)).collect();
    due.sort();
    assert_eq!(due, [(Side::Delivery, 1), (Side::WriteBack, 2)]);
}

pub async fn a_claim_is_exclusive_and_bounded(b: Bench) {
    let mut all = Vec::new();
    for n in 0..5 {
        all.push((one_task(&b, &format!("k{n}")).await.id, 1));
        b.clock.advance(1);
    }
    b.clock.advance(31);
    let first = claim_at_most(&b, 2).await.wake_ups;
    assert_eq!(heads(&first), all[..2], "the longest due first");
    let second = claim_at_most(&b, 10).await.wake_ups;
    assert_eq!(heads(&second), all[2..]);
    b.clock.advance(59);
    assert!(claim(&b).await.wake_ups.is_empty());
    b.clock.advance(1);
    assert_eq!(heads(&claim(&b).await.wake_ups), all, "whoever had them did not publish them");
    assert!(claim_at_most(&b, 0).await.wake_ups.is_empty());
}

pub async fn published_is_published_again_if_not_done(b: Bench) {
    let id = one_task(&b, "a").await.id;
    b.clock.advance(31);
    let due = claim(&b).await.wake_ups;
    b.store.mark_published(vec![due[0].message, Uuid::now_v7()]).await.unwrap();
    b.clock.advance(3599);
    assert!(claim(&b).await.wake_ups.is_empty());
    b.clock.advance(1);
    assert_eq!(claim(&b).await.wake_ups, due, "the broker lost it");
    assert!(claim(&b).await.wake_ups.is_empty());
    b.clock.advance(3600);
    assert!(claim(&b).await.wake_ups.is_empty(), "it has twice as long now");
    b.clock.advance(3600);
    assert_eq!(claim(&b).await.wake_ups, due, "and again");
    b.store.mark_published(vec![due[0].message]).await.unwrap();
    let held = lease(&b, id, Side::Delivery).await;
    b.store.append(held.settle(Side::Delivery, done())).await.unwrap();
    b.store.mark_published(vec![due[0].message]).await.unwrap();
    b.clock.advance(7200);
    assert!(claim(&b).await.wake_ups.is_empty(), "done is done");
}

pub async fn what_is_published_again_waits_for_its_lane(b: Bench) {
    let id = one_task(&b, "a").await.id;
    add(&b, id, &[Side::Delivery]).await;
    b.clock.advance(31);
    let due = claim(&b).await.wake_ups;
    b.store.mark_published(due.iter().map(|w| w.message).collect()).await.unwrap();
    b.clock.advance(3590);
    lease(&b, id, Side::Delivery).await;
    b.clock.advance(30);
    assert!(claim(&b).await.wake_ups.is_empty(), "somebody is sending it");
    b.clock.advance(30);
    assert_eq!(heads(&claim(&b).await.wake_ups), [(id, 1)], "and died over it");
}

pub async fn a_late_confirmation_does_not_undo_a_deferral(b: Bench) {
    let (submitted, wake_ups) = stored(b.store.submit(submission(vec![referral("a")])).await.unwrap());
    let id = submitted[0].tasks[0];
    let held = lease(&b, id, Side::Delivery).await;
    b.store.append(held.settle(Side::Delivery, deferred(start() + secs(5)))).await.unwrap();
    // the worker was faster than the broker's confirmation
    b.store.mark_published(vec![wake_ups[0].message]).await.unwrap();
    assert_eq!(claim(&b).await.next, Some(start() + secs(5)));
    b.clock.advance(5);
    assert_eq!(heads(&claim(&b).await.wake_ups), [(id, 1)]);
}

pub async fn given_up_by_the_broker_is_pending_again(b: Bench) {
    let (submitted, wake_ups) = stored(b.store.submit(submission(vec![referral("a")])).await.unwrap());
    let id = submitted[0].tasks[0];
    let message = wake_ups[0].message;
    b.store.mark_published(vec![message]).await.unwrap();
    b.clock.advance(31);
    assert!(claim(&b).await.wake_ups.is_empty());
    b.store.rearm_published(message).await.unwrap();
    assert_eq!(claim(&b).await.wake_ups, wake_ups);
    b.store.rearm_published(Uuid::now_v7()).await.unwrap();

    let held = lease(&b, id, Side::Delivery).await;
    b.store.append(held.settle(Side::Delivery, done())).await.unwrap();
    b.store.rearm_published(message).await.unwrap();
    b.clock.advance(7200);
    assert!(claim(&b).await.wake_ups.is_empty(), "what is done stays done");
}

pub async fn it_says_when_the_next_is_due(b: Bench) {
    assert_eq!(claim(&b).await.next, None);
    let id = one_task(&b, "a").await.id;
    assert_eq!(claim(&b).await.next, Some(start() + secs(30)), "the submitter may die over it");
    let held = lease(&b, id, Side::Delivery).await;
    b.store.append(held.settle(Side::Delivery, deferred(start() + secs(300)))).await.unwrap();
    assert_eq!(claim(&b).await.next, Some(start() + secs(300)));
    let sooner = one_task(&b, "b").await.id;
    let held = lease(&b, sooner, Side::Delivery).await;
    b.store.append(held.settle(Side::Delivery, deferred(start() + secs(200)))).await.unwrap();
    assert_eq!(claim(&b).await.next, Some(start() + secs(200)));
    b.clock.advance(200);
    let due = claim(&b).await;
    assert_eq!(heads(&due.wake_ups), [(sooner, 1)]);
    assert_eq!(due.next, Some(start() + secs(260)), "unless the claimer publishes it");
    b.store.mark_published(vec![due.wake_ups[0].message]).await.unwrap();
    assert_eq!(claim(&b).await.next, Some(start() + secs(300)));
}

pub async fn a_dead_letter_is_replayed_once(b: Bench) {
    assert!(b.store.dead_letters(10).await.unwrap().is_empty());
    let first = one_task(&b, "a").await.id;
    b.clock.advance(1);
    let second = one_task(&b, "b").await.id;
    for id in [second, first] {
        let held = lease(&b, id, Side::Delivery).await;
        b.store.append(held.settle(Side::Delivery, dead())).await.unwrap();
    }
    let letters = b.store.dead_letters(10).await.unwrap();
    assert_eq!(letters.iter().map(|l| l.task).collect::<Vec<_>>(), [first, second], "oldest first");
    assert_eq!(b.store.dead_letters(1).await.unwrap().len(), 1);
    let letter = &letters[0];
    assert_eq!((letter.side, letter.seq, letter.attempts), (Side::Delivery, 1, 1));
    assert_eq!((letter.to.as_str(), letter.why.as_str()), ("life-rooms", "404 from the provider"));
    assert_eq!(letter.since, start());
    b.clock.advance(7200);
    assert!(claim(&b).await.wake_ups.is_empty(), "it is not tried again by itself");

    add(&b, first, &[Side::Delivery]).await;
    let replay = || async {
        let replayed = Event::Replayed { side: Side::Delivery, of: 1 };
        let new = NewEvent { event: replayed, actor: Actor::Operator("jo".into()), body: None, lanes: vec![] };
        let now = task(&b, first).await;
        b.store.append(Append { events: vec![new], rearm: Some(letter.message), ..step(&now) }).await
    };
    replay().await.unwrap();
    let seq = task(&b, first).await.seq;
    assert!(matches!(replay().await, Err(AppendError::Moved)));
    assert_eq!(task(&b, first).await.seq, seq, "and the second one left no trace");
    assert_eq!(b.store.dead_letters(10).await.unwrap().len(), 1);
    let due = claim(&b).await.wake_ups;
    assert_eq!(heads(&due), [(first, 1)], "at once, and before what came later");
    assert_eq!(due[0].message, letter.message);
    let held = lease(&b, first, Side::Delivery).await;
    assert_eq!((held.head.seq, held.head.attempts), (1, 0), "it is tried as if it were new");
    let next = b.store.append(held.settle(Side::Delivery, done())).await.unwrap().next;
    assert_eq!(next.map(|n| n.seq), Some(2));
}

pub async fn a_replay_names_its_own_task(b: Bench) {
    let one = one_task(&b, "a").await.id;
    let other = one_task(&b, "b").await;
    let held = lease(&b, one, Side::Delivery).await;
    b.store.append(held.settle(Side::Delivery, dead())).await.unwrap();
    let message = held.head.message;
    let refused = b.store.append(Append { rearm: Some(message), ..step(&other) }).await;
    assert!(matches!(refused, Err(AppendError::Moved)), "{refused:?}");
    assert_eq!(b.store.dead_letters(10).await.unwrap().len(), 1);
}

pub async fn concurrent_claims_do_not_share(b: Bench) {
    let all: Vec<_> = (0..60).map(|n| referral(&format!("k{n}"))).collect();
    stored(b.store.submit(submission(all)).await.unwrap());
    b.clock.advance(31);
    let racing: Vec<_> = (0..20)
        .map(|_| {
            let store = b.store.clone();
            tokio::spawn(async move { store.claim_due(at_most(7)).await.unwrap().wake_ups })
        })
        .collect();
    let mut messages = Vec::new();
    for one in racing {
        let claimed = one.await.unwrap();
        assert!(claimed.len() <= 7);
        messages.extend(claimed.into_iter().map(|w| w.message));
    }
    assert_eq!(messages.len(), 60);
    assert_eq!(messages.into_iter().collect::<HashSet<_>>().len(), 60);
}

pub async fn what_is_due_and_not_handed_to_the_broker_is_told_since_when(b: Bench) {
    assert_eq!(b.store.overdue().await.unwrap(), None);
    one_task(&b, "a").await;
    let since = b.store.now();
    b.clock.advance(60);
    assert_eq!(b.store.overdue().await.unwrap(), Some(since));
    // handed over, though not done
    let messages = claim(&b).await.wake_ups.iter().map(|wake_up| wake_up.message).collect();
    b.store.mark_published(messages).await.unwrap();
    assert_eq!(b.store.overdue().await.unwrap(), None);
}

pub async fn what_is_tried_in_vain_is_told_and_no_hiccup(b: Bench) {
    let fails = |id: TaskId, side, wait, why: &'static str| {
        let (b, until) = (&b, b.store.now() + secs(wait));
        async move {
            let held = lease(b, id, side).await;
            let outcome = Settled::Deferred { until, memory: None, why: why.into() };
            b.store.append(held.settle(side, outcome)).await.unwrap();
        }
    };
    let first = one_task(&b, "a").await.id;
    add(&b, first, &[Side::Delivery]).await;
    fails(first, Side::Delivery, 2, "HTTP 503").await;
    assert_eq!(b.store.failing().await.unwrap(), [], "once is a hiccup");

    b.clock.advance(2);
    fails(first, Side::Delivery, 4, "HTTP 502").await;
    let inbox = Destination::new(Side::Delivery, "life-rooms");
    let told = |count, next, why: &str| Failing {
        of: inbox.clone(),
        count,
        oldest: start(),
        next: start() + secs(next),
        why: why.into(),
    };
    assert_eq!(b.store.failing().await.unwrap(), [told(1, 6, "HTTP 502")], "and not what waits behind it");

    b.clock.advance(1);
    let second = one_task(&b, "b").await.id;
    fails(second, Side::Delivery, 61, "HTTP 429").await;
    assert_eq!(b.store.failing().await.unwrap(), [told(2, 6, "HTTP 429")], "once, and then for long");

    add(&b, second, &[Side::WriteBack]).await;
    for wait in [1, 1] {
        fails(second, Side::WriteBack, wait, "connection refused").await;
        b.clock.advance(1);
    }
    let all = b.store.failing().await.unwrap();
    let of: Vec<_> = all.iter().map(|one| (one.of.to_string(), one.count, one.why.as_str())).collect();
    let record = format!("writeback.{}", task(&b, second).await.system);
    assert_eq!(of, [("inbox.life-rooms".into(), 2, "HTTP 429"), (record, 1, "connection refused")]);

    b.clock.advance(1);
    let held = lease(&b, first, Side::Delivery).await;
    b.store.append(held.settle(Side::Delivery, done())).await.unwrap();
    let held = lease(&b, second, Side::WriteBack).await;
    b.store.append(held.settle(Side::WriteBack, dead())).await.unwrap();
    let waits = Failing { oldest: start() + secs(3), ..told(1, 64, "HTTP 429") };
    assert_eq!(b.store.failing().await.unwrap(), [waits], "what arrived or died waits no more");
}
