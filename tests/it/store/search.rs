//! Searching: whatever is asked, it is what a naive filter over everything finds, and only for those who may see it.

use onward::{
    domain::{ProviderId, SystemId},
    store::{TaskHead, TaskQuery},
};
use proptest::{
    prelude::*,
    sample::select,
    test_runner::{Config, TestCaseError, TestRunner},
};

use super::*;

const SYSTEMS: [&str; 3] = ["mersey-epr", "gp-north", "gp-south"];
const PROVIDERS: [&str; 4] = ["life-rooms", "citizens-advice", "mind", "age-uk"];

/// A referral as it is generated: its system, its providers, and for each Task when it changed and to which status.
type Generated = (usize, Vec<(usize, i64, TaskStatus)>);

/// A query in terms of what was generated.
#[derive(Debug, Clone)]
struct Asked {
    systems: Vec<usize>,
    providers: Vec<usize>,
    ids: Option<Vec<usize>>,
    owners: Option<Vec<usize>>,
    statuses: Option<Vec<TaskStatus>>,
    requests: Option<Vec<usize>>,
    referrals: Option<Vec<usize>>,
    from: Option<i64>,
    before: Option<i64>,
    by_change: bool,
    descending: bool,
    count: usize,
}

fn generated() -> impl Strategy<Value = Vec<Generated>> {
    let one = (0..PROVIDERS.len(), 0..20i64, select(TaskStatus::ALL));
    prop::collection::vec((0..SYSTEMS.len(), prop::collection::vec(one, 1..4)), 1..12)
}

fn asked() -> impl Strategy<Value = Asked> {
    fn some_of<S: Strategy>(one: S) -> impl Strategy<Value = Option<Vec<S::Value>>> {
        prop::option::weighted(0.3, prop::collection::vec(one, 0..6))
    }
    let seen_by = (prop::collection::vec(0..SYSTEMS.len(), 0..3), prop::collection::vec(0..PROVIDERS.len(), 0..3));
    let what =
        (some_of(0..40usize), some_of(0..PROVIDERS.len()), some_of(select(TaskStatus::ALL)), some_of(0..15usize));
    let when = (prop::option::weighted(0.3, 0..20i64), prop::option::weighted(0.3, 0..20i64));
    let order = (any::<bool>(), any::<bool>(), 1..8usize);
    (seen_by, what, some_of(0..40usize), when, order).prop_map(
        |((systems, providers), (ids, owners, statuses, requests), referrals, when, (by_change, descending, count))| {
            Asked {
                systems,
                providers,
                ids,
                owners,
                statuses,
                requests,
                referrals,
                from: when.0,
                before: when.1,
                by_change,
                descending,
                count,
            }
        },
    )
}

impl Asked {
    fn query(&self, all: &[TaskRecord]) -> TaskQuery {
        let provider = |i: &usize| -> ProviderId { PROVIDERS[*i].parse().unwrap() };
        let system = |i: &usize| -> SystemId { SYSTEMS[*i].parse().unwrap() };
        // an index beyond what there is stands for an id that nothing has
        let id = |i: &usize| all.get(*i).map_or(Uuid::nil(), |t| t.id.0);
        let request = |i: &usize| all.get(*i).map_or(Uuid::nil(), |t| t.request);
        TaskQuery {
            systems: self.systems.iter().map(system).collect(),
            providers: self.providers.iter().map(provider).collect(),
            ids: self.ids.as_ref().map(|l| l.iter().map(id).collect()),
            owners: self.owners.as_ref().map(|l| l.iter().map(provider).collect()),
            statuses: self.statuses.clone(),
            requests: self.requests.as_ref().map(|l| l.iter().map(request).collect()),
            referrals: self
                .referrals
                .as_ref()
                .map(|l| l.iter().map(|i| all.get(*i).map_or(ReferralId(Uuid::nil()), |t| t.referral)).collect()),
            from: self.from.map(|s| start() + secs(s)),
            before: self.before.map(|s| start() + secs(s)),
            by_change: self.by_change,
            descending: self.descending,
            after: None,
            after_change: None,
            count: self.count,
        }
    }
}

fn naive<'a>(all: &'a [TaskRecord], q: &TaskQuery) -> Vec<&'a TaskRecord> {
    fn among<T: PartialEq>(list: &Option<Vec<T>>, value: &T) -> bool {
        list.as_ref().is_none_or(|l| l.contains(value))
    }
    let mut found: Vec<_> = all
        .iter()
        .filter(|t| q.systems.contains(&t.system) || q.providers.contains(&t.provider))
        .filter(|t| among(&q.ids, &t.id.0) && among(&q.owners, &t.provider) && among(&q.statuses, &t.state.status))
        .filter(|t| among(&q.requests, &t.request) && among(&q.referrals, &t.referral))
        .filter(|t| q.from.is_none_or(|at| t.last_updated >= at) && q.before.is_none_or(|at| t.last_updated < at))
        .collect();
    found.sort_by_key(|t| (q.by_change.then_some(t.last_updated), t.id));
    if q.descending {
        found.reverse();
    }
    found
}

