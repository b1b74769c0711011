//! Subscriptions: attended to by one at a time, their events numbered without gaps, whatever comes twice.

use onward::{
    domain::{Subscriber, Subscription, SubscriptionStatus, subscription::Progress},
    store::EVENTS_KEPT,
};

use super::*;

const LEASE: Duration = Duration::from_secs(30);

fn subscription(b: &Bench, owner: &str) -> Subscription {
    Subscription {
        id: Uuid::now_v7(),
        owner: owner.parse().unwrap(),
        version: 1,
        last_updated: b.store.now(),
        status: SubscriptionStatus::Requested,
        body: r#"{"resourceType":"Subscription"}"#.into(),
        seen_until: b.store.now(),
        events: 0,
        progress: Progress::default(),
        lease: 0,
    }
}

async fn get(b: &Bench, id: Uuid) -> Subscription {
    b.store.subscription(id).await.unwrap().unwrap()
}

pub async fn one_is_kept_rewritten_and_forgotten(b: Bench) {
    let (one, other) = (subscription(&b, "system:mersey-epr"), subscription(&b, "provider:mind"));
    for new in [&one, &other] {
        b.store.add_subscription(new.clone()).await.unwrap();
        assert_eq!(get(&b, new.id).await, *new);
    }
    let owner: Subscriber = "system:mersey-epr".parse().unwrap();
    assert_eq!(b.store.subscriptions(&owner).await.unwrap(), std::slice::from_ref(&one));
    let progress = Progress { sent: 3, attempts: 2, why: Some("HTTP 500".into()), ..Progress::default() };
    b.clock.advance(1);
    assert!(b.store.settle_subscription(one.id, 0, SubscriptionStatus::Error, progress, None).await.unwrap());
    let failed = get(&b, one.id).await;
    assert_eq!((failed.version, failed.status, failed.progress.sent), (2, SubscriptionStatus::Error, 3));
    assert_eq!(failed.last_updated, b.store.now());

    let requested = SubscriptionStatus::Requested;
    assert!(!b.store.rewrite_subscription(one.id, 1, requested, "{}".into()).await.unwrap(), "over an old version");
    assert!(b.store.rewrite_subscription(one.id, 2, requested, "{}".into()).await.unwrap());
    let again = get(&b, one.id).await;
    assert_eq!((again.version, again.status, &*again.body), (3, requested, "{}"));
    assert_eq!(again.progress, Progress { sent: 3, ..Progress::default() }, "what failed is forgotten");
    assert_eq!(again.seen_until, one.seen_until, "it is told of what it missed");
    b.clock.advance(1);
    for (over, status) in [(3, SubscriptionStatus::Off), (4, requested)] {
        assert!(b.store.rewrite_subscription(one.id, over, status, "{}".into()).await.unwrap());
    }
    assert_eq!(get(&b, one.id).await.seen_until, b.store.now(), "while it was off nothing was missed");

    b.store.remove_subscription(one.id).await.unwrap();
    assert!(b.store.subscription(one.id).await.unwrap().is_none());
    assert!(!b.store.rewrite_subscription(one.id, 3, requested, "{}".into()).await.unwrap());
    assert_eq!(get(&b, other.id).await, other);
}

pub async fn one_is_attended_to_by_one_at_a_time(b: Bench) {
    let new = subscription(&b, "system:mersey-epr");
    let off = Subscription { status: SubscriptionStatus::Off, ..subscription(&b, "system:mersey-epr") };
    for each in [&new, &off] {
        b.store.add_subscription(each.clone()).await.unwrap();
    }
    let claimed = b.store.claim_subscriptions(10, LEASE).await.unwrap();
    assert_eq!(claimed.iter().map(|s| (s.id, s.lease)).collect::<Vec<_>>(), [(new.id, 1)]);
    assert!(b.store.claim_subscriptions(10, LEASE).await.unwrap().is_empty());
    let active = SubscriptionStatus::Active;
    let settle = async |lease, progress, until| {
        b.store.settle_subscription(new.id, lease, active, progress, until).await.unwrap()
    };
    // one who goes on keeps it
    b.clock.advance(29);
    assert!(settle(1, Progress::default(), Some(LEASE)).await);
    b.clock.advance(29);
    assert!(b.store.claim_subscriptions(10, LEASE).await.unwrap().is_empty());
    // one who is done gives it back, from a moment on where there is one
    let later = Progress { next: Some(b.store.now() + secs(10)), ..Progress::default() };
    assert!(settle(1, later, None).await);
    assert!(b.store.claim_subscriptions(10, LEASE).await.unwrap().is_empty());
    b.clock.advance(10);
    assert_eq!(b.store.claim_subscriptions(10, LEASE).await.unwrap()[0].lease, 2);
    // one who was away too long changes nothing any more
    b.clock.advance(31);
    assert_eq!(b.store.claim_subscriptions(10, LEASE).await.unwrap()[0].lease, 3);
    assert!(!settle(2, Progress::default(), None).await);
    assert_eq!(b.store.take_up(new.id, 2, vec![], b.store.now()).await.unwrap(), None);
    // nor does one whose subscription was written anew meanwhile
    let version = get(&b, new.id).await.version;
    assert!(b.store.rewrite_subscription(new.id, version, SubscriptionStatus::Off, "{}".into()).await.unwrap());
    assert!(!settle(3, Progress::default(), None).await);
    assert!(b.store.claim_subscriptions(10, LEASE).await.unwrap().is_empty(), "it is off");
}

pub async fn events_are_numbered_without_gaps_whatever_comes_twice(b: Bench) {
    let new = subscription(&b, "provider:mind");
    b.store.add_subscription(new.clone()).await.unwrap();
    let tasks: Vec<TaskId> = (0..3).map(|_| TaskId::mint()).collect();
    let at = b.store.now();
    let change = |task: usize, version: u64| (tasks[task], version, at);
    for (changes, newest) in [
        (vec![change(0, 1), change(1, 1)], 2),
        (vec![change(1, 1), change(0, 2), change(0, 1)], 3),
        (vec![], 3),
        (vec![change(2, 7)], 4),
    ] {
        assert_eq!(b.store.take_up(new.id, 0, changes, at).await.unwrap(), Some(newest));
    }
    let events = b.store.subscription_events(new.id, 0, u64::MAX).await.unwrap();
    let told: Vec<_> = events.iter().map(|e| (e.number, e.task, e.version)).collect();
    assert_eq!(told, [(1, tasks[0], 1), (2, tasks[1], 1), (3, tasks[0], 2), (4, tasks[2], 7)]);
    assert!(events.iter().all(|e| e.at == at));
    assert_eq!(b.store.subscription_events(new.id, 2, 3).await.unwrap(), events[1..3]);
    assert_eq!(get(&b, new.id).await.events, 4);
    // what was sent long ago is forgotten
    let sent = Progress { sent: EVENTS_KEPT + 2, ..Progress::default() };
    assert!(b.store.settle_subscription(new.id, 0, SubscriptionStatus::Active, sent, None).await.unwrap());
    assert_eq!(b.store.subscription_events(new.id, 0, u64::MAX).await.unwrap(), events[2..]);
    assert_eq!(b.store.take_up(new.id, 0, vec![change(2, 8)], at).await.unwrap(), Some(5), "its number goes on");
    b.store.remove_subscription(new.id).await.unwrap();
    assert!(b.store.subscription_events(new.id, 0, u64::MAX).await.unwrap().is_empty());
}
