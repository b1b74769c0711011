//! What waits for somebody: dead letters to be looked through, deadlines, Tasks in trouble, alerts.

use std::collections::HashSet;

use onward::{
    domain::{
        Actor, Alert, AlertKind, Event, Side, TaskId, TaskStatus, TransportStatus, deadline::Deadlines, task::TaskState,
    },
    store::{AlertSettled, Append, AppendError, DeadQuery, NewEvent},
};

use super::{
    Bench, HOUR, MINUTE, Settled, add, claim, dead, lease, one_task, referral_for, secs, start, state, step, stored,
    submission, task, task_for,
};

fn all() -> DeadQuery {
    DeadQuery { count: 100, ..DeadQuery::default() }
}

async fn die(b: &Bench, id: TaskId, side: Side, why: &str) {
    let held = lease(b, id, side).await;
    b.store.append(held.settle(side, Settled::Dead { why: why.into() })).await.unwrap();
}

pub async fn dead_letters_are_found_and_paged(b: Bench) {
    let mut made = Vec::new();
    for (n, inbox, why) in
        [(0, "life-rooms", "HTTP 404"), (1, "housing", "HTTP 422; Value"), (2, "life-rooms", "HTTP 422")]
    {
        let referral = referral_for(&format!("k{n}"), &[inbox]);
        let id = stored(b.store.submit(submission(vec![referral])).await.unwrap()).0[0].tasks[0];
        die(&b, id, Side::Delivery, why).await;
        made.push(id);
        b.clock.advance(10);
    }
    add(&b, made[0], &[Side::WriteBack]).await;
    die(&b, made[0], Side::WriteBack, "HTTP 410").await;
    let find = |query: DeadQuery| {
        let store = b.store.clone();
        async move { store.find_dead(query).await.unwrap().iter().map(|l| (l.task, l.side)).collect::<Vec<_>>() }
    };
    let (first, second, third) = (made[0], made[1], made[2]);
    let delivery = |id| (id, Side::Delivery);
    let everything = [delivery(first), delivery(second), delivery(third), (first, Side::WriteBack)];
    assert_eq!(find(all()).await, everything, "oldest first");
    assert_eq!(find(DeadQuery { to: Some("life-rooms".into()), ..all() }).await, [delivery(first), delivery(third)]);
    assert_eq!(find(DeadQuery { side: Some(Side::WriteBack), ..all() }).await, [(first, Side::WriteBack)]);
    assert_eq!(find(DeadQuery { why: Some("http 422".into()), ..all() }).await, [delivery(second), delivery(third)]);
    assert_eq!(
        find(DeadQuery { why: Some("value".into()), to: Some("housing".into()), ..all() }).await,
        [delivery(second)]
    );
    assert!(find(DeadQuery { why: Some("%".into()), ..all() }).await.is_empty(), "words are no pattern");
    assert_eq!(find(DeadQuery { task: Some(first), ..all() }).await.len(), 2);
    let (from, until) = (Some(start() + secs(10)), Some(start() + secs(20)));
    assert_eq!(find(DeadQuery { since: from, until, ..all() }).await, [delivery(second), delivery(third)]);

    let mut paged = Vec::new();
    let mut after = None;
    loop {
        let page = b.store.find_dead(DeadQuery { after, count: 3, ..DeadQuery::default() }).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some((last.since, last.message));
        paged.extend(page.iter().map(|l| (l.task, l.side)));
    }
    assert_eq!(paged, everything);
}

pub async fn those_of_a_task_come_in_the_order_of_their_seq(b: Bench) {
    let id = one_task(&b, "a").await.id;
    add(&b, id, &[Side::Delivery]).await;
    die(&b, id, Side::Delivery, "1").await;
    // the lane was to go on with the second under the same lease
    b.clock.advance(61);
    die(&b, id, Side::Delivery, "2").await;
    let letters = b.store.dead_letters(9).await.unwrap();
    // the first is tried again and dies again: it is now the younger one
    b.clock.advance(60);
    let now = task(&b, id).await;
    b.store.append(Append { rearm: Some(letters[0].message), ..step(&now) }).await.unwrap();
    die(&b, id, Side::Delivery, "1 again").await;
    let seqs = |letters: Vec<onward::store::DeadLetter>| letters.iter().map(|l| l.seq).collect::<Vec<_>>();
    assert_eq!(seqs(b.store.dead_letters(9).await.unwrap()), [2, 1]);
    assert_eq!(seqs(b.store.find_dead(DeadQuery { task: Some(id), ..all() }).await.unwrap()), [1, 2]);
}

