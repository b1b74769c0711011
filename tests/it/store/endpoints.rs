//! Endpoints as the store knows them: breakers, what is put aside for them, and turns at what is due.

use std::collections::HashMap;

use onward::{
    domain::{
        Destination,
        breaker::{Breaker, Phase},
    },
    store::{Claim, Poll, Share, Shares, StoredBreaker},
};

use super::*;

fn inbox(id: &str) -> Destination {
    Destination::new(Side::Delivery, id)
}

/// A Task routed to this inbox.
async fn task_to(b: &Bench, key: &str, inbox: &str) -> TaskRecord {
    let (submitted, _) = stored(b.store.submit(submission(vec![referral_for(key, &[inbox])])).await.unwrap());
    task(b, submitted[0].tasks[0]).await
}

async fn claimed(b: &Bench, shares: Shares) -> Vec<WakeUp> {
    b.store.claim_due(Claim { shares, lease: MINUTE, republish_after: HOUR }).await.unwrap().wake_ups
}

fn for_one(id: &str, most: usize, early: Option<Timestamp>) -> Shares {
    Shares { limit: 100, each: 100, named: HashMap::from([(inbox(id), Share { most, early })]) }
}

async fn open(b: &Bench, id: &str) -> Breaker {
    let closed = Breaker::closed("http://there", b.store.now());
    let open = closed.trip(5, None, "HTTP 503", b.store.now(), 1.0).unwrap();
    assert!(b.store.set_breaker(&inbox(id), 0, open.clone()).await.unwrap());
    open
}

fn count(wake_ups: &[WakeUp], to: &str) -> usize {
    wake_ups.iter().filter(|w| w.to == to).count()
}

pub async fn a_breaker_is_set_over_its_own_version_only(b: Bench) {
    assert!(b.store.breakers().await.unwrap().is_empty());
    let of = inbox("life-rooms");
    let open = open(&b, "life-rooms").await;
    assert!(!b.store.set_breaker(&of, 0, open.clone()).await.unwrap(), "there is one already");
    let holder = Uuid::now_v7();
    let now = b.store.now() + secs(100);
    let probing = open.probe(holder, secs(20), now).unwrap();
    assert!(!b.store.set_breaker(&of, 2, probing.clone()).await.unwrap(), "no such version yet");
    assert!(!b.store.set_breaker(&inbox("others"), 1, probing.clone()).await.unwrap(), "none of that name");
    assert!(b.store.set_breaker(&of, 1, probing.clone()).await.unwrap());
    assert!(!b.store.set_breaker(&of, 1, open).await.unwrap(), "decided on an old one");
    let found = b.store.breakers().await.unwrap();
    assert_eq!(found, [StoredBreaker { of, breaker: probing.clone(), version: 2 }], "as it was stored");
    let draining = probing.let_go("http://here", "by hand", now).unwrap();
    let later = [
        draining.clone(),
        draining.drain(holder, secs(20), now).unwrap(),
        Breaker::closed("http://here", now).pause(Some(secs(30)), "HTTP 429", now).unwrap(),
        Breaker { phase: Phase::Closed, ..Breaker::closed("http://here", now) },
    ];
    for (version, breaker) in (3u64..).zip(later) {
        let of = inbox("life-rooms");
        assert!(b.store.set_breaker(&of, version - 1, breaker.clone()).await.unwrap());
        assert_eq!(b.store.breakers().await.unwrap(), [StoredBreaker { of, breaker, version }]);
    }
}

pub async fn one_of_many_sets_a_breaker(b: Bench) {
    let breaker = open(&b, "life-rooms").await;
    let racing: Vec<_> = (0..20)
        .map(|_| {
            let (store, breaker) = (b.store.clone(), breaker.clone());
            tokio::spawn(async move { store.set_breaker(&inbox("life-rooms"), 1, breaker).await.unwrap() })
        })
        .collect();
    let mut set = 0;
    for one in racing {
        set += usize::from(one.await.unwrap());
    }
    assert_eq!(set, 1);
}

pub async fn what_is_put_aside_waits_until_it_is_old_or_fetched(b: Bench) {
    let (one, two) = (one_task(&b, "a").await.id, one_task(&b, "b").await.id);
    let later = add(&b, one, &[Side::Delivery]).await.wake_ups;
    open(&b, "life-rooms").await;
    b.clock.advance(60);
    let due = claim(&b).await.wake_ups;
    b.store.mark_published(due.iter().map(|w| w.message).collect()).await.unwrap();
    let age = Duration::from_secs(900);
    for wake_up in &due {
        assert!(b.store.put_aside(wake_up.message, age).await.unwrap());
    }
    assert!(!b.store.put_aside(Uuid::now_v7(), age).await.unwrap(), "nobody's");
    for id in [one, two] {
        assert!(matches!(b.store.lease_lane(id, Side::Delivery, MINUTE).await.unwrap(), LaneState::Idle));
    }
    b.clock.advance(839);
    assert!(claim(&b).await.wake_ups.is_empty(), "nobody is woken, not for what stands behind either");
    b.clock.advance(1);
    assert_eq!(heads(&claim(&b).await.wake_ups), heads(&due), "so old that something must be said");
    assert!(!b.store.put_aside(due[0].message, age).await.unwrap(), "it is that old already");

    for wake_up in &due {
        assert!(b.store.put_aside(wake_up.message, Duration::from_secs(5000)).await.unwrap());
    }
    let now = b.store.now();
    let first = claimed(&b, for_one("life-rooms", 1, Some(now))).await;
    assert_eq!(first.len(), 1, "no more than its share");
    let second = claimed(&b, for_one("life-rooms", 5, Some(now))).await;
    assert_eq!(heads(&[first, second].concat()), heads(&due), "each once");
    let held = lease(&b, one, Side::Delivery).await;
    assert_eq!((held.head.seq, held.head.attempts), (1, 0), "having been put aside is no try");
    let next = b.store.append(held.settle(Side::Delivery, done())).await.unwrap().next;
    assert_eq!(next.map(|n| n.seq), later.first().map(|w| w.seq), "what stood behind it goes on with it");
}

