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
        Alert, AlertKind, Clock, Destination, InboxId, ReferralId, Side, Subscriber, Subscription, SubscriptionEvent,
        SubscriptionStatus, SystemId, TaskId, TaskStatus, TransportStatus, WakeUp,
        breaker::{Breaker, Phase},
        measured::{Day, FirstAnswer},
        subscription::Progress,
        task::TaskState,
    },
    store::{
        ActivateError, Activation, AlertSettled, Append, AppendError, Appended, Attempt, Backlog, Claim, DeadLetter,
        DeadQuery, Due, EVENTS_KEPT, FoundLine, JournalLine, JournalPage, JournalQuery, LaneHead, LaneState,
        NAMESAKES_MAX, NewReferral, NewRoutes, NewTask, Parties, Poll, ResourceKey, Routed, RoutedQuery, RoutesVersion,
        Sent, Settled, Share, Shares, Signed, Store, StoreError, StoredAlert, StoredBreaker, StoredResource,
        Submission, Submit, Submitted, TaskQuery, TaskRecord, Troubled,
    },
};
use uuid::Uuid;

mod alerts;
mod directory;
mod notices;
mod people;
mod routes;
mod row;
mod tokens;

use alerts::Alerts;
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

impl All {
    fn attended(&mut self, id: Uuid) -> Option<&mut Attended> {
        self.subscriptions.iter_mut().find(|a| a.subscription.id == id)
    }

    fn find(&self, system: &SystemId, key: &str) -> Option<&Referral> {
        self.referrals.iter().find(|r| r.system == *system && r.key == key)
    }

    fn of(&self, id: ReferralId) -> Option<&Referral> {
        self.referrals.iter().find(|r| r.submitted.referral == id)
    }

    fn message(&mut self, id: Uuid) -> Option<&mut Message> {
        self.tasks.values_mut().flat_map(|row| &mut row.outbox).find(|m| m.wake_up.message == id)
    }

    fn resources<'a>(&'a self, kind: &'a str, id: Uuid) -> impl Iterator<Item = &'a StoredResource> {
        let tasks = self.tasks.values().flat_map(|row| &row.versions);
        let others = self.referrals.iter().flat_map(|r| &r.resources);
        tasks.chain(others).chain(&self.later).filter(move |r| r.kind == kind && r.id == id)
    }

    fn sees(&self, query: &TaskQuery, referral: &Referral) -> bool {
        let routed = |id: &TaskId| query.providers.contains(&self.tasks[id].record.provider);
        query.systems.contains(&referral.system) || referral.submitted.tasks.iter().any(routed)
    }
}

impl All {
    /// Makes steps on copies of the rows, which take their places only if all of it could be done.
    fn step_together(&mut self, steps: Vec<Append>, now: Timestamp) -> Result<Vec<Appended>, AppendError> {
        let (mut rows, mut later, mut keys, mut done) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let (mut names, mut answers) = (Vec::new(), Vec::new());
        let alerts = steps.iter().flat_map(|append| append.alerts.clone()).collect();
        for mut append in steps {
            let mut row = self.tasks.get(&append.task).cloned().ok_or(AppendError::Moved)?;
            if let Some(settle) = &mut append.settle
                && let Settled::Waits { until } = &mut settle.outcome
                && !row.destination(settle.side, settle.seq).is_some_and(|to| self.keeps_back(settle.side, to, now))
            {
                // its endpoint's breaker lets messages through by now
                *until = now;
            }
            let (resources, further) = (append.resources.clone(), std::mem::take(&mut append.tasks));
            let asked_by = append.asked_by.clone();
            answers.extend(append.first_answer(&row.record, now).map(|answer| (row.record.inbox.clone(), answer)));
            let mut stepped = row.step(append, now)?;
            for new in further {
                let (mut made, own) = beside(&row.record, &new, now);
                stepped.wake_ups.extend(made.write(&new.events, None, asked_by.as_ref(), now));
                made.record.answered = made.record.version;
                names.extend(new.resources.into_iter().flat_map(|r| r.names).map(|name| (name, row.record.referral)));
                rows.push(made);
                later.extend(own);
            }
            done.push(stepped);
            for new in resources {
                let resource = new.resource;
                let is_there = self.resources(&resource.kind, resource.id).any(|known| known.version == new.version);
                let is_taken = |key: &ResourceKey| self.key(&key.author, &key.key).is_some();
                if is_there || new.key.as_ref().is_some_and(is_taken) {
                    return Err(AppendError::Moved);
                }
                keys.extend(new.key.map(|key| (key, resource.id)));
                names.extend(resource.names.into_iter().map(|name| (name, row.record.referral)));
                later.push(StoredResource {
                    kind: resource.kind,
                    id: resource.id,
                    version: new.version,
                    last_updated: now,
                    referral: row.record.referral,
                    origin: resource.origin,
                    task: new.task,
                    later: true,
                    body: resource.body,
                });
            }
            rows.push(row);
        }
        for row in &rows {
            let tasks = self.referrals.iter_mut().find(|r| r.submitted.referral == row.record.referral);
            if let Some(tasks) = tasks.map(|r| &mut r.submitted.tasks).filter(|tasks| !tasks.contains(&row.record.id)) {
                tasks.push(row.record.id);
            }
        }
        self.tasks.extend(rows.into_iter().map(|row| (row.record.id, row)));
        self.later.extend(later);
        self.keys.extend(keys);
        self.names.extend(names);
        self.answers.extend(answers);
        self.alerts.raise(alerts, now);
        Ok(done)
    }