pub async fn a_discarded_one_is_dead_no_more_and_never_sent(b: Bench) {
    let id = one_task(&b, "a").await.id;
    let other = one_task(&b, "b").await;
    die(&b, id, Side::Delivery, "HTTP 404").await;
    let letter = b.store.dead_letters(9).await.unwrap().remove(0);
    assert_eq!(b.store.dead_letter(letter.message).await.unwrap().map(|l| l.task), Some(id));
    let head = b.store.dead_head(letter.message).await.unwrap().unwrap();
    assert_eq!((head.message, head.seq, head.attempts, head.cursor), (letter.message, 1, 1, 0));
    assert_eq!((head.since, head.memory), (letter.since, None));
    let named = DeadQuery { message: Some(letter.message), ..all() };
    assert_eq!(b.store.find_dead(named).await.unwrap().len(), 1);
    let wrong = b.store.append(Append { discard: Some(letter.message), ..step(&other) }).await;
    assert!(matches!(wrong, Err(AppendError::Moved)), "{wrong:?}");
    let discard = || async {
        let event = Event::Discarded { side: Side::Delivery, of: 1, reason: "sent by post".into() };
        let new = NewEvent { event, actor: Actor::Operator("jo".into()), body: None, lanes: vec![] };
        let now = task(&b, id).await;
        b.store.append(Append { events: vec![new], discard: Some(letter.message), ..step(&now) }).await
    };
    discard().await.unwrap();
    assert!(matches!(discard().await, Err(AppendError::Moved)), "once");
    assert!(b.store.dead_letters(9).await.unwrap().is_empty());
    assert!(b.store.dead_letter(letter.message).await.unwrap().is_none());
    assert!(b.store.dead_head(letter.message).await.unwrap().is_none());
    let now = task(&b, id).await;
    let again = b.store.append(Append { rearm: Some(letter.message), ..step(&now) }).await;
    assert!(matches!(again, Err(AppendError::Moved)), "what was put away is not tried again");
    b.clock.advance(7200);
    assert!(!claim(&b).await.wake_ups.iter().any(|w| w.task == id));
    assert_eq!(b.store.backlog().await.unwrap().iter().map(|l| l.dead).sum::<u64>(), 0);
    assert_eq!(b.store.journal(id).await.unwrap().last().unwrap().event.name(), "discarded");
}

async fn awaited(b: &Bench, key: &str, deadlines: Deadlines) -> TaskId {
    let mut referral = referral_for(key, &[]);
    referral.tasks = vec![onward::store::NewTask { deadlines, ..task_for("life-rooms") }];
    stored(b.store.submit(submission(vec![referral])).await.unwrap()).0[0].tasks[0]
}

fn by(seconds: i64) -> Deadlines {
    Deadlines { deliver_by: Some(start() + secs(seconds)), ..Deadlines::default() }
}

async fn claimed(b: &Bench) -> Vec<TaskId> {
    b.store.claim_deadlines(100, MINUTE).await.unwrap().iter().map(|t| t.id).collect()
}

