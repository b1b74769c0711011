//! Every search that is offered goes by an index: with many Tasks stored, what is read for a page is not much more than the page.
//! Measured by what PostgreSQL counts, not by its plans.

use onward::{
    domain::{Actor, Event, measured::Day},
    store::{Claim, JournalQuery, RoutedQuery, TaskQuery},
};

use super::*;
use crate::support::until;

const TASKS: i64 = 40_000;
/// More rows than this for a page of ten are not read by an index that fits.
const READ_MAX: i64 = 3_000;

/// Rows that were read so far: of the tables that grow, by sequential scans and by indexes.
fn read_so_far(place: &Place) -> (i64, i64) {
    let rows = place.sql(
        "SELECT sum(seq_tup_read)::bigint, sum(idx_tup_fetch)::bigint FROM pg_stat_user_tables
         WHERE schemaname = current_schema()
           AND relname IN ('task', 'referral', 'resource', 'name', 'outbox', 'journal', 'answer')",
    );
    (rows[0].get(0), rows[0].get::<_, Option<i64>>(1).unwrap_or_default())
}

fn fill(place: &Place) {
    place.sql(&format!(
        "WITH n AS (SELECT n, lpad(to_hex(n), 12, '0') AS x FROM generate_series(1, {TASKS}::bigint) AS n),
         r AS (INSERT INTO referral SELECT ('00000000-0000-7000-8000-' || x)::uuid, ('00000000-0000-7000-8001-' || x)::uuid,
                 ('00000000-0000-7000-8002-' || x)::uuid, n * 1000000, 'system-' || n % 20, 'key-' || n, '\\x00', 'id|' || n, NULL,
                 '1', '{{}}', n * 1000000 FROM n),
         a AS (INSERT INTO answer SELECT 'inbox-' || n % 10, n / 100, 60, true FROM n),
         m AS (INSERT INTO name SELECT 'R-' || n, ('00000000-0000-7000-8000-' || x)::uuid FROM n),
         s AS (INSERT INTO resource (id, referral, version, last_updated, later, kind, body)
               SELECT ('00000000-0000-7000-8002-' || x)::uuid, ('00000000-0000-7000-8000-' || x)::uuid, 1, n * 1000000, false,
                 'ServiceRequest', '{{}}' FROM n UNION ALL
               SELECT ('00000000-0000-7000-8003-' || x)::uuid, ('00000000-0000-7000-8000-' || x)::uuid, 1, n * 1000000, false,
                 'Task', '{{}}' FROM n)
         INSERT INTO task (id, referral, request, created, system, inbox, provider, route_set, identifier, status,
             cancel_requested, sent, information_requested, seen_to, last_updated, seq, version, answered, head_hash)
         SELECT ('00000000-0000-7000-8003-' || x)::uuid, ('00000000-0000-7000-8000-' || x)::uuid,
             ('00000000-0000-7000-8002-' || x)::uuid, n * 1000000, 'system-' || n % 20, 'inbox-' || n % 10,
             'provider-' || n % 10, '1', 'id|' || n, CASE WHEN n % 1000 = 777 THEN 'failed' ELSE 'completed' END,
             false, true, false, false, n * 1000000, 1, 1, 1, decode(repeat('00', 32), 'hex') FROM n"
    ));
    let answered = Event::Answered { from: TaskStatus::Received, to: TaskStatus::Completed, implied: false };
    let (answered, onward) =
        (serde_json::to_string(&answered).unwrap(), serde_json::to_string(&Actor::Onward).unwrap());
    place.sql(&format!(
        "INSERT INTO journal (task, seq, at, event, actor, detail, commitment, hash)
         SELECT ('00000000-0000-7000-8003-' || lpad(to_hex(n), 12, '0'))::uuid, 1, n * 1000000, 'answered', '{onward}', '{answered}',
           '', '' FROM generate_series(1, {TASKS}::bigint) AS n"
    ));
    place.sql("ANALYZE");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_search_goes_by_an_index() {
    let Some(place) = Place::new() else { return };
    let b = place.bench();
    fill(&place);
    let known = b.store.find_tasks("id|777").await.unwrap().pop().unwrap();
    let provider = TaskQuery { providers: vec![known.provider.clone()], count: 10, ..TaskQuery::default() };
    let system = TaskQuery { systems: vec![known.system.clone()], count: 10, ..TaskQuery::default() };
    let at = |seconds: i64| Some(Timestamp::from_second(seconds).unwrap());
    let mut queries = Vec::new();
    for seen in [&provider, &system] {
        queries.push(("all", seen.clone()));
        queries.push(("after", TaskQuery { after: Some(known.id), ..seen.clone() }));
        queries.push(("one", TaskQuery { ids: Some(vec![known.id.0]), ..seen.clone() }));
        queries.push(("of a request", TaskQuery { requests: Some(vec![known.request]), ..seen.clone() }));
        queries.push(("backwards", TaskQuery { descending: true, ..seen.clone() }));
        let by_change = TaskQuery { by_change: true, ..seen.clone() };
        queries.push(("by change", by_change.clone()));
        queries.push(("by change, backwards", TaskQuery { descending: true, ..by_change.clone() }));
        let after = TaskQuery { after: Some(known.id), after_change: at(20_000), ..by_change };
        queries.push(("by change, after", after.clone()));
        queries.push(("by change, before", TaskQuery { descending: true, ..after }));
        queries.push(("of referrals", TaskQuery { referrals: Some(vec![known.referral]), ..seen.clone() }));
        queries.push(("of a rare status", TaskQuery { statuses: Some(vec![TaskStatus::Failed]), ..seen.clone() }));
        queries.push(("of a usual status", TaskQuery { statuses: Some(vec![TaskStatus::Completed]), ..seen.clone() }));
        let open = vec![TaskStatus::Requested, TaskStatus::Received, TaskStatus::Accepted];
        queries.push(("of no such status", TaskQuery { statuses: Some(open), ..seen.clone() }));
        queries.push(("changed lately", TaskQuery { from: at(TASKS - 100), ..seen.clone() }));
        queries.push(("changed then", TaskQuery { from: at(5_000), before: at(5_100), ..seen.clone() }));
    }

    let mut measured = Vec::new();
    for (what, query) in queries {
        let found = measure(&place, async |store| store.search_tasks(query.clone()).await.unwrap().len()).await;
        measured.push((format!("tasks: {what}"), found));
    }
    for (what, query, identifiers) in [
        ("of a system", system.clone(), None),
        ("of a provider", provider.clone(), None),
        ("of a provider, after", TaskQuery { after: Some(TaskId(known.request)), ..provider.clone() }, None),
        ("of a provider by identifier", provider.clone(), known.identifier.clone().map(|i| vec![i])),
        ("by identifier", system.clone(), known.identifier.clone().map(|i| vec![i])),
        ("backwards", TaskQuery { descending: true, ..provider.clone() }, None),
        ("of referrals", TaskQuery { referrals: Some(vec![known.referral]), ..provider.clone() }, None),
        ("by change", TaskQuery { by_change: true, descending: true, ..system.clone() }, None),
        ("changed lately", TaskQuery { by_change: true, from: at(TASKS - 100), ..system.clone() }, None),
        ("by id", TaskQuery { ids: Some(vec![known.request]), ..provider.clone() }, None),
    ] {
        let identifiers = identifiers.clone();
        let ask =
            async |store: &dyn Store| store.find_requests(query.clone(), identifiers.clone()).await.unwrap().len();
        measured.push((format!("requests: {what}"), measure(&place, ask).await));
    }
    let beside = async |store: &dyn Store| {
        let names = vec!["R-777".into(), "R-8".into()];
        store.referrals_of(system.clone(), vec![known.request], names).await.unwrap().len()
    };
    measured.push(("referrals by what is beside them".into(), measure(&place, beside).await));
    let in_order = async |store: &dyn Store| {
        let (from, before) = (at(30_000).unwrap(), at(30_100).unwrap());
        assert_eq!(store.count_routed(from, before).await.unwrap(), 100);
        let after = Some((from, known.referral));
        store.routed(RoutedQuery { from, before, after: None, count: 10 }).await.unwrap();
        store.routed(RoutedQuery { from, before, after, count: 10 }).await.unwrap();
        store.named_at_first(vec![known.referral]).await.unwrap().len()
    };
    measured.push(("referrals in the order in which they were stored".into(), measure(&place, in_order).await));
    let journal = async |store: &dyn Store| {
        let (from, before) = (at(30_000).unwrap(), at(30_100).unwrap());
        let query = JournalQuery {
            from,
            before,
            after: None,
            event: None,
            actors: vec![],
            persons: vec![],
            inbox: None,
            system: None,
            count: 10,
        };
        assert_eq!(store.find_journal(JournalQuery { count: 200, ..query.clone() }).await.unwrap().lines.len(), 100);
        let one = JournalQuery { inbox: Some(known.inbox.clone()), ..query };
        store.find_journal(one).await.unwrap().lines.len()
    };
    measured.push(("lines of the journal of some days".into(), measure(&place, journal).await));
    let report = async |store: &dyn Store| {
        let (from, before) = (at(30_000).unwrap(), at(30_100).unwrap());
        let tasks = store.tasks_routed(RoutedQuery { from, before, after: None, count: 50 }).await.unwrap();
        assert_eq!(tasks.len(), 50);
        let answers = store.answers_of(tasks.iter().map(|(_, task)| task.id).collect()).await.unwrap();
        assert_eq!(answers.len(), 50);
        store.gist_of(tasks.iter().map(|(_, task)| task.referral).collect()).await.unwrap().len()
    };
    measured.push(("what a report is made of".into(), measure(&place, report).await));
    let namesakes = async |store: &dyn Store| {
        let names = vec!["R-777".into(), "R-8".into(), "R-9".into()];
        store.open_by_name(names, vec![known.inbox.clone()], 50).await.unwrap().len()
    };
    measured.push(("open referrals of a name".into(), measure(&place, namesakes).await));
    let reads = async |store: &dyn Store| {
        store.find_tasks(&known.request.to_string()).await.unwrap();
        store.resource("Task", known.id.0, None).await.unwrap();
        store.versions("Task", known.id.0).await.unwrap();
        store.resources_of(known.referral).await.unwrap();
        store.submitted(&known.system, "key-777").await.unwrap();
        store.attempts(known.id).await.unwrap().len()
    };
    measured.push(("reads".into(), measure(&place, reads).await));
    let again_and_again = async |store: &dyn Store| {
        store.claim_polls(Shares::even(10, 10), MINUTE).await.unwrap();
        store.claim_deadlines(10, MINUTE).await.unwrap();
        store.troubled(None, 10).await.unwrap();
        store.backlog().await.unwrap();
        store.full_inboxes(vec![("inbox-3".parse().unwrap(), 100)]).await.unwrap();
        store.answer_days(&known.inbox, Some(Day(100)), Day(i32::MAX), 10).await.unwrap();
        store.first_answers(&known.inbox, Day(100), Day(110), 100).await.unwrap();
        store.waiting().await.unwrap();
        store.end_leases_of_the_dead().await.unwrap();
        let shares = Shares::even(10, 10);
        store.claim_due(Claim { shares, lease: MINUTE, republish_after: HOUR }).await.unwrap().wake_ups.len()
    };
    measured.push(("what is done again and again".into(), measure(&place, again_and_again).await));
    for (what, read) in &measured {
        println!("{what}: {} found, {} rows by scans, {} by indexes", read.found, read.by_scan, read.by_index);
    }
    for (what, read) in measured {
        assert!(read.by_scan == 0 && read.by_index < READ_MAX, "{what}: {read:?}");
    }
}

/// What a question cost.
#[derive(Debug)]
struct Read {
    found: usize,
    by_scan: i64,
    by_index: i64,
}

/// Asks over connections of its own. PostgreSQL counts what they read when they end.
async fn measure(place: &Place, ask: impl AsyncFn(&dyn Store) -> usize) -> Read {
    let before = read_so_far(place);
    let store = place.open().unwrap();
    let found = ask(&*store).await;
    // the same connection reads something that is certainly found
    let one = Uuid::parse_str("00000000-0000-7000-8002-000000000001").unwrap();
    let marker = TaskQuery {
        systems: vec!["system-1".parse().unwrap()],
        ids: Some(vec![one]),
        count: 1,
        ..TaskQuery::default()
    };
    assert_eq!(store.find_requests(marker, None).await.unwrap().len(), 1);
    drop(store);
    let after = until("it is counted", || async {
        let now = read_so_far(place);
        (now.1 > before.1).then_some(now)
    })
    .await;
    Read { found, by_scan: after.0 - before.0, by_index: after.1 - before.1 }
}
