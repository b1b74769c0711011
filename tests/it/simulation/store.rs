//! The store as a replica reaches it: over a way on which calls and answers are lost and come late.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use jiff::Timestamp;
use onward::{
    domain::{
        Alert, AlertKind, Destination, InboxId, ReferralId, Side, Subscriber, Subscription, SubscriptionEvent,
        SubscriptionStatus, SystemId, TaskId,
        breaker::Breaker,
        measured::{Day, FirstAnswer},
        subscription::Progress,
    },
    store::{
        ActivateError, Activation, AlertSettled, Append, AppendError, Appended, Attempt, Backlog, Claim, DeadLetter,
        DeadQuery, Due, JournalLine, JournalPage, JournalQuery, LaneHead, LaneState, NewRoutes, Parties, Poll, Routed,
        RoutedQuery, RoutesVersion, Sent, Shares, Signed, Store, StoreError, StoredAlert, StoredBreaker,
        StoredResource, Submission, Submit, Submitted, TaskQuery, TaskRecord, Troubled,
    },
};
use tokio::time::Instant;
use uuid::Uuid;

use super::{
    hearts::{Hearts, Life},
    schedule::Trouble,
    world::{Place, Replica},
};
use crate::support::memory::Memory;

/// A store that has not answered decides sooner than this whether it does what it was asked.
const LATE_MAX_S: u64 = 60;

/// See the module's documentation.
pub struct Reached {
    memory: Arc<Memory>,
    hearts: Arc<Hearts>,
    replica: Arc<Replica>,
    life: Mutex<Life>,
}

impl Reached {
    pub fn new(memory: Arc<Memory>, hearts: Arc<Hearts>, replica: Arc<Replica>) -> Self {
        let life = Mutex::new(hearts.begin(Instant::now()));
        Self { memory, hearts, replica, life }
    }

    fn own(&self) -> Life {
        *self.life.lock().unwrap()
    }

    /// What is done all the time is no step, or nothing would ever be at rest: but it needs a process that runs, a store that is
    /// there, and its time.
    async fn pulse(&self) -> Result<(), StoreError> {
        self.replica.gate().await;
        self.replica.takes_time().await;
        self.replica.gate().await;
        if self.replica.world.is_away(Place::Store) {
            return Err(StoreError::Unavailable("a simulated trouble".into()));
        }
        Ok(())
    }

    async fn call<T, E>(
        &self,
        what: &'static str,
        detail: impl FnOnce() -> String,
        effect: impl Future<Output = Result<T, E>> + Send + 'static,
    ) -> Result<T, E>
    where
        E: From<StoreError>,
    {
        let fate = self.replica.step(Place::Store, what, detail).await;
        let away = || Err(StoreError::Unavailable("a simulated trouble".into()).into());
        let result = match fate.trouble {
            _ if self.replica.world.is_away(Place::Store) => away(),
            Some(Trouble::FailBefore) => away(),
            Some(Trouble::FailAfter) => effect.await.and_then(|_| away()),
            Some(Trouble::Late(seconds)) => {
                // its outcome is unknown to the one who asked, and not even decided yet
                self.replica.world.later(seconds.min(LATE_MAX_S), async { drop(effect.await) });
                away()
            }
            _ => effect.await,
        };
        self.replica.done(&fate).await;
        result
    }
}

/// The same call of the store behind it.
macro_rules! reach {
    ($self:ident, $call:ident ( $($value:expr),* )) => { reach!($self, $call($($value),*), String::new()) };
    ($self:ident, $call:ident ( $($value:expr),* ), $detail:expr) => {{
        let memory = Arc::clone(&$self.memory);
        let text = if $self.replica.world.traced { $detail } else { String::new() };
        $self.call(stringify!($call), move || text, async move { memory.$call($($value),*).await }).await
    }};
}

mod directory;
mod notices;
mod people;
mod tokens;

#[async_trait]
impl Store for Reached {
    fn now(&self) -> Timestamp {
        self.memory.now()
    }

    async fn submit(&self, submission: Submission) -> Result<Submit, StoreError> {
        reach!(self, submit(submission))
    }

