//! The journals of all Tasks looked through, and what a report is made of.

use onward::{
    domain::ProviderId,
    store::{AskedBy, JournalPage, JournalQuery, RoutedQuery},
};

use super::*;

fn query(from: i64, before: i64, count: usize) -> JournalQuery {
    JournalQuery {
        from: start() + secs(from),
        before: start() + secs(before),
        after: None,
        event: None,
        actors: vec![],
        persons: vec![],
        inbox: None,
        system: None,
        count,
    }
}

fn seen(page: &JournalPage) -> Vec<(TaskId, u64, &'static str)> {
    page.lines.iter().map(|found| (found.task, found.line.seq, found.line.event.name())).collect()
}

async fn says(b: &Bench, id: TaskId, from: TaskStatus, to: TaskStatus) {
    let now = task(b, id).await;
    let event = Event::Answered { from, to, implied: false };
    let actor = Actor::Provider(ProviderId::clone(&now.provider));
    let new = NewEvent { event, actor, body: Some("{}".into()), lanes: vec![] };
    let state = TaskState { status: to, ..now.state };
    b.store.append(Append { events: vec![new], state, answers: true, ..step(&now) }).await.unwrap();
}

pub async fn lines_are_found_by_when_what_who_and_where(b: Bench) {
    let (submitted, _) =
        stored(b.store.submit(submission(vec![referral_for("a", &["life-rooms", "citizens-advice"])])).await.unwrap());
    let (one, other) = (submitted[0].tasks[0], submitted[0].tasks[1]);
    b.clock.advance(10);
    says(&b, one, TaskStatus::Requested, TaskStatus::Accepted).await;
    b.clock.advance(10);
    says(&b, other, TaskStatus::Requested, TaskStatus::Rejected).await;
    b.clock.advance(10);
    let asked_by = AskedBy { request: "r".into(), correlation: None, person: Some("local:luke".into()) };
    asked_by.within(says(&b, one, TaskStatus::Accepted, TaskStatus::Completed)).await;

    let all = b.store.find_journal(query(0, 100, 10)).await.unwrap();
    let (first, second) = if one < other { (other, one) } else { (one, other) };
    let expected = [
        (one, 3, "answered"),
        (other, 2, "answered"),
        (one, 2, "answered"),
        (first, 1, "submitted"),
        (second, 1, "submitted"),
    ];
    assert_eq!((seen(&all), all.next), (expected.to_vec(), None));
    assert_eq!(all.lines[1].inbox.as_str(), "citizens-advice");
    assert_eq!(all.lines[0].system.as_str(), "mersey-epr");

    // a page after another, whatever they hold
    for count in 1..5 {
        let (mut paged, mut after) = (Vec::new(), None);
        loop {
            let page = b.store.find_journal(JournalQuery { after, ..query(0, 100, count) }).await.unwrap();
            assert!(page.lines.len() <= count);
            paged.extend(seen(&page));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(paged, expected, "{count} at a time");
    }
    // from is in it, before is not
    assert_eq!(seen(&b.store.find_journal(query(10, 20, 9)).await.unwrap()), [(one, 2, "answered")]);
    assert_eq!(seen(&b.store.find_journal(query(31, 99, 9)).await.unwrap()), []);

    let provider = |id: &str| vec![Actor::Provider(id.parse().unwrap())];
    let persons = |all: &[&str]| all.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>();
    let whole = || query(0, 100, 10);
    for (asked, found) in [
        (JournalQuery { event: Some("answered".into()), ..whole() }, 3),
        (JournalQuery { event: Some("no-such-thing".into()), ..whole() }, 0),
        (JournalQuery { event: Some("\0".into()), ..whole() }, 0),
        (JournalQuery { actors: provider("life-rooms"), ..whole() }, 2),
        (JournalQuery { actors: [provider("life-rooms"), provider("citizens-advice")].concat(), ..whole() }, 3),
        (JournalQuery { actors: vec![Actor::Onward], ..whole() }, 0),
        (JournalQuery { persons: persons(&["local:luke"]), ..whole() }, 1),
        (JournalQuery { persons: persons(&["local:anna", "local:luke"]), ..whole() }, 1),
        (JournalQuery { persons: persons(&["local:lu"]), ..whole() }, 0),
        (JournalQuery { persons: persons(&["\0"]), ..whole() }, 0),
        (JournalQuery { persons: persons(&["local:luke"]), actors: provider("citizens-advice"), ..whole() }, 2),
        (JournalQuery { inbox: Some("citizens-advice".parse().unwrap()), ..whole() }, 2),
        (JournalQuery { system: Some("mersey-epr".parse().unwrap()), ..whole() }, 5),
        (JournalQuery { system: Some("another".parse().unwrap()), ..whole() }, 0),
        (JournalQuery { event: Some("answered".into()), actors: provider("citizens-advice"), ..whole() }, 1),
        (JournalQuery { event: Some("submitted".into()), actors: provider("citizens-advice"), ..whole() }, 0),
    ] {
        let page = b.store.find_journal(asked.clone()).await.unwrap();
        assert_eq!((page.lines.len(), page.next), (found, None), "{asked:?}");
    }
}

pub async fn tasks_come_with_when_their_referral_was_stored_and_with_what_was_answered(b: Bench) {
    let mut tasks = Vec::new();
    for key in ["a", "b", "c"] {
        let new = submission(vec![referral_for(key, &["life-rooms", "citizens-advice"])]);
        let (submitted, _) = stored(b.store.submit(new).await.unwrap());
        tasks.push(submitted[0].tasks.clone());
        b.clock.advance(10);
    }
    says(&b, tasks[1][0], TaskStatus::Requested, TaskStatus::Accepted).await;
    says(&b, tasks[1][0], TaskStatus::Accepted, TaskStatus::Completed).await;
    let from = |after, count| RoutedQuery { from: start() + secs(10), before: start() + secs(30), after, count };
    let all = b.store.tasks_routed(from(None, 10)).await.unwrap();
    let mut expected: Vec<(Timestamp, TaskId)> = Vec::new();
    for (n, at) in [(1, 10), (2, 20)] {
        let mut of = tasks[n].clone();
        of.sort();
        expected.extend(of.into_iter().map(|task| (start() + secs(at), task)));
    }
    assert_eq!(all.iter().map(|(at, task)| (*at, task.id)).collect::<Vec<_>>(), expected);
    let finished = all.iter().find(|(_, one)| one.id == tasks[1][0]).unwrap();
    assert_eq!(finished.1.state.status, TaskStatus::Completed);
    // a page counts referrals: none is torn apart
    let first = b.store.tasks_routed(from(None, 1)).await.unwrap();
    assert_eq!(first.len(), 2);
    let after = first.last().map(|(at, task)| (*at, task.referral));
    assert_eq!(b.store.tasks_routed(from(after, 10)).await.unwrap().len(), 2);

    let answers = b.store.answers_of(vec![tasks[1][0], tasks[1][1], TaskId::mint()]).await.unwrap();
    let told: Vec<(TaskId, u64)> = answers.iter().map(|(task, line)| (*task, line.seq)).collect();
    assert_eq!(told, [(tasks[1][0], 2), (tasks[1][0], 3)]);
    assert!(b.store.answers_of(vec![]).await.unwrap().is_empty());
}