    fn key(&self, author: &str, key: &str) -> Option<&(ResourceKey, Uuid)> {
        self.keys.iter().find(|(known, _)| known.author == author && known.key == key)
    }

    /// Whether a destination's breaker keeps messages back.
    fn keeps_back(&self, side: Side, to: &str, now: Timestamp) -> bool {
        self.breakers.get(&(side, to.to_owned())).is_some_and(|stored| match stored.breaker.phase {
            Phase::Open { .. } | Phase::Probing { .. } => true,
            Phase::Paused { until } => until > now,
            Phase::Draining { .. } | Phase::Closed => false,
        })
    }

    /// The messages that one destination may be given now, the longest due first.
    fn due_for(&self, of: &Destination, state: State, share: Share, claim: &Claim, now: Timestamp) -> Vec<Uuid> {
        let is_early = |m: &Message| {
            share.early.is_some_and(|early| {
                m.state == State::Pending
                    && m.lease_until.is_none_or(|until| until <= now)
                    && m.deferred_at.is_none_or(|at| at < early)
            })
        };
        let mut due = Vec::new();
        for row in self.tasks.values() {
            let ours = row.heads().filter(|m| m.state == state && m.wake_up.side == of.side && m.wake_up.to == of.to);
            let due_now = ours.filter(|m| is_early(m) || row.claimable(m, now, claim.republish_after));
            due.extend(due_now.map(|m| (m.moment(claim.republish_after), m.wake_up.message)));
        }
        due.sort();
        due.into_iter().map(|(_, message)| message).collect()
    }
}

/// Gives everyone an even part first, and then what others have left; nobody more than its share.
fn take_turns(
    shares: &Shares,
    waiting: BTreeSet<(Side, String)>,
    now: Timestamp,
    mut left: usize,
    mut take: impl FnMut(&Destination, Share, usize) -> usize,
) {
    let waiting = waiting.into_iter().map(|(side, to)| Destination::new(side, to));
    let mut asking: Vec<_> = waiting.map(|of| (shares.of(&of), of)).filter(|(share, _)| share.most > 0).collect();
    if asking.is_empty() {
        return;
    }
    let turn = usize::try_from(now.as_microsecond()).unwrap() % asking.len();
    asking.rotate_left(turn);
    for even in [(left / asking.len()).max(1), usize::MAX] {
        for (share, of) in &mut asking {
            let most = share.most.min(even).min(left);
            let taken = if most > 0 { take(of, *share, most) } else { 0 };
            left -= taken;
            share.most = if taken < most { 0 } else { share.most - taken };
        }
    }
}

/// A further Task of the same referral, and what is its own.
fn beside(of: &TaskRecord, new: &NewTask, now: Timestamp) -> (Row, Vec<StoredResource>) {
    let own = new.resources.iter().map(|resource| StoredResource {
        kind: resource.kind.clone(),
        id: resource.id,
        version: 1,
        last_updated: now,
        referral: of.referral,
        origin: resource.origin.clone(),
        task: Some(new.id),
        later: false,
        body: resource.body.clone(),
    });
    let record = TaskRecord {
        id: new.id,
        inbox: new.inbox.clone(),
        provider: new.provider.clone(),
        part_of: new.part_of,
        terms: new.terms.clone(),
        beside: new.beside,
        state: TaskState { deadlines: new.deadlines, ..TaskState::new() },
        seq: 0,
        version: 0,
        answered: 0,
        created: now,
        last_updated: now,
        ..of.clone()
    };
    (Row::new(record), own.collect())
}