pub async fn a_deadline_is_claimed_when_it_is_due_by_one_at_a_time(b: Bench) {
    let (late, soon) = (awaited(&b, "late", by(200)).await, awaited(&b, "soon", by(100)).await);
    awaited(&b, "none", Deadlines::default()).await;
    assert!(claimed(&b).await.is_empty());
    b.clock.advance(100);
    let due = b.store.claim_deadlines(100, MINUTE).await.unwrap();
    assert_eq!(due.iter().map(|t| t.id).collect::<Vec<_>>(), [soon]);
    assert_eq!(due[0].state.deadlines, by(100), "as they were stored");
    assert!(claimed(&b).await.is_empty(), "it is another's");
    b.clock.advance(60);
    assert_eq!(claimed(&b).await, [soon], "who did not come to an end");
    b.clock.advance(60);
    assert_eq!(claimed(&b).await.len(), 2);

    // a step says anew what is awaited; one that awaits nothing is not looked at again
    let now = task(&b, soon).await;
    let next = Deadlines { open_by: Some(start() + secs(500)), answer_by: Some(start() + secs(900)), ..by(600) };
    let after = TaskState { deadlines: next, ..now.state };
    let kept = b.store.append(Append { state: after, ..step(&now) }).await.unwrap().task;
    assert_eq!(kept.state, after);
    let now = task(&b, late).await;
    let over = TaskState { deadlines: Deadlines::default(), ..now.state };
    b.store.append(Append { state: over, ..step(&now) }).await.unwrap();
    b.clock.advance(279);
    assert!(claimed(&b).await.is_empty());
    b.clock.advance(1);
    assert_eq!(claimed(&b).await, [soon], "the earliest counts");
}

pub async fn claims_of_deadlines_do_not_share(b: Bench) {
    for n in 0..60 {
        awaited(&b, &format!("k{n}"), by(1)).await;
    }
    b.clock.advance(1);
    let racing: Vec<_> = (0..20)
        .map(|_| {
            let store = b.store.clone();
            tokio::spawn(async move { store.claim_deadlines(7, MINUTE).await.unwrap() })
        })
        .collect();
    let mut all = Vec::new();
    for one in racing {
        let claimed = one.await.unwrap();
        assert!(claimed.len() <= 7);
        all.extend(claimed.into_iter().map(|t| t.id));
    }
    assert_eq!(all.len(), 60);
    assert_eq!(all.into_iter().collect::<HashSet<_>>().len(), 60);
}

pub async fn tasks_in_trouble_are_told_until_somebody_sees_to_them(b: Bench) {
    let mut made = Vec::new();
    let transports = [
        Some(TransportStatus::Overdue),
        Some(TransportStatus::HandedOver),
        Some(TransportStatus::NotOpened),
        None,
        Some(TransportStatus::DeliveryDelayed),
        Some(TransportStatus::CopyUnreadable),
        Some(TransportStatus::Undeliverable),
    ];
    for (n, transport) in transports.into_iter().enumerate() {
        let task = one_task(&b, &format!("k{n}")).await;
        b.clock.advance(1);
        let state = TaskState { transport, ..state(TaskStatus::Received) };
        made.push(b.store.append(Append { state, ..step(&task) }).await.unwrap().task);
    }
    let told = |after, count| {
        let store = b.store.clone();
        async move {
            let found = store.troubled(after, count).await.unwrap();
            found.iter().map(|t| (t.task.id, t.since)).collect::<Vec<_>>()
        }
    };
    let since = |n: i64| start() + secs(n);
    let expected = [(made[0].id, since(1)), (made[2].id, since(3)), (made[4].id, since(5)), (made[5].id, since(6))];
    assert_eq!(told(None, 100).await, expected, "longest first");
    assert_eq!(told(Some((expected[1].1, expected[1].0)), 1).await, [expected[2]]);

    // the same again leaves the time; another begins anew; seen to or gone, it is no line
    b.clock.advance(10);
    let change = |n: usize, state: TaskState| Append { state, ..step(&made[n]) };
    b.store.append(change(0, made[0].state)).await.unwrap();
    b.store.append(change(2, made[2].state.with_transport(Some(TransportStatus::Overdue)))).await.unwrap();
    b.store.append(change(4, TaskState { seen_to: true, ..made[4].state })).await.unwrap();
    b.store.append(change(5, made[5].state.copy_readable())).await.unwrap();
    assert_eq!(told(None, 100).await, [(made[0].id, since(1)), (made[2].id, since(17))]);
    assert!(task(&b, made[4].id).await.state.seen_to);
}

fn alert(kind: AlertKind, subject: &str) -> Alert {
    Alert::new(kind, subject, start(), "in our words")
}