    async fn submitted(&self, system: &SystemId, key: &str) -> Result<Option<(Submitted, [u8; 32])>, StoreError> {
        let (system, key) = (system.clone(), key.to_owned());
        reach!(self, submitted(&system, &key))
    }

    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        let names: Vec<_> = append.events.iter().map(|e| e.event.name()).collect();
        let text = format!("of {names:?} after {} settling {:?}", append.expected_seq, append.settle);
        reach!(self, append(append), text)
    }

    async fn append_together(&self, steps: Vec<Append>) -> Result<Vec<Appended>, AppendError> {
        reach!(self, append_together(steps))
    }

    async fn keyed(&self, author: &str, key: &str) -> Result<Option<(Uuid, [u8; 32])>, StoreError> {
        let (author, key) = (author.to_owned(), key.to_owned());
        reach!(self, keyed(&author, &key))
    }

    async fn task(&self, id: TaskId) -> Result<Option<TaskRecord>, StoreError> {
        reach!(self, task(id))
    }

    async fn find_tasks(&self, key: &str) -> Result<Vec<TaskRecord>, StoreError> {
        let key = key.to_owned();
        reach!(self, find_tasks(&key))
    }

    async fn tasks_asked_by(&self, request: &str, count: usize) -> Result<Vec<TaskRecord>, StoreError> {
        let request = request.to_owned();
        reach!(self, tasks_asked_by(&request, count))
    }

    async fn full_inboxes(&self, capacities: Vec<(InboxId, u32)>) -> Result<Vec<InboxId>, StoreError> {
        reach!(self, full_inboxes(capacities))
    }

    async fn answer_days(
        &self,
        inbox: &InboxId,
        after: Option<Day>,
        last: Day,
        count: usize,
    ) -> Result<Vec<(Day, u32)>, StoreError> {
        let inbox = inbox.clone();
        reach!(self, answer_days(&inbox, after, last, count))
    }

    async fn first_answers(
        &self,
        inbox: &InboxId,
        first: Day,
        last: Day,
        count: usize,
    ) -> Result<Vec<FirstAnswer>, StoreError> {
        let inbox = inbox.clone();
        reach!(self, first_answers(&inbox, first, last, count))
    }

    async fn waiting(&self) -> Result<Vec<(InboxId, u64)>, StoreError> {
        reach!(self, waiting())
    }

    async fn referrals_of(
        &self,
        query: TaskQuery,
        ids: Vec<Uuid>,
        names: Vec<String>,
    ) -> Result<Vec<ReferralId>, StoreError> {
        reach!(self, referrals_of(query, ids, names))
    }

    async fn open_by_name(
        &self,
        names: Vec<String>,
        inboxes: Vec<InboxId>,
        count: usize,
    ) -> Result<Vec<(TaskRecord, Vec<StoredResource>)>, StoreError> {
        reach!(self, open_by_name(names, inboxes, count))
    }

    async fn search_tasks(&self, query: TaskQuery) -> Result<Vec<(TaskRecord, StoredResource)>, StoreError> {
        reach!(self, search_tasks(query))
    }

    async fn find_requests(
        &self,
        query: TaskQuery,
        identifiers: Option<Vec<String>>,
    ) -> Result<Vec<StoredResource>, StoreError> {
        reach!(self, find_requests(query, identifiers))
    }

    async fn resource(
        &self,
        kind: &str,
        id: Uuid,
        version: Option<u64>,
    ) -> Result<Option<(StoredResource, Parties)>, StoreError> {
        let kind = kind.to_owned();
        reach!(self, resource(&kind, id, version))
    }

    async fn versions(&self, kind: &str, id: Uuid) -> Result<Vec<StoredResource>, StoreError> {
        let kind = kind.to_owned();
        reach!(self, versions(&kind, id))
    }

    async fn resources_of(&self, referral: ReferralId) -> Result<Vec<StoredResource>, StoreError> {
        reach!(self, resources_of(referral))
    }

    async fn decision_of(&self, referral: ReferralId) -> Result<Option<String>, StoreError> {
        reach!(self, decision_of(referral))
    }

    async fn count_routed(&self, from: Timestamp, before: Timestamp) -> Result<u64, StoreError> {
        reach!(self, count_routed(from, before))
    }

    async fn routed(&self, query: RoutedQuery) -> Result<Vec<Routed>, StoreError> {
        reach!(self, routed(query))
    }

    async fn sent(&self, submissions: Vec<Uuid>) -> Result<Vec<Sent>, StoreError> {
        reach!(self, sent(submissions))
    }

    async fn named_at_first(&self, referrals: Vec<ReferralId>) -> Result<Vec<StoredResource>, StoreError> {
        reach!(self, named_at_first(referrals))
    }

    async fn journal(&self, task: TaskId) -> Result<Vec<JournalLine>, StoreError> {
        reach!(self, journal(task))
    }

    async fn find_journal(&self, query: JournalQuery) -> Result<JournalPage, StoreError> {
        reach!(self, find_journal(query))
    }

    async fn tasks_routed(&self, query: RoutedQuery) -> Result<Vec<(Timestamp, TaskRecord)>, StoreError> {
        reach!(self, tasks_routed(query))
    }

    async fn answers_of(&self, tasks: Vec<TaskId>) -> Result<Vec<(TaskId, JournalLine)>, StoreError> {
        reach!(self, answers_of(tasks))
    }

    async fn attempts(&self, task: TaskId) -> Result<Vec<Attempt>, StoreError> {
        reach!(self, attempts(task))
    }

    async fn lease_lane(&self, task: TaskId, side: Side, lease: Duration) -> Result<LaneState, StoreError> {
        let (memory, hearts, life) = (Arc::clone(&self.memory), Arc::clone(&self.hearts), self.own());
        let effect = async move {
            let leased = memory.lease_lane(task, side, lease).await?;
            if let LaneState::Leased { lease, .. } = leased {
                hearts.take(life, task, side, lease);
            }
            Ok(leased)
        };
        self.call("lease_lane", || side.to_string(), effect).await
    }

    async fn release_lane(&self, task: TaskId, side: Side, lease: u64) -> Result<(), StoreError> {
        reach!(self, release_lane(task, side, lease))
    }

    async fn destinations(&self) -> Result<Vec<(Side, String)>, StoreError> {
        reach!(self, destinations())
    }

    async fn claim_due(&self, claim: Claim) -> Result<Due, StoreError> {
        // looking in vain is no step: it is done all the time and changes nothing
        if !self.memory.has_due(&claim) {
            self.replica.gate().await;
            return self.memory.claim_due(claim).await;
        }
        reach!(self, claim_due(claim))
    }

    async fn mark_published(&self, messages: Vec<Uuid>) -> Result<(), StoreError> {
        reach!(self, mark_published(messages))
    }

    async fn rearm_published(&self, message: Uuid) -> Result<(), StoreError> {
        reach!(self, rearm_published(message))
    }

    async fn put_aside(&self, message: Uuid, age: Duration) -> Result<bool, StoreError> {
        reach!(self, put_aside(message, age))
    }

    async fn breakers(&self) -> Result<Vec<StoredBreaker>, StoreError> {
        self.replica.gate().await;
        self.memory.breakers().await
    }

    async fn set_breaker(&self, of: &Destination, version: u64, breaker: Breaker) -> Result<bool, StoreError> {
        let of = of.clone();
        reach!(self, set_breaker(&of, version, breaker))
    }

    async fn claim_polls(&self, shares: Shares, lease: Duration) -> Result<Vec<(TaskRecord, String)>, StoreError> {
        if !self.memory.has_copies_due(&shares) {
            self.replica.gate().await;
            return Ok(Vec::new());
        }
        reach!(self, claim_polls(shares, lease))
    }

    async fn plan_poll(&self, task: TaskId, poll: Poll) -> Result<(), StoreError> {
        reach!(self, plan_poll(task, poll))
    }

    async fn give_back_poll(&self, task: TaskId, at: Timestamp) -> Result<(), StoreError> {
        reach!(self, give_back_poll(task, at))
    }

    async fn backlog(&self) -> Result<Vec<Backlog>, StoreError> {
        reach!(self, backlog())
    }

    async fn find_dead(&self, query: DeadQuery) -> Result<Vec<DeadLetter>, StoreError> {
        reach!(self, find_dead(query))
    }

    async fn dead_letter(&self, message: Uuid) -> Result<Option<DeadLetter>, StoreError> {
        reach!(self, dead_letter(message))
    }

    async fn dead_head(&self, message: Uuid) -> Result<Option<LaneHead>, StoreError> {
        reach!(self, dead_head(message))
    }

    async fn claim_deadlines(&self, limit: usize, lease: Duration) -> Result<Vec<TaskRecord>, StoreError> {
        reach!(self, claim_deadlines(limit, lease))
    }

    async fn troubled(&self, after: Option<(Timestamp, TaskId)>, count: usize) -> Result<Vec<Troubled>, StoreError> {
        reach!(self, troubled(after, count))
    }

    async fn add_subscription(&self, new: Subscription) -> Result<(), StoreError> {
        reach!(self, add_subscription(new))
    }

    async fn subscription(&self, id: Uuid) -> Result<Option<Subscription>, StoreError> {
        reach!(self, subscription(id))
    }

    async fn subscriptions(&self, owner: &Subscriber) -> Result<Vec<Subscription>, StoreError> {
        let owner = owner.clone();
        reach!(self, subscriptions(&owner))
    }

    async fn rewrite_subscription(
        &self,
        id: Uuid,
        over: u64,
        status: SubscriptionStatus,
        body: String,
    ) -> Result<bool, StoreError> {
        reach!(self, rewrite_subscription(id, over, status, body))
    }

    async fn remove_subscription(&self, id: Uuid) -> Result<(), StoreError> {
        reach!(self, remove_subscription(id))
    }

    async fn claim_subscriptions(&self, limit: usize, lease: Duration) -> Result<Vec<Subscription>, StoreError> {
        reach!(self, claim_subscriptions(limit, lease))
    }

    async fn take_up(
        &self,
        id: Uuid,
        lease: u64,
        changes: Vec<(TaskId, u64, Timestamp)>,
        seen_until: Timestamp,
    ) -> Result<Option<u64>, StoreError> {
        reach!(self, take_up(id, lease, changes, seen_until))
    }

    async fn settle_subscription(
        &self,
        id: Uuid,
        lease: u64,
        status: SubscriptionStatus,
        progress: Progress,
        until: Option<Duration>,
    ) -> Result<bool, StoreError> {
        reach!(self, settle_subscription(id, lease, status, progress, until))
    }

    async fn subscription_events(&self, id: Uuid, from: u64, to: u64) -> Result<Vec<SubscriptionEvent>, StoreError> {
        reach!(self, subscription_events(id, from, to))
    }

    async fn add_routes(&self, over: u64, new: NewRoutes) -> Result<Activation, ActivateError> {
        reach!(self, add_routes(over, new))
    }

    async fn activate_routes(&self, over: u64, number: u64, signed: Signed) -> Result<Activation, ActivateError> {
        reach!(self, activate_routes(over, number, signed))
    }

    async fn active_routes(&self) -> Result<Option<Activation>, StoreError> {
        reach!(self, active_routes())
    }

    async fn routes_history(&self, limit: usize) -> Result<Vec<Activation>, StoreError> {
        reach!(self, routes_history(limit))
    }

    async fn routes_version(&self, number: u64) -> Result<Option<RoutesVersion>, StoreError> {
        reach!(self, routes_version(number))
    }

    async fn raise(&self, alerts: Vec<Alert>) -> Result<(), StoreError> {
        reach!(self, raise(alerts))
    }

    async fn end_alert(&self, kind: AlertKind, subject: &str) -> Result<bool, StoreError> {
        let subject = subject.to_owned();
        reach!(self, end_alert(kind, &subject))
    }

    async fn claim_alerts(&self, limit: usize, lease: Duration) -> Result<Vec<StoredAlert>, StoreError> {
        reach!(self, claim_alerts(limit, lease))
    }

    async fn settle_alert(&self, id: Uuid, settled: AlertSettled) -> Result<(), StoreError> {
        reach!(self, settle_alert(id, settled))
    }

    async fn open_alerts(&self, limit: usize) -> Result<Vec<Alert>, StoreError> {
        reach!(self, open_alerts(limit))
    }

    async fn beat(&self) -> Result<(), StoreError> {
        let asked = Instant::now();
        self.pulse().await?;
        let life = self.hearts.beat(self.own(), asked);
        self.replica.takes_time().await;
        self.replica.gate().await;
        *self.life.lock().unwrap() = life;
        Ok(())
    }

    fn life(&self) -> Option<u64> {
        self.own().sure()
    }

    async fn end_leases_of_the_dead(&self) -> Result<u64, StoreError> {
        self.pulse().await?;
        Ok(self.hearts.end_the_dead(&self.memory))
    }

    async fn ready(&self) -> Result<(), StoreError> {
        reach!(self, ready())
    }

    /// The store is others' as well.
    async fn close(&self) {
        if self.pulse().await.is_ok() {
            self.hearts.end(self.own(), &self.memory);
        }
    }
}