/// Stores what was generated and returns the Tasks as they stand.
async fn populate(b: &Bench, generated: &[Generated]) -> Vec<TaskRecord> {
    let mut changes = Vec::new();
    for (n, (system, tasks)) in generated.iter().enumerate() {
        let inboxes: Vec<_> = tasks.iter().map(|(provider, ..)| PROVIDERS[*provider]).collect();
        let new = referral_for(&format!("k{n}"), &inboxes);
        let new = Submission { system: SYSTEMS[*system].parse().unwrap(), ..submission(vec![new]) };
        let (submitted, _) = stored(b.store.submit(new).await.unwrap());
        changes.extend(submitted[0].tasks.iter().zip(tasks).map(|(id, (_, at, status))| (*at, *id, *status)));
    }
    changes.sort_by_key(|(at, ..)| *at);
    let mut all = Vec::new();
    for (at, id, status) in changes {
        b.clock.advance(at - (b.store.now() - start()).total(jiff::Unit::Second).unwrap() as i64);
        let body = format!(r#"{{"status":"{status}"}}"#);
        let now = task(b, id).await;
        // now and then its ServiceRequest is written anew
        let written = b.store.versions("ServiceRequest", now.request).await.unwrap().len() as u64;
        let anew = onward::store::NewVersion {
            resource: resource("ServiceRequest", now.request, "{}"),
            version: written + 1,
            task: None,
            key: None,
        };
        let resources = if at % 2 == 0 { vec![anew] } else { vec![] };
        let changed = Append { events: vec![event(Some(&body), &[])], resources, state: state(status), ..step(&now) };
        all.push(b.store.append(changed).await.unwrap().task);
    }
    all
}

pub async fn finds_what_a_naive_filter_finds(b: Bench) {
    let again = b.again;
    tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let config = Config { cases: 16, failure_persistence: None, ..Config::default() };
        let strategy = (generated(), prop::collection::vec(asked(), 40));
        TestRunner::new(config)
            .run(&strategy, |(generated, queries)| {
                runtime.block_on(async {
                    let b = again();
                    let all = populate(&b, &generated).await;
                    for asked in queries {
                        agrees(&b, &all, &asked).await?;
                        requests_agree(&b, &all, &asked).await?;
                    }
                    Ok(())
                })
            })
            .unwrap();
    })
    .await
    .unwrap();
}

/// Pages through a query and compares with the naive filter.
async fn agrees(b: &Bench, all: &[TaskRecord], asked: &Asked) -> Result<(), TestCaseError> {
    let mut query = asked.query(all);
    let expected = naive(all, &query);
    let mut found = Vec::new();
    loop {
        let page = b.store.search_tasks(query.clone()).await.unwrap();
        prop_assert!(page.len() <= asked.count);
        let heads = b.store.task_heads(query.clone()).await.unwrap();
        let head = |(t, _): &(TaskRecord, _)| TaskHead { id: t.id, version: t.version, last_updated: t.last_updated };
        prop_assert_eq!(heads, page.iter().map(head).collect::<Vec<_>>());
        let last = page.last().map(|(t, _)| (t.last_updated, t.id));
        for (record, resource) in page {
            prop_assert_eq!(resource.id, record.id.0);
            prop_assert_eq!(resource.version, record.version);
            prop_assert_eq!(resource.body, format!(r#"{{"status":"{}"}}"#, record.state.status));
            found.push(record);
        }
        let Some((at, id)) = last else { break };
        (query.after, query.after_change) = (Some(id), Some(at));
    }
    let ids = |l: &[&TaskRecord]| l.iter().map(|t| t.id).collect::<Vec<_>>();
    prop_assert_eq!(ids(&found.iter().collect::<Vec<_>>()), ids(&expected), "{:?}", asked);
    Ok(())
}

/// The same for ServiceRequests: by `requests` as ids, and by what the referrals of `ids` are called.
async fn requests_agree(b: &Bench, all: &[TaskRecord], asked: &Asked) -> Result<(), TestCaseError> {
    let of_tasks = asked.query(all);
    let mut query = TaskQuery { ids: of_tasks.requests, requests: None, ..of_tasks };
    let called = |i: &usize| all.get(*i).and_then(|t| t.identifier.clone()).unwrap_or_else(|| "nobody's".to_owned());
    let identifiers: Option<Vec<String>> = asked.ids.as_ref().map(|l| l.iter().map(called).collect());
    let is_called = |t: &&TaskRecord| match (&identifiers, &t.identifier) {
        (None, _) => true,
        (Some(wanted), Some(own)) => wanted.contains(own),
        (Some(_), None) => false,
    };
    let mut changed = std::collections::BTreeMap::new();
    for request in all.iter().map(|t| t.request) {
        let (stored, _) = b.store.resource("ServiceRequest", request, None).await.unwrap().unwrap();
        changed.insert(request, stored.last_updated);
    }
    let mut expected: Vec<Uuid> = all
        .iter()
        .filter(|t| query.systems.contains(&t.system) || query.providers.contains(&t.provider))
        .filter(|t| query.ids.as_ref().is_none_or(|l| l.contains(&t.request)))
        .filter(|t| query.referrals.as_ref().is_none_or(|l| l.contains(&t.referral)))
        .filter(is_called)
        .filter(|t| !query.by_change || query.systems.contains(&t.system))
        .filter(|t| !query.by_change || query.from.is_none_or(|at| changed[&t.request] >= at))
        .filter(|t| !query.by_change || query.before.is_none_or(|at| changed[&t.request] < at))
        .map(|t| t.request)
        .collect();
    expected.sort_by_key(|id| (query.by_change.then(|| changed[id]), *id));
    expected.dedup();
    if query.descending {
        expected.reverse();
    }
    let mut found: Vec<Uuid> = Vec::new();
    loop {
        let page = b.store.find_requests(query.clone(), identifiers.clone()).await.unwrap();
        prop_assert!(page.len() <= asked.count);
        let Some(last) = page.last() else { break };
        (query.after, query.after_change) = (Some(TaskId(last.id)), Some(last.last_updated));
        found.extend(page.iter().map(|resource| resource.id));
    }
    prop_assert_eq!(found, expected, "{:?}", asked);
    Ok(())
}