pub async fn what_was_put_aside_behind_a_head_that_was_not_goes_on_with_it(b: Bench) {
    for (key, outcome) in [("a", done()), ("b", Settled::Dead { why: "refused".to_owned() })] {
        // the broker hands the second out before the first, and the outage is over when it hands the first out
        let id = one_task(&b, key).await.id;
        let second = add(&b, id, &[Side::Delivery]).await.wake_ups.remove(0);
        let version = b.store.breakers().await.unwrap().first().map_or(0, |known| known.version);
        let closed = Breaker::closed("http://there", b.store.now());
        let open = closed.trip(5, None, "HTTP 503", b.store.now(), 1.0).unwrap();
        assert!(b.store.set_breaker(&inbox("life-rooms"), version, open).await.unwrap());
        assert!(b.store.put_aside(second.message, HOUR).await.unwrap());
        assert!(b.store.set_breaker(&inbox("life-rooms"), version + 1, closed).await.unwrap());
        let held = lease(&b, id, Side::Delivery).await;
        assert_eq!(held.head.seq, 1);
        let next = b.store.append(held.settle(Side::Delivery, outcome)).await.unwrap().next;
        assert_eq!(next.map(|n| n.seq), Some(second.seq));
    }
}

pub async fn nothing_is_put_aside_where_messages_are_let_through(b: Bench) {
    let id = one_task(&b, "a").await.id;
    b.clock.advance(60);
    let message = claim(&b).await.wake_ups[0].message;
    b.store.mark_published(vec![message]).await.unwrap();
    let age = Duration::from_secs(900);
    assert!(!b.store.put_aside(message, age).await.unwrap(), "there is no breaker");
    let open = open(&b, "life-rooms").await;
    let back = open.let_go("http://there", "by hand", b.store.now()).unwrap();
    assert!(b.store.set_breaker(&inbox("life-rooms"), 1, back).await.unwrap());
    assert!(!b.store.put_aside(message, age).await.unwrap(), "it drains");
    let paused = Breaker::closed("http://there", b.store.now()).pause(Some(secs(10)), "HTTP 429", b.store.now());
    assert!(b.store.set_breaker(&inbox("life-rooms"), 2, paused.unwrap()).await.unwrap());
    b.clock.advance(10);
    assert!(!b.store.put_aside(message, age).await.unwrap(), "the pause is over");
    lease(&b, id, Side::Delivery).await;
}

pub async fn an_early_claim_fetches_each_message_once(b: Bench) {
    let id = one_task(&b, "a").await.id;
    let held = lease(&b, id, Side::Delivery).await;
    b.store.append(held.settle(Side::Delivery, deferred(start() + secs(7200)))).await.unwrap();
    add(&b, id, &[Side::Delivery]).await;
    b.clock.advance(60);
    let back = b.store.now();
    assert!(claimed(&b, for_one("life-rooms", 9, None)).await.is_empty(), "it waits for its time");
    assert!(claimed(&b, for_one("others", 9, Some(back))).await.is_empty(), "another's return is not its");
    assert_eq!(heads(&claimed(&b, for_one("life-rooms", 9, Some(back))).await), [(id, 1)]);
    let held = lease(&b, id, Side::Delivery).await;
    assert_eq!(held.head.attempts, 1);
    b.clock.advance(1);
    b.store.append(held.settle(Side::Delivery, deferred(b.store.now() + secs(7200)))).await.unwrap();
    assert!(claimed(&b, for_one("life-rooms", 9, Some(back))).await.is_empty(), "tried since: now it waits");
    b.clock.advance(1);
    let again = b.store.now();
    assert_eq!(claimed(&b, Shares::one_of(inbox("life-rooms"), again)).await.len(), 1);
}

