//! A store in memory: the `Store` port written as plainly as it can be, one lock over two collections. It passes the behavioural
//! suite, so that it stands for any store in a simulation.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use jiff::Timestamp;
use onward::{
    domain::{
        Clock, Destination, InboxId, ReferralId, Side, Subscription, SubscriptionEvent, SystemId, TaskId,
        TransportStatus, WakeUp, breaker::Phase, measured::FirstAnswer,
    },
    store::{
        Append, AppendError, Appended, Attempt, Claim, JournalLine, JournalPage, JournalQuery, NAMESAKES_MAX, Parties,
        ResourceKey, Sent, Shares, Store, StoreError, StoredBreaker, StoredResource, Submission, Submit, Submitted,
        TaskQuery, TaskRecord, Troubled,
    },
};
use uuid::Uuid;

mod alerts;
mod all;
mod colleagues;
mod directory;
mod heard;
mod journal;
mod lanes;
mod measured;
mod notices;
mod people;
mod routed;
mod routes;
mod row;
mod submit;
mod subscriptions;
mod tokens;

use alerts::Alerts;
use all::among;
use directory::Directory;
use people::People;
use routes::Routes;
pub use row::{Message, Row, State};
use tokens::Tokens;

/// See the module's documentation.
pub struct Memory {
    clock: Arc<dyn Clock>,
    all: Mutex<All>,
    closed: AtomicBool,
}

#[derive(Default)]
struct All {
    /// In the order they came.
    referrals: Vec<Referral>,
    tasks: BTreeMap<TaskId, Row>,
    /// What came after its referral.
    later: Vec<StoredResource>,
    keys: Vec<(ResourceKey, Uuid)>,
    names: BTreeSet<(String, ReferralId)>,
    breakers: BTreeMap<(Side, String), StoredBreaker>,
    alerts: Alerts,
    subscriptions: Vec<Attended>,
    routes: Routes,
    directory: Directory,
    tokens: Tokens,
    notices: notices::Kept,
    heard: heard::Heard,
    colleagues: colleagues::Colleagues,
    people: People,
    answers: Vec<(InboxId, FirstAnswer)>,
}

/// A subscription, when it is attended to next, and its events.
struct Attended {
    subscription: Subscription,
    due: Timestamp,
    events: Vec<SubscriptionEvent>,
}

struct Referral {
    system: SystemId,
    key: String,
    digest: [u8; 32],
    identifier: Option<String>,
    decision: String,
    sent: Arc<Sent>,
    resources: Vec<StoredResource>,
    submitted: Submitted,
}

impl Memory {
    /// An empty one.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, all: Mutex::default(), closed: AtomicBool::new(false) }
    }

    fn all(&self) -> Result<MutexGuard<'_, All>, StoreError> {
        Ok(self.all.lock().unwrap())
    }

    /// To be written to: not once it is closed.
    fn open(&self) -> Result<MutexGuard<'_, All>, StoreError> {
        if self.closed.load(Ordering::SeqCst) {
            return Err(StoreError::Unavailable("it is closed".into()));
        }
        self.all()
    }

    /// Everything there is of every Task, in the order of their ids.
    pub fn rows(&self) -> Vec<Row> {
        self.all.lock().unwrap().tasks.values().cloned().collect()
    }

    /// The next moment at which something becomes due or a lease ends, after now; what the broker may have lost counts from
    /// `republish_after` on.
    pub fn next_moment(&self, republish_after: Duration) -> Option<Timestamp> {
        let now = self.now();
        let all = self.all.lock().unwrap();
        let breakers = all.breakers.values().filter_map(|stored| match stored.breaker.phase {
            Phase::Closed => None,
            Phase::Paused { until }
            | Phase::Open { until }
            | Phase::Probing { until, .. }
            | Phase::Draining { until, .. } => Some(until),
        });
        all.tasks.values().flat_map(|row| row.moments(republish_after)).chain(breakers).filter(|at| *at > now).min()
    }

    /// Ends a lease of one who is taken for dead: it settles nothing any more, and what the lane has to send is due at once. False
    /// where it is no longer held.
    pub fn end_lease(&self, task: TaskId, side: Side, lease: u64) -> bool {
        let now = self.now();
        let mut all = self.all.lock().unwrap();
        all.tasks.get_mut(&task).is_some_and(|row| row.end_lease(side, lease, now))
    }

    /// Whether a claim of wake-ups would find one.
    pub fn has_due(&self, claim: &Claim) -> bool {
        let now = self.now();
        let all = self.all.lock().unwrap();
        all.tasks.values().flat_map(Row::heads).any(|head| {
            let of = Destination::new(head.wake_up.side, head.wake_up.to.clone());
            let share = claim.shares.of(&of);
            share.most > 0 && !all.due_for(&of, head.state, share, claim, now).is_empty()
        })
    }

    /// Whether a claim of copies would find one.
    pub fn has_copies_due(&self, shares: &Shares) -> bool {
        let now = self.now();
        let all = self.all.lock().unwrap();
        let mut due = all.tasks.values().filter(|row| row.lane(Side::Delivery).poll_at.is_some_and(|at| at <= now));
        due.any(|row| shares.of(&Destination::new(Side::Delivery, row.record.inbox.as_str())).most > 0)
    }
}