pub async fn an_alert_is_told_once_it_was_settled(b: Bench) {
    let id = one_task(&b, "a").await.id;
    let dead_letter = alert(AlertKind::DeadLetter, "life-rooms").of_task(id).of_message(uuid::Uuid::now_v7());
    b.store.raise(vec![dead_letter.clone()]).await.unwrap();
    b.store.raise(vec![dead_letter.clone()]).await.unwrap();
    b.clock.advance(5);
    b.store
        .raise(vec![alert(AlertKind::Overdue, "life-rooms"), alert(AlertKind::Overdue, "life-rooms")])
        .await
        .unwrap();
    let due = b.store.claim_alerts(100, MINUTE).await.unwrap();
    assert_eq!(due.len(), 3, "the same id once, the same words as often as they are said");
    assert_eq!((&due[0].alert, due[0].attempts, due[0].raised), (&dead_letter, 0, start()));
    assert!(b.store.claim_alerts(100, MINUTE).await.unwrap().is_empty(), "they are another's");
    b.store.settle_alert(due[0].alert.id, AlertSettled::Told).await.unwrap();
    b.store.settle_alert(due[1].alert.id, AlertSettled::Later(start() + secs(30))).await.unwrap();
    b.store.settle_alert(due[2].alert.id, AlertSettled::GivenUp).await.unwrap();
    assert!(b.store.claim_alerts(100, MINUTE).await.unwrap().is_empty());
    b.clock.advance(25);
    let again = b.store.claim_alerts(100, MINUTE).await.unwrap();
    assert_eq!(again.iter().map(|a| (a.alert.id, a.attempts)).collect::<Vec<_>>(), [(due[1].alert.id, 1)]);
    b.clock.advance(61);
    assert_eq!(b.store.claim_alerts(1, MINUTE).await.unwrap().len(), 1, "whoever had it died over it");
    assert!(b.store.open_alerts(100).await.unwrap().is_empty(), "none of them stands");
}

pub async fn a_standing_alert_is_raised_once_until_it_ends(b: Bench) {
    let refused = AlertKind::ConfigurationRefused;
    for _ in 0..3 {
        b.store.raise(vec![alert(refused, "configuration"), alert(AlertKind::EndpointBroken, "a")]).await.unwrap();
    }
    b.store.raise(vec![alert(AlertKind::EndpointBroken, "b")]).await.unwrap();
    let due = b.store.claim_alerts(100, MINUTE).await.unwrap();
    assert_eq!(due.len(), 3);
    for told in &due {
        b.store.settle_alert(told.alert.id, AlertSettled::Told).await.unwrap();
    }
    let open = |b: &Bench| {
        let store = b.store.clone();
        async move { store.open_alerts(100).await.unwrap().into_iter().map(|a| (a.kind, a.subject)).collect::<Vec<_>>() }
    };
    assert_eq!(open(&b).await.len(), 3, "told, but not over");
    assert!(b.store.end_alert(AlertKind::EndpointBroken, "a").await.unwrap());
    assert!(!b.store.end_alert(AlertKind::EndpointBroken, "a").await.unwrap());
    assert_eq!(open(&b).await, [(refused, "configuration".to_owned()), (AlertKind::EndpointBroken, "b".to_owned())]);
    b.store.raise(vec![alert(AlertKind::EndpointBroken, "a")]).await.unwrap();
    assert_eq!(b.store.claim_alerts(100, MINUTE).await.unwrap().len(), 1, "anew, once it had ended");

    // what is told and over is forgotten in the end; what stands is not
    b.clock.advance(40 * 24 * 3600);
    b.store.claim_alerts(100, HOUR).await.unwrap();
    assert_eq!(open(&b).await.len(), 3);
}

pub async fn an_alert_is_stored_with_its_step_or_not_at_all(b: Bench) {
    let id = one_task(&b, "a").await.id;
    let held = lease(&b, id, Side::Delivery).await;
    let alerts = vec![alert(AlertKind::DeadLetter, "life-rooms").of_task(id)];
    let stale = Append { alerts: alerts.clone(), expected_seq: 9, ..held.settle(Side::Delivery, dead()) };
    assert!(b.store.append(stale).await.is_err());
    assert!(b.store.claim_alerts(100, MINUTE).await.unwrap().is_empty());
    b.store.append(Append { alerts, ..held.settle(Side::Delivery, dead()) }).await.unwrap();
    assert_eq!(b.store.claim_alerts(100, MINUTE).await.unwrap().len(), 1);
}
