//! First answers as they are noted, and how many Tasks wait for one.

use onward::{
    domain::{
        InboxId, ProviderId,
        measured::{Day, FirstAnswer},
        parent,
    },
    store::AppendError,
};

use super::*;

const DAY_S: i64 = 24 * 3600;

fn inbox(id: &str) -> InboxId {
    id.parse().unwrap()
}

/// A step by which the provider answers, from one status to another.
fn answered(task: &TaskRecord, to: TaskStatus) -> Append {
    let event = Event::Answered { from: task.state.status, to, implied: false };
    let actor = Actor::Provider(ProviderId::clone(&task.provider));
    Append {
        events: vec![NewEvent { event, actor, body: Some("{}".into()), lanes: vec![] }],
        state: TaskState { sent: true, ..state(to) },
        answers: true,
        ..step(task)
    }
}

async fn answer(b: &Bench, id: TaskId, to: TaskStatus) {
    let now = task(b, id).await;
    b.store.append(answered(&now, to)).await.unwrap();
}

/// Everything that was noted of an inbox.
pub async fn noted(b: &Bench, id: &str) -> Vec<FirstAnswer> {
    b.store.first_answers(&inbox(id), Day(i32::MIN), Day(i32::MAX), 1000).await.unwrap()
}

pub async fn a_first_answer_is_noted_once(b: Bench) {
    let (one, other) = (one_task(&b, "a").await.id, one_task(&b, "b").await.id);
    answer(&b, one, TaskStatus::Received).await;
    assert_eq!(noted(&b, "life-rooms").await, [], "that it is there is no answer");
    b.clock.advance(3 * DAY_S + 5 * 60 + 59);
    answer(&b, one, TaskStatus::Accepted).await;
    answer(&b, other, TaskStatus::Rejected).await;
    b.clock.advance(DAY_S);
    // nothing that comes later counts again, whatever it is
    for status in [TaskStatus::InProgress, TaskStatus::OnHold, TaskStatus::Completed, TaskStatus::EnteredInError] {
        answer(&b, one, status).await;
    }
    let day = Day::of(start() + secs(3 * DAY_S));
    let waited_min = 3 * 24 * 60 + 5;
    let both = [true, false].map(|accepted| FirstAnswer { day, waited_min, accepted });
    let mut found = noted(&b, "life-rooms").await;
    found.sort_by_key(|answer| !answer.accepted);
    assert_eq!(found, both);
    assert_eq!(noted(&b, "citizens-advice").await, [], "each inbox has its own");
}

pub async fn a_step_that_is_not_stored_notes_nothing(b: Bench) {
    let (one, other) = (one_task(&b, "a").await, one_task(&b, "b").await);
    let stale = Append { expected_seq: 7, ..answered(&one, TaskStatus::Accepted) };
    assert!(matches!(b.store.append(stale.clone()).await, Err(AppendError::Moved)));
    let together = vec![answered(&other, TaskStatus::Accepted), stale];
    assert!(matches!(b.store.append_together(together).await, Err(AppendError::Moved)));
    assert_eq!(noted(&b, "life-rooms").await, []);
    // of two that answer at once one is stored, and noted
    let racing = [answered(&one, TaskStatus::Accepted), answered(&one, TaskStatus::Rejected)];
    let (first, second) = tokio::join!(b.store.append(racing[0].clone()), b.store.append(racing[1].clone()));
    assert!(first.is_ok() != second.is_ok());
    let accepted: Vec<bool> = noted(&b, "life-rooms").await.iter().map(|answer| answer.accepted).collect();
    assert_eq!(accepted, [first.is_ok()]);
}

pub async fn answers_are_found_by_their_days(b: Bench) {
    let mut expected = Vec::new();
    for (n, day) in [0, 0, 2, 5, 5, 5].into_iter().enumerate() {
        let now = (b.clock.as_ref() as &dyn onward::domain::Clock).now();
        b.clock.advance(day * DAY_S - (now.as_second() - start().as_second()));
        let made = one_task(&b, &format!("r{n}")).await;
        answer(&b, made.id, TaskStatus::Accepted).await;
        expected.push(Day::of(start() + secs(day * DAY_S)));
    }
    let [zero, two, five] = [expected[0], expected[2], expected[5]];
    let life_rooms = inbox("life-rooms");
    let days = async |after, last, count| b.store.answer_days(&life_rooms, after, last, count).await.unwrap();
    assert_eq!(days(None, five, 10).await, [(zero, 2), (two, 1), (five, 3)]);
    assert_eq!(days(Some(zero), five, 10).await, [(two, 1), (five, 3)]);
    assert_eq!(days(None, two, 10).await, [(zero, 2), (two, 1)]);
    assert_eq!(days(None, five, 2).await, [(zero, 2), (two, 1)]);
    assert_eq!(b.store.answer_days(&inbox("nobodys"), None, five, 10).await.unwrap(), []);
    let answers =
        async |first, last, count| b.store.first_answers(&life_rooms, first, last, count).await.unwrap().len();
    assert_eq!(answers(zero, five, 10).await, 6);
    assert_eq!(answers(two, five, 10).await, 4);
    assert_eq!(answers(zero, two, 10).await, 3);
    assert_eq!(answers(zero, five, 4).await, 4);
}

pub async fn those_that_wait_are_counted_by_inbox(b: Bench) {
    assert_eq!(b.store.waiting().await.unwrap(), []);
    let first = one_task(&b, "a").await.id;
    one_task(&b, "b").await;
    let new = referral_for("c", &[parent::RESERVED, "citizens-advice"]);
    stored(b.store.submit(submission(vec![new])).await.unwrap());
    let waiting = async || {
        let mut all = b.store.waiting().await.unwrap();
        all.sort();
        all
    };
    let both = |life_rooms| [(inbox("citizens-advice"), 1), (inbox("life-rooms"), life_rooms)];
    assert_eq!(waiting().await, both(2), "a parent is in nobody's");
    answer(&b, first, TaskStatus::Received).await;
    assert_eq!(waiting().await, both(2));
    answer(&b, first, TaskStatus::OnHold).await;
    assert_eq!(waiting().await, both(1));
}

/// Referrals in every way to an answer, one of them cancelled and one never answered, and what was noted of them.
pub async fn many_answers(b: &Bench) -> Vec<FirstAnswer> {
    use TaskStatus::{Accepted, Completed, EnteredInError, OnHold, Received, Rejected};
    let ways: [&[TaskStatus]; 6] = [
        &[Received, Accepted, Completed],
        &[Received],
        &[Rejected],
        &[Received, OnHold, Rejected],
        &[Received, EnteredInError],
        &[Accepted, EnteredInError],
    ];
    for (n, way) in ways.into_iter().enumerate() {
        let id = one_task(b, &format!("w{n}")).await.id;
        for to in way {
            b.clock.advance(20_000);
            answer(b, id, *to).await;
        }
    }
    let asked = one_task(b, "asked").await;
    let event = Event::CancellationRequested { request: 2, order: None };
    let actor = Actor::System(asked.system.clone());
    let state = TaskState { cancel_requested: true, ..asked.state };
    let events = vec![NewEvent { event, actor, body: Some("{}".into()), lanes: vec![] }];
    b.store.append(Append { events, state, ..step(&asked) }).await.unwrap();
    answer(b, asked.id, Rejected).await;
    let noted = noted(b, "life-rooms").await;
    let mut accepted: Vec<bool> = noted.iter().map(|answer| answer.accepted).collect();
    accepted.sort_unstable();
    assert_eq!(accepted, [false, true, true, true]);
    noted
}