#[async_trait]
impl Store for Memory {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    async fn submit(&self, submission: Submission) -> Result<Submit, StoreError> {
        let now = self.now();
        Ok(self.open()?.submit(&submission, now))
    }

    async fn submitted(&self, system: &SystemId, key: &str) -> Result<Option<(Submitted, [u8; 32])>, StoreError> {
        let all = self.all()?;
        Ok(all.find(system, key).map(|r| (Submitted { new: false, ..r.submitted.clone() }, r.digest)))
    }

    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        Ok(self.append_together(vec![append]).await?.remove(0))
    }

    async fn append_together(&self, steps: Vec<Append>) -> Result<Vec<Appended>, AppendError> {
        let now = self.now();
        self.open()?.step_together(steps, now)
    }

    async fn keyed(&self, author: &str, key: &str) -> Result<Option<(Uuid, [u8; 32])>, StoreError> {
        Ok(self.all()?.key(author, key).map(|(key, id)| (*id, key.digest)))
    }

    async fn task(&self, id: TaskId) -> Result<Option<TaskRecord>, StoreError> {
        Ok(self.all()?.tasks.get(&id).map(|row| row.record.clone()))
    }

    async fn find_tasks(&self, key: &str) -> Result<Vec<TaskRecord>, StoreError> {
        let id = Uuid::parse_str(key).ok();
        let is_it = |task: &TaskRecord| match id {
            Some(id) => task.id.0 == id || task.request == id || task.referral.0 == id,
            None => task.identifier.as_deref() == Some(key),
        };
        let all = self.all()?;
        Ok(all.tasks.values().map(|row| &row.record).filter(|task| is_it(task)).cloned().collect())
    }

    async fn tasks_asked_by(&self, request: &str, count: usize) -> Result<Vec<TaskRecord>, StoreError> {
        let all = self.all()?;
        let is_it = |line: &JournalLine| line.asked_by.as_ref().is_some_and(|asked| asked.request == request);
        let found = all.tasks.values().filter(|row| row.journal.iter().any(is_it)).map(|row| row.record.clone());
        let mut found: Vec<TaskRecord> = found.collect();
        found.sort_by_key(|task| task.id.0);
        found.truncate(count);
        Ok(found)
    }

    async fn open_by_name(
        &self,
        names: Vec<String>,
        inboxes: Vec<InboxId>,
        count: usize,
    ) -> Result<Vec<(TaskRecord, Vec<StoredResource>)>, StoreError> {
        let all = self.all()?;
        let newest = usize::try_from(NAMESAKES_MAX).unwrap();
        let known = |name: &String| {
            let mut of: Vec<ReferralId> =
                all.names.iter().filter(|(known, _)| known == name).map(|(_, of)| *of).collect();
            of.sort();
            of.into_iter().rev().take(newest)
        };
        let known: BTreeSet<ReferralId> = names.iter().flat_map(known).collect();
        let open = all.tasks.values().rev().map(|row| &row.record).filter(|task| {
            known.contains(&task.referral) && inboxes.contains(&task.inbox) && !task.state.status.is_terminal()
        });
        let with_persons = open.take(count).map(|task| {
            let of = all.of(task.referral).into_iter().flat_map(|referral| &referral.resources);
            let later = all.later.iter().filter(|one| one.referral == task.referral);
            let kinds = ["ServiceRequest", "Patient"];
            let mut current: BTreeMap<Uuid, StoredResource> = BTreeMap::new();
            for one in of.chain(later).filter(|one| kinds.contains(&&*one.kind)) {
                let known = current.entry(one.id).or_insert_with(|| one.clone());
                if known.version < one.version {
                    *known = one.clone();
                }
            }
            (task.clone(), current.into_values().collect())
        });
        Ok(with_persons.collect())
    }

    async fn search_tasks(&self, query: TaskQuery) -> Result<Vec<(TaskRecord, StoredResource)>, StoreError> {
        let all = self.all()?;
        let found = all.tasks.values().filter(|row| {
            let task = &row.record;
            (query.systems.contains(&task.system) || query.providers.contains(&task.provider))
                && among(query.ids.as_ref(), &task.id.0)
                && among(query.owners.as_ref(), &task.provider)
                && among(query.statuses.as_ref(), &task.state.status)
                && among(query.requests.as_ref(), &task.request)
                && among(query.referrals.as_ref(), &task.referral)
                && query.from.is_none_or(|at| task.last_updated >= at)
                && query.before.is_none_or(|at| task.last_updated < at)
        });
        let place = |at: Timestamp, id: TaskId| (query.by_change.then_some(at), id);
        let mut found: Vec<_> = found.map(|row| (place(row.record.last_updated, row.record.id), row)).collect();
        found.sort_by_key(|(place, _)| *place);
        if query.descending {
            found.reverse();
        }
        if let Some(after) = query.after {
            let last = place(query.after_change.unwrap_or_default(), after);
            found.retain(|(place, _)| if query.descending { *place < last } else { *place > last });
        }
        let found = found.into_iter().take(query.count);
        Ok(found.map(|(_, row)| (row.record.clone(), row.current().clone())).collect())
    }

    async fn referrals_of(
        &self,
        query: TaskQuery,
        ids: Vec<Uuid>,
        names: Vec<String>,
    ) -> Result<Vec<ReferralId>, StoreError> {
        let all = self.all()?;
        let tasks = all.tasks.values().filter(|row| ids.contains(&row.record.id.0)).map(|row| row.record.referral);
        let resources = all.referrals.iter().flat_map(|r| &r.resources).chain(&all.later);
        let beside = resources.filter(|r| ids.contains(&r.id)).map(|r| r.referral);
        let named = all.names.iter().filter(|(name, _)| names.contains(name)).map(|(_, referral)| *referral);
        let found: BTreeSet<ReferralId> = tasks.chain(beside).chain(named).collect();
        let concerns = |id: &ReferralId| all.of(*id).is_some_and(|referral| all.sees(&query, referral));
        Ok(found.into_iter().filter(concerns).take(query.count).collect())
    }

    async fn find_requests(
        &self,
        query: TaskQuery,
        identifiers: Option<Vec<String>>,
    ) -> Result<Vec<StoredResource>, StoreError> {
        let all = self.all()?;
        let query = if query.by_change { TaskQuery { providers: vec![], ..query } } else { query };
        let found = all.referrals.iter().filter(|r| {
            let named = |list: &Vec<String>| r.identifier.as_ref().is_some_and(|i| list.contains(i));
            all.sees(&query, r)
                && among(query.ids.as_ref(), &r.submitted.request)
                && identifiers.as_ref().is_none_or(named)
                && among(query.referrals.as_ref(), &r.submitted.referral)
        });
        let mut found: Vec<_> = found
            .filter_map(|r| all.resources("ServiceRequest", r.submitted.request).max_by_key(|v| v.version).cloned())
            .collect();
        let place = |at: Timestamp, id: Uuid| (query.by_change.then_some(at), id);
        found.sort_by_key(|r| place(r.last_updated, r.id));
        if query.descending {
            found.reverse();
        }
        if let Some(after) = query.after {
            let last = place(query.after_change.unwrap_or_default(), after.0);
            let comes = |r: &StoredResource| {
                let place = place(r.last_updated, r.id);
                if query.descending { place < last } else { place > last }
            };
            found.retain(comes);
        }
        if query.by_change {
            found.retain(|r| query.from.is_none_or(|at| r.last_updated >= at));
            found.retain(|r| query.before.is_none_or(|at| r.last_updated < at));
        }
        found.truncate(query.count);
        Ok(found)
    }

    async fn resource(
        &self,
        kind: &str,
        id: Uuid,
        version: Option<u64>,
    ) -> Result<Option<(StoredResource, Parties)>, StoreError> {
        let all = self.all()?;
        let wanted = all.resources(kind, id).filter(|r| version.is_none_or(|v| v == r.version));
        let Some(found) = wanted.max_by_key(|r| r.version).cloned() else { return Ok(None) };
        let Some(referral) = all.of(found.referral) else { return Ok(None) };
        let tasks = referral.submitted.tasks.iter().filter(|id| found.task.is_none_or(|task| task == **id));
        let mut providers: Vec<_> = tasks.map(|id| all.tasks[id].record.provider.clone()).collect();
        providers.sort();
        providers.dedup();
        Ok(Some((found, Parties { system: referral.system.clone(), providers })))
    }

    async fn versions(&self, kind: &str, id: Uuid) -> Result<Vec<StoredResource>, StoreError> {
        Ok(self.all()?.resources(kind, id).cloned().collect())
    }

    async fn resources_of(&self, referral: ReferralId) -> Result<Vec<StoredResource>, StoreError> {
        let all = self.all()?;
        let first = all.of(referral).map(|r| r.resources.as_slice()).unwrap_or_default();
        let mut newest = BTreeMap::new();
        for resource in first.iter().chain(all.later.iter().filter(|r| r.referral == referral)) {
            newest.insert((resource.id, &resource.kind), resource);
        }
        Ok(newest.into_values().cloned().collect())
    }

    async fn decision_of(&self, referral: ReferralId) -> Result<Option<String>, StoreError> {
        Ok(self.all()?.of(referral).map(|r| r.decision.clone()))
    }

    async fn journal(&self, task: TaskId) -> Result<Vec<JournalLine>, StoreError> {
        Ok(self.all()?.tasks.get(&task).map(|row| row.journal.clone()).unwrap_or_default())
    }

    async fn find_journal(&self, query: JournalQuery) -> Result<JournalPage, StoreError> {
        Ok(self.all()?.lines(&query))
    }

    async fn attempts(&self, task: TaskId) -> Result<Vec<Attempt>, StoreError> {
        let mut attempts = self.all()?.tasks.get(&task).map(|row| row.attempts.clone()).unwrap_or_default();
        attempts.sort_by_key(|a| (a.at, a.side.code(), a.of));
        Ok(attempts)
    }

    async fn claim_deadlines(&self, limit: usize, lease: Duration) -> Result<Vec<TaskRecord>, StoreError> {
        let now = self.now();
        let mut all = self.all()?;
        let mut due: Vec<_> = all.tasks.values_mut().filter(|row| row.due_at.is_some_and(|at| at <= now)).collect();
        due.sort_by_key(|row| row.due_at);
        due.truncate(limit);
        due.iter_mut().for_each(|row| row.due_at = Some(now + lease));
        Ok(due.iter().map(|row| row.record.clone()).collect())
    }

    async fn troubled(&self, after: Option<(Timestamp, TaskId)>, count: usize) -> Result<Vec<Troubled>, StoreError> {
        let is_trouble = |transport| {
            matches!(
                transport,
                TransportStatus::DeliveryDelayed
                    | TransportStatus::NotOpened
                    | TransportStatus::Overdue
                    | TransportStatus::CopyUnreadable
            )
        };
        let all = self.all()?;
        let troubled = all.tasks.values().filter_map(|row| {
            let state = row.record.state;
            let since = row.transport_since.filter(|_| state.transport.is_some_and(is_trouble) && !state.seen_to)?;
            Some(Troubled { task: row.record.clone(), since })
        });
        let mut troubled: Vec<_> =
            troubled.filter(|t| after.is_none_or(|after| (t.since, t.task.id) > after)).collect();
        troubled.sort_by_key(|t| (t.since, t.task.id));
        troubled.truncate(count);
        Ok(troubled)
    }

    async fn beat(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// A lease ends with its time, and not sooner.
    fn life(&self) -> Option<u64> {
        Some(0)
    }

    async fn end_leases_of_the_dead(&self) -> Result<u64, StoreError> {
        Ok(0)
    }

    async fn ready(&self) -> Result<(), StoreError> {
        self.open().map(|_| ())
    }

    async fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }
}

/// The wake-up of a message of a Task.
fn wake_up(task: &TaskRecord, side: Side, seq: u64, traceparent: Option<&str>) -> WakeUp {
    let (to, route_set) = match side {
        Side::Delivery => (task.inbox.to_string(), task.route_set.clone()),
        Side::WriteBack => (task.system.to_string(), String::new()),
    };
    let traceparent = traceparent.map(str::to_owned);
    WakeUp { task: task.id, side, seq, to, message: Uuid::now_v7(), route_set, traceparent }
}