pub async fn destinations_take_turns(b: Bench) {
    for n in 0..30 {
        task_to(&b, &format!("m{n}"), "many").await;
    }
    for n in 0..2 {
        b.clock.advance(1);
        task_to(&b, &format!("f{n}"), "few").await;
        task_to(&b, &format!("o{n}"), "other").await;
    }
    b.clock.advance(60);
    let first = claimed(&b, Shares::even(9, 9)).await;
    let counts = ["many", "few", "other"].map(|to| count(&first, to));
    assert_eq!(counts, [5, 2, 2], "the later ones are not behind all that came first; what they leave is not lost");
    let second = claimed(&b, Shares::even(100, 4)).await;
    assert_eq!((second.len(), count(&second, "many")), (4, 4), "at most its share");
    let none = claimed(&b, for_one("many", 0, None)).await;
    assert!(none.is_empty());
    let rest = claimed(&b, Shares::even(100, 100)).await;
    assert_eq!(count(&rest, "many"), 21);
    // the same holds for what is published again
    let all: Vec<_> = [first, second, rest].concat();
    b.store.mark_published(all.iter().map(|w| w.message).collect()).await.unwrap();
    b.clock.advance(3600);
    let lost = claimed(&b, Shares::even(9, 9)).await;
    assert_eq!(["many", "few", "other"].map(|to| count(&lost, to)), [5, 2, 2]);
}

pub async fn more_destinations_than_places_all_get_their_turn(b: Bench) {
    for n in 0..12 {
        task_to(&b, &format!("k{n}"), &format!("inbox-{n}")).await;
    }
    b.clock.advance(60);
    let mut seen = Vec::new();
    for _ in 0..4 {
        let some = claimed(&b, Shares::even(3, 3)).await;
        assert_eq!(some.len(), 3);
        seen.extend(heads(&some));
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 12);
}

pub async fn copies_take_turns(b: Bench) {
    let plan = |at| Poll { memory: Some("etag".into()), at: Some(at) };
    for n in 0..20 {
        let id = task_to(&b, &format!("m{n}"), "many").await.id;
        b.store.plan_poll(id, plan(start() + secs(1))).await.unwrap();
    }
    let few = task_to(&b, "few", "few").await.id;
    b.store.plan_poll(few, plan(start() + secs(9))).await.unwrap();
    b.clock.advance(10);
    let of = |claimed: &[(TaskRecord, String)], inbox: &str| {
        claimed.iter().filter(|(t, _)| t.inbox.as_str() == inbox).count()
    };
    let first = b.store.claim_polls(Shares::even(6, 4), MINUTE).await.unwrap();
    assert_eq!((of(&first, "many"), of(&first, "few")), (4, 1));
    let second = b.store.claim_polls(for_one("many", 0, None), MINUTE).await.unwrap();
    assert!(second.is_empty(), "left alone");
    assert_eq!(of(&b.store.claim_polls(Shares::even(100, 100), MINUTE).await.unwrap(), "many"), 16);
}

pub async fn a_copy_that_could_not_be_taken_is_given_back(b: Bench) {
    let id = one_task(&b, "a").await.id;
    let claimed = async || b.store.claim_polls(Shares::even(9, 9), MINUTE).await.unwrap().len();
    b.store.plan_poll(id, Poll { memory: Some("etag".into()), at: Some(start()) }).await.unwrap();
    assert_eq!((claimed().await, claimed().await), (1, 0));
    b.store.give_back_poll(id, start() + secs(5)).await.unwrap();
    assert_eq!(claimed().await, 0, "not yet");
    b.clock.advance(5);
    let again = b.store.claim_polls(Shares::even(9, 9), MINUTE).await.unwrap();
    assert_eq!(again[0].1, "etag", "what is remembered of it stays");
}

pub async fn what_was_not_tried_waits_without_a_try(b: Bench) {
    let id = one_task(&b, "a").await.id;
    let open = open(&b, "life-rooms").await;
    let held = lease(&b, id, Side::Delivery).await;
    let until = start() + secs(300);
    let waits = held.settle(Side::Delivery, Settled::Waits { until });
    b.store.append(Append { events: vec![event(Some("{}"), &[Side::WriteBack])], ..waits }).await.unwrap();
    add(&b, id, &[Side::Delivery]).await;
    b.clock.advance(299);
    assert!(matches!(b.store.lease_lane(id, Side::Delivery, MINUTE).await.unwrap(), LaneState::Idle));
    assert_eq!(heads(&claim(&b).await.wake_ups), [(id, 2)], "the write-back only");
    b.clock.advance(1);
    assert_eq!(heads(&claim(&b).await.wake_ups), [(id, 1)]);
    let held = lease(&b, id, Side::Delivery).await;
    assert_eq!((held.head.seq, held.head.attempts), (1, 0));

    // the breaker closes while the worker is held up: what it says then must not make the message wait for nothing
    let back = open.let_go("http://there", "by hand", b.store.now()).unwrap();
    assert!(b.store.set_breaker(&inbox("life-rooms"), 1, back).await.unwrap());
    let waits = held.settle(Side::Delivery, Settled::Waits { until: b.store.now() + secs(9000) });
    b.store.append(waits).await.unwrap();
    let next = lease(&b, id, Side::Delivery).await;
    assert_eq!((next.head.seq, next.head.attempts), (1, 0), "it is due at once");
    let next = b.store.append(next.settle(Side::Delivery, done())).await.unwrap().next;
    assert_eq!(next.map(|n| n.seq), Some(3), "and so is what stands behind it");
}