/// What its Tasks' own resources are known by.
fn own_names(new: &NewReferral) -> impl Iterator<Item = (String, ReferralId)> {
    let own = new.tasks.iter().flat_map(|task| &task.resources).flat_map(|resource| &resource.names);
    own.map(|name| (name.clone(), new.id))
}

fn among<T: PartialEq>(list: Option<&Vec<T>>, value: &T) -> bool {
    list.is_none_or(|list| list.contains(value))
}

#[async_trait]
impl Store for Memory {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    async fn submit(&self, submission: Submission) -> Result<Submit, StoreError> {
        let now = self.now();
        let mut all = self.open()?;
        let mut digests = BTreeMap::new();
        for (index, new) in submission.referrals.iter().enumerate() {
            let known = all.find(&submission.system, &new.key).map_or(new.digest, |known| known.digest);
            if *digests.entry(&new.key).or_insert(known) != new.digest {
                return Ok(Submit::Differs(index));
            }
        }
        let (mut done, mut wake_ups) = (Vec::new(), Vec::new());
        let sent = Arc::new(Sent {
            id: submission.id,
            content_type: submission.content_type.clone(),
            original: submission.original.clone(),
            answer: submission.answer.clone(),
        });
        for new in &submission.referrals {
            if let Some(known) = all.find(&submission.system, &new.key) {
                done.push(Submitted { new: false, ..known.submitted.clone() });
                continue;
            }
            let names = new.resources.iter().flat_map(|resource| &resource.names);
            all.names.extend(names.map(|name| (name.clone(), new.id)));
            let own = new.tasks.iter().flat_map(|task| task.resources.iter().map(|resource| (Some(task.id), resource)));
            let all_of_it = new.resources.iter().map(|resource| (None, resource)).chain(own);
            all.names.extend(own_names(new));
            let resources = all_of_it.map(|(task, resource)| StoredResource {
                kind: resource.kind.clone(),
                id: resource.id,
                version: 1,
                last_updated: now,
                referral: new.id,
                origin: resource.origin.clone(),
                task,
                later: false,
                body: resource.body.clone(),
            });
            let submitted = Submitted {
                referral: new.id,
                request: new.request,
                tasks: new.tasks.iter().map(|task| task.id).collect(),
                new: true,
                at: now,
                answer: submission.answer.clone(),
            };
            let referral = Referral {
                system: submission.system.clone(),
                key: new.key.clone(),
                digest: new.digest,
                identifier: new.identifier.clone(),
                decision: new.decision.clone(),
                sent: sent.clone(),
                resources: resources.collect(),
                submitted: submitted.clone(),
            };
            all.referrals.push(referral);
            for task in &new.tasks {
                let record = TaskRecord {
                    id: task.id,
                    referral: new.id,
                    system: submission.system.clone(),
                    request: new.request,
                    origin: new.origin.clone(),
                    identifier: new.identifier.clone(),
                    route_set: new.route_set.clone(),
                    inbox: task.inbox.clone(),
                    provider: task.provider.clone(),
                    part_of: task.part_of,
                    terms: task.terms.clone(),
                    beside: task.beside,
                    state: TaskState { deadlines: task.deadlines, ..TaskState::new() },
                    seq: 0,
                    version: 0,
                    answered: 0,
                    created: now,
                    last_updated: now,
                };
                let mut row = Row::new(record);
                wake_ups.extend(row.write(
                    &task.events,
                    submission.traceparent.as_deref(),
                    submission.asked_by.as_ref(),
                    now,
                ));
                row.record.answered = row.record.version;
                all.tasks.insert(task.id, row);
            }
            done.push(submitted);
        }
        Ok(Submit::Stored(done, wake_ups))
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
            Some(id) => task.id.0 == id || task.request == id,
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

    async fn full_inboxes(&self, capacities: Vec<(InboxId, u32)>) -> Result<Vec<InboxId>, StoreError> {
        let all = self.all()?;
        let open = |inbox: &InboxId| {
            let tasks = all.tasks.values().map(|row| &row.record);
            tasks.filter(|task| task.inbox == *inbox && !task.state.status.is_terminal()).count()
        };
        let full = capacities.into_iter().filter(|(inbox, most)| open(inbox) >= *most as usize);
        Ok(full.map(|(inbox, _)| inbox).collect())
    }

