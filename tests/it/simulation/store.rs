//! The store as a replica reaches it: over a way on which calls and answers are lost and come late.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use jiff::Timestamp;
use onward::{
    domain::{InboxId, ReferralId, SystemId, TaskId},
    store::{
        Append, AppendError, Appended, Attempt, JournalLine, JournalPage, JournalQuery, Parties, Store, StoreError,
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

mod alerts;
mod colleagues;
mod directory;
mod heard;
mod lanes;
mod measured;
mod notices;
mod people;
mod routed;
mod routes;
mod subscriptions;
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

    async fn journal(&self, task: TaskId) -> Result<Vec<JournalLine>, StoreError> {
        reach!(self, journal(task))
    }

    async fn find_journal(&self, query: JournalQuery) -> Result<JournalPage, StoreError> {
        reach!(self, find_journal(query))
    }

    async fn attempts(&self, task: TaskId) -> Result<Vec<Attempt>, StoreError> {
        reach!(self, attempts(task))
    }

    async fn claim_deadlines(&self, limit: usize, lease: Duration) -> Result<Vec<TaskRecord>, StoreError> {
        reach!(self, claim_deadlines(limit, lease))
    }

    async fn troubled(&self, after: Option<(Timestamp, TaskId)>, count: usize) -> Result<Vec<Troubled>, StoreError> {
        reach!(self, troubled(after, count))
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