    async fn answer_days(
        &self,
        inbox: &InboxId,
        after: Option<Day>,
        last: Day,
        count: usize,
    ) -> Result<Vec<(Day, u32)>, StoreError> {
        let mut days = BTreeMap::new();
        for (_, answer) in self.all()?.answers.iter().filter(|(of, _)| of == inbox) {
            *days.entry(answer.day).or_default() += 1;
        }
        let wanted = days.into_iter().filter(|(day, _)| after.is_none_or(|after| *day > after) && *day <= last);
        Ok(wanted.take(count).collect())
    }

    async fn first_answers(
        &self,
        inbox: &InboxId,
        first: Day,
        last: Day,
        count: usize,
    ) -> Result<Vec<FirstAnswer>, StoreError> {
        let all = self.all()?;
        let wanted = |(of, answer): &&(InboxId, FirstAnswer)| of == inbox && (first..=last).contains(&answer.day);
        let mut found: Vec<FirstAnswer> = all.answers.iter().filter(wanted).map(|(_, answer)| *answer).collect();
        found.sort_by_key(|answer| (answer.day, answer.waited_min));
        found.truncate(count);
        Ok(found)
    }

    async fn waiting(&self) -> Result<Vec<(InboxId, u64)>, StoreError> {
        let mut waiting = BTreeMap::new();
        for task in self.all()?.tasks.values().map(|row| &row.record) {
            if matches!(task.state.status, TaskStatus::Requested | TaskStatus::Received) && !task.is_parent() {
                *waiting.entry(task.inbox.clone()).or_default() += 1;
            }
        }
        Ok(waiting.into_iter().collect())
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

    async fn count_routed(&self, from: Timestamp, before: Timestamp) -> Result<u64, StoreError> {
        let query = RoutedQuery { from, before, after: None, count: usize::MAX };
        Ok(u64::try_from(self.routed(query).await?.len()).unwrap())
    }

    async fn routed(&self, query: RoutedQuery) -> Result<Vec<Routed>, StoreError> {
        let all = self.all()?;
        let mut found: Vec<Routed> = all
            .referrals
            .iter()
            .map(|referral| Routed {
                id: referral.submitted.referral,
                request: referral.submitted.request,
                system: referral.system.clone(),
                at: referral.submitted.at,
                submission: referral.sent.id,
                bytes: u64::try_from(referral.sent.original.len()).unwrap(),
                decision: referral.decision.clone(),
            })
            .filter(|one| one.at >= query.from && one.at < query.before)
            .filter(|one| query.after.is_none_or(|after| (one.at, one.id) > after))
            .collect();
        found.sort_by_key(|one| (one.at, one.id));
        found.truncate(query.count);
        Ok(found)
    }

    async fn sent(&self, submissions: Vec<Uuid>) -> Result<Vec<Sent>, StoreError> {
        let all = self.all()?;
        let mut found: Vec<Sent> =
            all.referrals.iter().filter(|r| submissions.contains(&r.sent.id)).map(|r| Sent::clone(&r.sent)).collect();
        found.dedup_by_key(|sent| sent.id);
        Ok(found)
    }

    async fn named_at_first(&self, referrals: Vec<ReferralId>) -> Result<Vec<StoredResource>, StoreError> {
        let all = self.all()?;
        let of = all.referrals.iter().filter(|r| referrals.contains(&r.submitted.referral));
        let mut found: Vec<_> = of.flat_map(|r| &r.resources).filter(|one| one.origin.is_some()).cloned().collect();
        found.sort_by_key(|one| (one.referral, one.id));
        Ok(found)
    }

    async fn journal(&self, task: TaskId) -> Result<Vec<JournalLine>, StoreError> {
        Ok(self.all()?.tasks.get(&task).map(|row| row.journal.clone()).unwrap_or_default())
    }

    async fn find_journal(&self, query: JournalQuery) -> Result<JournalPage, StoreError> {
        let all = self.all()?;
        let mut found: Vec<FoundLine> = Vec::new();
        for row in all.tasks.values() {
            let (task, inbox, system) = (row.record.id, row.record.inbox.clone(), row.record.system.clone());
            let of = |line: &JournalLine| FoundLine {
                task,
                inbox: inbox.clone(),
                system: system.clone(),
                line: line.clone(),
            };
            found.extend(row.journal.iter().map(of));
        }
        let at = |one: &FoundLine| (one.line.at, one.task, one.line.seq);
        found.retain(|one| {
            one.line.at >= query.from
                && one.line.at < query.before
                && query.after.is_none_or(|after| at(one) < after)
                && query.event.as_ref().is_none_or(|event| one.line.event.name() == event)
                && query.actor.as_ref().is_none_or(|actor| one.line.actor == *actor)
                && query.inbox.as_ref().is_none_or(|inbox| one.inbox == *inbox)
                && query.system.as_ref().is_none_or(|system| one.system == *system)
        });
        found.sort_by_key(|one| std::cmp::Reverse(at(one)));
        let goes_on = found.len() > query.count;
        found.truncate(query.count);
        let next = found.last().map(at).filter(|_| goes_on);
        Ok(JournalPage { lines: found, next })
    }

    async fn tasks_routed(&self, query: RoutedQuery) -> Result<Vec<(Timestamp, TaskRecord)>, StoreError> {
        let page = self.routed(query).await?;
        let all = self.all()?;
        let mut found = Vec::new();
        for one in page {
            let of = all.tasks.values().filter(|row| row.record.referral == one.id);
            let mut of: Vec<TaskRecord> = of.map(|row| row.record.clone()).collect();
            of.sort_by_key(|task| task.id.0);
            found.extend(of.into_iter().map(|task| (one.at, task)));
        }
        Ok(found)
    }

    async fn answers_of(&self, tasks: Vec<TaskId>) -> Result<Vec<(TaskId, JournalLine)>, StoreError> {
        let all = self.all()?;
        let of = |task: &TaskId| {
            let journal = all.tasks.get(task).map(|row| row.journal.clone()).unwrap_or_default();
            journal
                .into_iter()
                .filter(|line| line.event.name() == "answered")
                .map(|line| (*task, line))
                .collect::<Vec<_>>()
        };
        Ok(tasks.iter().flat_map(of).collect())
    }

    async fn attempts(&self, task: TaskId) -> Result<Vec<Attempt>, StoreError> {
        let mut attempts = self.all()?.tasks.get(&task).map(|row| row.attempts.clone()).unwrap_or_default();
        attempts.sort_by_key(|a| (a.at, a.side.code(), a.of));
        Ok(attempts)
    }

    async fn lease_lane(&self, task: TaskId, side: Side, lease: Duration) -> Result<LaneState, StoreError> {
        let now = self.now();
        let mut all = self.all()?;
        Ok(all.tasks.get_mut(&task).map_or(LaneState::Idle, |row| row.lease(side, now, lease)))
    }

    async fn release_lane(&self, task: TaskId, side: Side, lease: u64) -> Result<(), StoreError> {
        if let Some(row) = self.all()?.tasks.get_mut(&task)
            && row.lane(side).lease == lease
        {
            row.lane_mut(side).until = None;
        }
        Ok(())
    }

    async fn destinations(&self) -> Result<Vec<(Side, String)>, StoreError> {
        let all = self.all()?;
        let open = all.tasks.values().flat_map(|row| &row.outbox).filter(|m| m.is_open());
        let mut found: Vec<_> = open.map(|m| (m.wake_up.side, m.wake_up.to.clone())).collect();
        found.sort();
        found.dedup();
        Ok(found)
    }

    async fn claim_due(&self, claim: Claim) -> Result<Due, StoreError> {
        let now = self.now();
        let mut all = self.all()?;
        let mut wake_ups: Vec<WakeUp> = Vec::new();
        // first what was never published, then what was lost
        for state in [State::Pending, State::Published] {
            let waiting = all.tasks.values().flat_map(Row::heads).filter(|m| m.state == state);
            let waiting = waiting.map(|m| (m.wake_up.side, m.wake_up.to.clone())).collect();
            let left = claim.shares.limit - wake_ups.len();
            take_turns(&claim.shares, waiting, now, left, |of, share, most| {
                let due: Vec<_> = all.due_for(of, state, share, &claim, now).into_iter().take(most).collect();
                for id in &due {
                    let task = all.message(*id).unwrap().wake_up.task;
                    let row = all.tasks.get_mut(&task).unwrap();
                    wake_ups.push(row.claim(*id, &claim, share.early.is_some(), now));
                }
                due.len()
            });
        }
        let pending = all.tasks.values().flat_map(|row| &row.outbox).filter(|m| m.state == State::Pending);
        let next = pending.map(|m| m.moment(claim.republish_after)).filter(|at| *at > now).min();
        Ok(Due { wake_ups, next })
    }

    async fn mark_published(&self, messages: Vec<Uuid>) -> Result<(), StoreError> {
        let now = self.now();
        let mut all = self.all()?;
        for id in messages {
            if let Some(message) = all.message(id)
                && message.state == State::Pending
                && message.lease_until.is_some()
            {
                message.state = State::Published;
                message.published_at = now;
                message.lease_until = None;
            }
        }
        Ok(())
    }

    async fn rearm_published(&self, message: Uuid) -> Result<(), StoreError> {
        let now = self.now();
        if let Some(message) = self.all()?.message(message)
            && message.state == State::Published
        {
            message.pend(now);
        }
        Ok(())
    }

    async fn put_aside(&self, message: Uuid, age: Duration) -> Result<bool, StoreError> {
        let now = self.now();
        let mut all = self.all()?;
        let Some(found) = all.message(message).cloned() else { return Ok(false) };
        let until = found.created + age;
        let is_kept_back = all.keeps_back(found.wake_up.side, &found.wake_up.to, now);
        if !found.is_open() || until <= now || !is_kept_back {
            return Ok(false);
        }
        if let Some(row) = all.tasks.get_mut(&found.wake_up.task) {
            row.hold_back(found.wake_up.side, found.wake_up.seq, until.max(found.not_before));
        }
        Ok(true)
    }

    async fn breakers(&self) -> Result<Vec<StoredBreaker>, StoreError> {
        Ok(self.all()?.breakers.values().cloned().collect())
    }

    async fn set_breaker(&self, of: &Destination, version: u64, breaker: Breaker) -> Result<bool, StoreError> {
        let mut all = self.all()?;
        let key = (of.side, of.to.clone());
        if all.breakers.get(&key).map_or(0, |known| known.version) != version {
            return Ok(false);
        }
        all.breakers.insert(key, StoredBreaker { of: of.clone(), breaker, version: version + 1 });
        Ok(true)
    }

    async fn claim_polls(&self, shares: Shares, lease: Duration) -> Result<Vec<(TaskRecord, String)>, StoreError> {
        let now = self.now();
        let mut all = self.all()?;
        let watched = all.tasks.values().filter(|row| row.lane(Side::Delivery).poll_at.is_some());
        let waiting = watched.map(|row| (Side::Delivery, row.record.inbox.to_string())).collect();
        let mut claimed = Vec::new();
        take_turns(&shares, waiting, now, shares.limit, |of, _, most| {
            let ours = all.tasks.values_mut().filter(|row| row.record.inbox.as_str() == of.to);
            let mut due: Vec<_> =
                ours.filter(|row| row.lane(Side::Delivery).poll_at.is_some_and(|at| at <= now)).collect();
            due.sort_by_key(|row| row.lane(Side::Delivery).poll_at);
            due.truncate(most);
            for row in &mut due {
                row.lane_mut(Side::Delivery).poll_at = Some(now + lease);
                claimed.push((row.record.clone(), row.lane(Side::Delivery).memory.clone().unwrap_or_default()));
            }
            due.len()
        });
        Ok(claimed)
    }

    async fn plan_poll(&self, task: TaskId, poll: Poll) -> Result<(), StoreError> {
        if let Some(row) = self.all()?.tasks.get_mut(&task) {
            row.watch(poll);
        }
        Ok(())
    }

    async fn give_back_poll(&self, task: TaskId, at: Timestamp) -> Result<(), StoreError> {
        // whose claim it is, is not known here: one that is due later is due sooner, and never one that is watched no more
        if let Some(row) = self.all()?.tasks.get_mut(&task) {
            let lane = row.lane_mut(Side::Delivery);
            lane.poll_at = lane.poll_at.map(|due| due.min(at));
        }
        Ok(())
    }

    async fn backlog(&self) -> Result<Vec<Backlog>, StoreError> {
        let all = self.all()?;
        let mut backlogs: BTreeMap<(Side, String), Backlog> = BTreeMap::new();
        for message in all.tasks.values().flat_map(|row| &row.outbox).filter(|m| m.is_open() || m.state == State::Dead)
        {
            let (side, to) = (message.wake_up.side, message.wake_up.to.clone());
            let backlog = backlogs.entry((side, to.clone())).or_insert_with(|| Backlog {
                side,
                to,
                waiting: 0,
                oldest: None,
                dead: 0,
            });
            if message.state == State::Dead {
                backlog.dead += 1;
            } else {
                backlog.waiting += 1;
                backlog.oldest = backlog.oldest.into_iter().chain([message.created]).min();
            }
        }
        Ok(backlogs.into_values().collect())
    }

    async fn overdue(&self) -> Result<Option<Timestamp>, StoreError> {
        let now = self.now();
        let all = self.all()?;
        let waiting = all.tasks.values().flat_map(|row| &row.outbox).filter(|m| m.state == State::Pending);
        Ok(waiting.map(|m| m.not_before).filter(|due| *due <= now).min())
    }

    async fn find_dead(&self, query: DeadQuery) -> Result<Vec<DeadLetter>, StoreError> {
        let all = self.all()?;
        let dead = all.tasks.values().flat_map(|row| &row.outbox).filter(|m| m.state == State::Dead);
        let is_wanted = |letter: &DeadLetter| {
            let says = |words: &String| letter.why.to_ascii_lowercase().contains(&words.to_ascii_lowercase());
            query.to.as_ref().is_none_or(|to| *to == letter.to)
                && query.message.is_none_or(|message| message == letter.message)
                && query.side.is_none_or(|side| side == letter.side)
                && query.task.is_none_or(|task| task == letter.task)
                && query.since.is_none_or(|since| letter.since >= since)
                && query.until.is_none_or(|until| letter.since <= until)
                && query.why.as_ref().is_none_or(says)
                && query.after.is_none_or(|after| (letter.since, letter.message) > after)
        };
        let mut letters: Vec<_> = dead.map(Message::dead_letter).filter(is_wanted).collect();
        match query.task {
            Some(_) => letters.sort_by_key(|l| (l.side.code(), l.seq)),
            None => letters.sort_by_key(|l| (l.since, l.message)),
        }
        letters.truncate(query.count);
        Ok(letters)
    }

    async fn dead_letter(&self, message: Uuid) -> Result<Option<DeadLetter>, StoreError> {
        Ok(self.all()?.message(message).filter(|m| m.state == State::Dead).map(|m| m.dead_letter()))
    }

    async fn dead_head(&self, message: Uuid) -> Result<Option<LaneHead>, StoreError> {
        let all = self.all()?;
        let found = all.tasks.values().find_map(|row| {
            let letter = row.outbox.iter().find(|m| m.wake_up.message == message && m.state == State::Dead)?;
            Some(row.head_of(letter))
        });
        Ok(found)
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

    async fn add_subscription(&self, new: Subscription) -> Result<(), StoreError> {
        let due = self.now();
        self.open()?.subscriptions.push(Attended { subscription: new, due, events: vec![] });
        Ok(())
    }

    async fn subscription(&self, id: Uuid) -> Result<Option<Subscription>, StoreError> {
        let mut all = self.all()?;
        Ok(all.attended(id).map(|a| a.subscription.clone()))
    }

    async fn subscriptions(&self, owner: &Subscriber) -> Result<Vec<Subscription>, StoreError> {
        let all = self.all()?;
        let own = all.subscriptions.iter().map(|a| &a.subscription).filter(|s| s.owner == *owner);
        let mut own: Vec<_> = own.cloned().collect();
        own.sort_by_key(|s| s.id);
        Ok(own)
    }

    async fn rewrite_subscription(
        &self,
        id: Uuid,
        over: u64,
        status: SubscriptionStatus,
        body: String,
    ) -> Result<bool, StoreError> {
        let now = self.now();
        let mut all = self.open()?;
        let Some(a) = all.attended(id).filter(|a| a.subscription.version == over) else { return Ok(false) };
        let before = &mut a.subscription;
        if before.status == SubscriptionStatus::Off {
            before.seen_until = now;
        }
        (before.version, before.last_updated, before.lease) = (over + 1, now, before.lease + 1);
        (before.status, before.body, before.progress) = (status, body, before.progress.afresh());
        a.due = now;
        Ok(true)
    }

    async fn remove_subscription(&self, id: Uuid) -> Result<(), StoreError> {
        self.open()?.subscriptions.retain(|a| a.subscription.id != id);
        Ok(())
    }

    async fn claim_subscriptions(&self, limit: usize, lease: Duration) -> Result<Vec<Subscription>, StoreError> {
        let now = self.now();
        let mut all = self.open()?;
        let open = [SubscriptionStatus::Requested, SubscriptionStatus::Active];
        let mut due: Vec<&mut Attended> =
            all.subscriptions.iter_mut().filter(|a| a.due <= now && open.contains(&a.subscription.status)).collect();
        due.sort_by_key(|a| a.due);
        let claimed = due.into_iter().take(limit).map(|a| {
            (a.due, a.subscription.lease) = (now + lease, a.subscription.lease + 1);
            a.subscription.clone()
        });
        Ok(claimed.collect())
    }

    async fn take_up(
        &self,
        id: Uuid,
        lease: u64,
        changes: Vec<(TaskId, u64, Timestamp)>,
        seen_until: Timestamp,
    ) -> Result<Option<u64>, StoreError> {
        let mut all = self.open()?;
        let Some(a) = all.attended(id).filter(|a| a.subscription.lease == lease) else { return Ok(None) };
        for (task, version, at) in changes {
            if !a.events.iter().any(|e| e.task == task && e.version == version) {
                a.subscription.events += 1;
                a.events.push(SubscriptionEvent { number: a.subscription.events, task, version, at });
            }
        }
        a.subscription.seen_until = seen_until;
        Ok(Some(a.subscription.events))
    }

    async fn settle_subscription(
        &self,
        id: Uuid,
        lease: u64,
        status: SubscriptionStatus,
        progress: Progress,
        until: Option<Duration>,
    ) -> Result<bool, StoreError> {
        let now = self.now();
        let mut all = self.open()?;
        let Some(a) = all.attended(id).filter(|a| a.subscription.lease == lease) else { return Ok(false) };
        a.due = until.map_or(progress.next.unwrap_or(now), |until| now + until);
        if a.subscription.status != status {
            (a.subscription.version, a.subscription.last_updated) = (a.subscription.version + 1, now);
        }
        let over = progress.sent.saturating_sub(EVENTS_KEPT);
        a.events.retain(|event| event.number > over);
        (a.subscription.status, a.subscription.progress) = (status, progress);
        Ok(true)
    }

    async fn subscription_events(&self, id: Uuid, from: u64, to: u64) -> Result<Vec<SubscriptionEvent>, StoreError> {
        let mut all = self.all()?;
        let events = all.attended(id).map(|a| a.events.clone()).unwrap_or_default();
        Ok(events.into_iter().filter(|e| (from..=to).contains(&e.number)).collect())
    }

    async fn add_routes(&self, over: u64, new: NewRoutes) -> Result<Activation, ActivateError> {
        let now = self.now();
        let mut all = self.open()?;
        let added = all.routes.add(over, new, now)?;
        all.alerts.end_about_routes();
        Ok(added)
    }

    async fn activate_routes(&self, over: u64, number: u64, signed: Signed) -> Result<Activation, ActivateError> {
        let now = self.now();
        let mut all = self.open()?;
        let activated = all.routes.activate(over, number, signed, now)?;
        all.alerts.end_about_routes();
        Ok(activated)
    }

    async fn active_routes(&self) -> Result<Option<Activation>, StoreError> {
        Ok(self.all()?.routes.active())
    }

    async fn routes_history(&self, limit: usize) -> Result<Vec<Activation>, StoreError> {
        Ok(self.all()?.routes.history(limit))
    }

    async fn routes_version(&self, number: u64) -> Result<Option<RoutesVersion>, StoreError> {
        Ok(self.all()?.routes.version(number))
    }

    async fn raise(&self, alerts: Vec<Alert>) -> Result<(), StoreError> {
        let now = self.now();
        self.all()?.alerts.raise(alerts, now);
        Ok(())
    }

    async fn end_alert(&self, kind: AlertKind, subject: &str) -> Result<bool, StoreError> {
        Ok(self.all()?.alerts.end(kind, subject))
    }

    async fn claim_alerts(&self, limit: usize, lease: Duration) -> Result<Vec<StoredAlert>, StoreError> {
        let now = self.now();
        Ok(self.all()?.alerts.claim(limit, lease, now))
    }

    async fn settle_alert(&self, id: Uuid, settled: AlertSettled) -> Result<(), StoreError> {
        self.all()?.alerts.settle(id, settled);
        Ok(())
    }

    async fn open_alerts(&self, limit: usize) -> Result<Vec<Alert>, StoreError> {
        Ok(self.all()?.alerts.open(limit))
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
