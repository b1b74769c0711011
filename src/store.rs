//! The `Store` port: where referrals, their Tasks, the journal, the lanes and the outbox are kept.
//!
//! It stores what `domain` decided and decides nothing itself. Whatever belongs together is one call and one commit; a call
//! that returns `Ok` has been made durable. Leases and due times go by the store's clock.

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use crate::domain::{
    Actor, Destination, Event, InboxId, ProviderId, ReferralId, Side, SystemId, TaskId, TaskStatus, WakeUp,
    deadline::RouteTerms, task::TaskState,
};

mod asked;
mod chain;
mod colleagues;
pub(crate) mod counts;
mod directory;
mod heard;
mod lanes;
mod looked_for;
#[cfg(test)]
pub(crate) mod made;
mod measured;
mod namesakes;
mod notices;
mod own_test;
mod people;
pub mod postgres;
pub(crate) mod recent;
mod routed;
mod routes;
mod share;
pub mod sqlite;
mod step;
mod submission;
mod subscriptions;
pub(crate) mod tokens;
mod trouble;
mod turns;

pub use asked::AskedBy;
pub use colleagues::{COLLEAGUES_MAX, Colleague, ColleagueStore};
pub use directory::{
    DIRECTORY_BODY_MAX_BYTES, DIRECTORY_SOURCE_MAX_BYTES, DIRECTORY_WRITES_MAX, Decided, Decision, DirectoryEntry,
    DirectoryError, DirectoryRewrite, DirectoryStore, DirectoryWrite, NewProposal, PROPOSALS_PENDING_MAX, Proposal,
    ProposalQuery, Sourced,
};
pub use heard::HeardStore;
pub use lanes::LaneStore;
pub use looked_for::{FoundLine, JournalCursor, JournalPage, JournalQuery};
pub use measured::MeasuredStore;
pub use namesakes::NAMESAKES_MAX;
pub use notices::NoticeStore;
pub use own_test::is_own_test;
pub use people::{
    ACCOUNTS_MAX, Account, AccountAt, AccountDeed, AccountName, AccountNote, Credentials, Digest, Enrolment, Failures,
    Glass, LOGINS_MAX, PeopleStore, SESSIONS_MAX, Session,
};
pub use routed::{Routed, RoutedQuery, RoutedStore, Sent};
pub use routes::{
    ActivateError, Activation, NewRoutes, ROUTES_FILES_MAX_BYTES, ROUTES_TEXT_MAX_BYTES, RouteStore, RoutesVersion,
    Signed,
};
pub use share::{Claim, Share, Shares, StoredBreaker};
pub use step::{Append, Appended, LaneHead, LaneState, NewVersion, Poll, ResourceKey, Settle, Settled};
pub use submission::{NewEvent, NewReferral, NewResource, NewTask, Submission, Submit, Submitted};
pub use subscriptions::{EVENTS_KEPT, SubscriptionStore};
pub use tokens::{AccessToken, TokenStore, UsedAssertion};
pub use trouble::{AlertSettled, AlertStore, DeadLetter, DeadQuery, StoredAlert, Troubled};
pub use turns::turn;

/// A process that serves says this often that it lives.
pub const BEAT_EVERY: Duration = Duration::from_millis(500);
/// One that has not said so for this long must take it that others go on with what it holds: it sends nothing any more.
pub const BEAT_MISSED: Duration = Duration::from_millis(2_500);
/// Others end the leases of one that has not said so for this long.
pub const DEAD_AFTER: Duration = Duration::from_secs(3);

/// What a list says of a referral is in these.
pub const GIST: [&str; 3] = ["ServiceRequest", "Patient", "Flag"];

/// Where a request is looked for by its client's id, so many lines of the journal are looked at: the search is rare, and an index of every
/// such id would be written with every referral.
pub const LINES_LOOKED_AT_MAX: usize = 100_000;

/// Why the store could not do what was asked. Never about the content of a request.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// It cannot be reached, is full, or did not answer; whether the commit happened is unknown.
    #[error("the store is not available: {0}")]
    Unavailable(String),
    /// What it holds cannot be read back.
    #[error("the store holds something unreadable: {0}")]
    Corrupt(String),
}

/// Why an [`Append`] was not stored. Nothing of it was.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AppendError {
    /// Something else happened to the Task in between: read it again and decide again.
    #[error("the task has moved on")]
    Moved,
    /// The lane is no longer leased under this token, its message is already settled, or [`Append::unsent`] does not hold.
    #[error("the lane is in other hands")]
    LeaseLost,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A Task with what its handling needs.
#[derive(Debug, Clone)]
pub struct TaskRecord {
    /// Its id.
    pub id: TaskId,
    /// The referral it belongs to.
    pub referral: ReferralId,
    /// The originating system.
    pub system: SystemId,
    /// Logical id of the ServiceRequest here.
    pub request: Uuid,
    /// Logical id of the ServiceRequest in the originating record, where known.
    pub origin: Option<String>,
    /// The placer identifier as `system|value`.
    pub identifier: Option<String>,
    /// Version of the route set that decided.
    pub route_set: String,
    /// Where it was routed.
    pub inbox: InboxId,
    /// Whose inbox that is.
    pub provider: ProviderId,
    /// The Task that it is a part of, where its referral has several targets.
    pub part_of: Option<TaskId>,
    /// What the route that decided says of the time its provider has.
    pub terms: RouteTerms,
    /// The Task of another referral of the same person that was open in the same inbox when this one came: its provider's to
    /// know, not its sender's.
    pub beside: Option<TaskId>,
    /// What the state machine looks at.
    pub state: TaskState,
    /// Seq of the newest journal event.
    pub seq: u64,
    /// Seq of the newest event that changed the Task's content: its `meta.versionId`.
    pub version: u64,
    /// Seq of the newest change that was not our own bookkeeping. An `If-Match` from here up to `version` is not stale.
    pub answered: u64,
    /// When it was made.
    pub created: Timestamp,
    /// When its content last changed.
    pub last_updated: Timestamp,
}

impl TaskRecord {
    /// Whether it is the parent of those of several targets: nobody's to work on.
    pub fn is_parent(&self) -> bool {
        self.inbox.is_of_parent()
    }
}

/// As what a Task is there, without what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TaskHead {
    /// Its id.
    pub id: TaskId,
    /// See [`TaskRecord::version`].
    pub version: u64,
    /// When its content last changed.
    pub last_updated: Timestamp,
}

/// One version of a stored FHIR resource.
#[derive(Debug, Clone)]
pub struct StoredResource {
    /// Its type.
    pub kind: String,
    /// Its logical id.
    pub id: Uuid,
    /// Its `meta.versionId`.
    pub version: u64,
    /// Its `meta.lastUpdated`.
    pub last_updated: Timestamp,
    /// The referral it belongs to.
    pub referral: ReferralId,
    /// What its sender calls it; see [`NewResource::origin`].
    pub origin: Option<String>,
    /// The Task whose parties alone it concerns; none where it is all of the referral's.
    pub task: Option<TaskId>,
    /// Whether this version came after the referral itself.
    pub later: bool,
    /// The resource as JSON, as it was stored.
    pub body: String,
}

/// Who has to do with a referral.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parties {
    /// Who sent it.
    pub system: SystemId,
    /// To whom it was routed.
    pub providers: Vec<ProviderId>,
}

/// A line of the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalLine {
    /// Its place in the Task's journal, from 1.
    pub seq: u64,
    /// When it happened.
    pub at: Timestamp,
    /// Who did it.
    pub actor: Actor,
    /// What happened.
    pub event: Event,
    /// By what the client knows the request that it came of.
    pub asked_by: Option<AskedBy>,
}

/// One try to send a lane message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// The lane.
    pub side: Side,
    /// The seq of the event it carries.
    pub of: u64,
    /// When it began.
    pub at: Timestamp,
    /// How long it took.
    pub duration: Duration,
    /// Where it went, without credentials.
    pub endpoint: String,
    /// What came of it: `delivered`, `deferred` or `refused`.
    pub result: String,
    /// Why, where it failed; no patient data.
    pub why: Option<String>,
}

/// A search over Tasks. Every condition given must hold; a list matches by any of its values.
#[derive(Debug, Clone, Default)]
pub struct TaskQuery {
    /// Only Tasks of referrals these systems sent, or …
    pub systems: Vec<SystemId>,
    /// … that were routed to these providers. Both empty finds nothing.
    pub providers: Vec<ProviderId>,
    /// Task ids.
    pub ids: Option<Vec<Uuid>>,
    /// Owners.
    pub owners: Option<Vec<ProviderId>>,
    /// Statuses.
    pub statuses: Option<Vec<TaskStatus>>,
    /// ServiceRequest ids.
    pub requests: Option<Vec<Uuid>>,
    /// Referrals.
    pub referrals: Option<Vec<ReferralId>>,
    /// Changed at or after.
    pub from: Option<Timestamp>,
    /// Changed before.
    pub before: Option<Timestamp>,
    /// In the order of their last change, and of ids where that is the same; otherwise in the order of ids. Of ServiceRequests, and
    /// then `from` and `before` as well, only for what systems sent.
    pub by_change: bool,
    /// Backwards.
    pub descending: bool,
    /// Only what comes after this one in that order: the cursor of paging.
    pub after: Option<TaskId>,
    /// When that one was changed last, where that orders.
    pub after_change: Option<Timestamp>,
    /// At most so many.
    pub count: usize,
}

/// What of one side's messages is not done, for one inbox or originating system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backlog {
    /// Which side.
    pub side: Side,
    /// The inbox or originating system.
    pub to: String,
    /// Messages that will be tried, now or later.
    pub waiting: u64,
    /// When the oldest of those came.
    pub oldest: Option<Timestamp>,
    /// Dead letters.
    pub dead: u64,
}

/// Messages of one side for one destination whose tries fail: tried in vain at least twice, or once and not to be tried again within
/// [`HICCUP_MAX`]. One that failed once and goes at the next try is nobody's to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failing {
    /// Which.
    pub of: Destination,
    /// How many; what waits behind them in their lanes is not counted.
    pub count: u64,
    /// When the oldest of them came.
    pub oldest: Timestamp,
    /// When the first of them is tried again; not later than now: it is being tried.
    pub next: Timestamp,
    /// Why the last try failed, without content.
    pub why: String,
}

/// A message that failed once and is tried again within so long is not told of.
pub const HICCUP_MAX: SignedDuration = SignedDuration::from_mins(1);

/// Wake-ups that are due, and when to look again.
#[derive(Debug, Clone, Default)]
pub struct Due {
    /// To be published by the caller, who holds them under a lease.
    pub wake_ups: Vec<WakeUp>,
    /// When the next pending one is due, if one is waiting, leases of others included. What the broker lost is not in it: look
    /// again now and then all the same.
    pub next: Option<Timestamp>,
}

/// The port. Two implementations must pass the same behavioural suite (`tests/it/store.rs`).
#[async_trait]
pub trait Store:
    LaneStore
    + RoutedStore
    + MeasuredStore
    + AlertStore
    + SubscriptionStore
    + RouteStore
    + DirectoryStore
    + TokenStore
    + PeopleStore
    + NoticeStore
    + HeardStore
    + ColleagueStore
{
    /// The store's clock.
    fn now(&self) -> Timestamp;

    /// Stores a request's referrals, or finds them stored. A key that a request names twice counts as known the second time.
    async fn submit(&self, submission: Submission) -> Result<Submit, StoreError>;

    /// What was stored under a system's business key, with the digest of its content.
    async fn submitted(&self, system: &SystemId, key: &str) -> Result<Option<(Submitted, [u8; 32])>, StoreError>;

    /// Stores a step in a Task's life.
    async fn append(&self, append: Append) -> Result<Appended, AppendError>;

    /// Stores steps of several Tasks of one referral in one commit or not at all, and what came of each in their order.
    async fn append_together(&self, steps: Vec<Append>) -> Result<Vec<Appended>, AppendError>;

    /// The resource that this author sent under this key, and the digest of its content.
    async fn keyed(&self, author: &str, key: &str) -> Result<Option<(Uuid, [u8; 32])>, StoreError>;

    /// A Task.
    async fn task(&self, id: TaskId) -> Result<Option<TaskRecord>, StoreError>;

    /// Tasks by what a person has in hand: a Task id, a ServiceRequest id, a referral's id as alerts say it, or a placer identifier
    /// `system|value`.
    async fn find_tasks(&self, key: &str) -> Result<Vec<TaskRecord>, StoreError>;

    /// Tasks of which something came of a request that its client knows by this id ([`AskedBy::request`]), the oldest first and at most so
    /// many; as far as they are among the newest, whose journals have [`LINES_LOOKED_AT_MAX`] lines together.
    async fn tasks_asked_by(&self, request: &str, count: usize) -> Result<Vec<TaskRecord>, StoreError>;

    /// Referrals to which a resource or a Task with one of these ids belongs, or which are known by one of these names, as far as they
    /// concern the systems and providers of the query, and at most as many as its count.
    async fn referrals_of(
        &self,
        query: TaskQuery,
        ids: Vec<Uuid>,
        names: Vec<String>,
    ) -> Result<Vec<ReferralId>, StoreError>;

    /// Open Tasks in these inboxes, the newest first, of referrals that are known by one of these names, each with the current
    /// ServiceRequest and Patients of its referral: whose they are is for the caller to see. For each name no more than the newest
    /// [`NAMESAKES_MAX`] referrals are looked at, and no more than `count` Tasks are given.
    async fn open_by_name(
        &self,
        names: Vec<String>,
        inboxes: Vec<InboxId>,
        count: usize,
    ) -> Result<Vec<(TaskRecord, Vec<StoredResource>)>, StoreError>;

    /// Tasks with their current content, in the order that the query asks for.
    async fn search_tasks(&self, query: TaskQuery) -> Result<Vec<(TaskRecord, StoredResource)>, StoreError>;

    /// The same without what they hold: whoever has most of it already asks what is new first.
    async fn task_heads(&self, query: TaskQuery) -> Result<Vec<TaskHead>, StoreError> {
        let found = self.search_tasks(query).await?;
        let head = |(task, _): &(TaskRecord, StoredResource)| TaskHead {
            id: task.id,
            version: task.version,
            last_updated: task.last_updated,
        };
        Ok(found.iter().map(head).collect())
    }

    /// ServiceRequests by placer identifier (`system|value`), id or referral, of these systems or providers, in the order of their ids.
    async fn find_requests(
        &self,
        query: TaskQuery,
        identifiers: Option<Vec<String>>,
    ) -> Result<Vec<StoredResource>, StoreError>;

    /// A version of a resource, the current one if none is named, with those whom it concerns: who has to do with its referral, or,
    /// where it is one Task's, with that.
    async fn resource(
        &self,
        kind: &str,
        id: Uuid,
        version: Option<u64>,
    ) -> Result<Option<(StoredResource, Parties)>, StoreError>;

    /// The current versions of the resources of these types and ids, each once and in no order; nothing of what is not there. Whom they
    /// concern is not looked up: for that there must be another way to know.
    async fn named(&self, names: Vec<(String, Uuid)>) -> Result<Vec<StoredResource>, StoreError> {
        let mut all = BTreeMap::new();
        for (kind, id) in names {
            if let Some((stored, _)) = self.resource(&kind, id, None).await? {
                all.insert((kind, id), stored);
            }
        }
        Ok(all.into_values().collect())
    }

    /// A version of a Task as JSON, as it was stored. Asked for many times while a Task is on its way: an implementation may have
    /// it in memory.
    async fn task_version(&self, task: TaskId, version: u64) -> Result<Option<String>, StoreError> {
        Ok(self.resource("Task", task.0, Some(version)).await?.map(|(stored, _)| stored.body))
    }

    /// All versions of a resource, oldest first.
    async fn versions(&self, kind: &str, id: Uuid) -> Result<Vec<StoredResource>, StoreError>;

    /// The current version of every resource of a referral, its Tasks apart.
    async fn resources_of(&self, referral: ReferralId) -> Result<Vec<StoredResource>, StoreError>;

    /// What a list says of these referrals: the current version of their ServiceRequests, Patients and Flags, those of one Task alone apart.
    async fn gist_of(&self, referrals: Vec<ReferralId>) -> Result<Vec<StoredResource>, StoreError> {
        let mut all = Vec::new();
        for referral in referrals {
            let gist = |stored: &StoredResource| GIST.contains(&stored.kind.as_str()) && stored.task.is_none();
            all.extend(self.resources_of(referral).await?.into_iter().filter(gist));
        }
        Ok(all)
    }

    /// What was decided at routing, as JSON.
    async fn decision_of(&self, referral: ReferralId) -> Result<Option<String>, StoreError>;

    /// The journal of a Task.
    async fn journal(&self, task: TaskId) -> Result<Vec<JournalLine>, StoreError>;

    /// Lines of the journals of all Tasks, the newest first.
    async fn find_journal(&self, query: JournalQuery) -> Result<JournalPage, StoreError>;

    /// Every try to send a message of a Task.
    async fn attempts(&self, task: TaskId) -> Result<Vec<Attempt>, StoreError>;

    /// Tasks of which something is due by their deadlines ([`TaskState::next_deadline`]); each is the caller's for `lease`, or until
    /// a step is stored.
    async fn claim_deadlines(&self, limit: usize, lease: Duration) -> Result<Vec<TaskRecord>, StoreError>;

    /// Tasks that are `delivery-delayed`, `not-opened`, `overdue` or `copy-unreadable` and not seen to, longest first; only those
    /// after the one with this time and id.
    async fn troubled(&self, after: Option<(Timestamp, TaskId)>, count: usize) -> Result<Vec<Troubled>, StoreError>;

    /// Says that this process lives; called every [`BEAT_EVERY`] while it serves. One that was taken for dead begins anew: what it
    /// held is not its any more.
    async fn beat(&self) -> Result<(), StoreError>;

    /// The life in which this process is; none while others may have taken it for dead, because it did not beat for
    /// [`BEAT_MISSED`]. One that was ended begins another. What it set out to send in one life it must not send in a later one:
    /// others may be sending it.
    fn life(&self) -> Option<u64>;

    /// Whether nobody can have taken this process for dead.
    fn may_send(&self) -> bool {
        self.life().is_some()
    }

    /// Ends the leases of processes that did not beat for [`DEAD_AFTER`], so that what they held is due at once. How many things
    /// were freed.
    async fn end_leases_of_the_dead(&self) -> Result<u64, StoreError>;

    /// Whether it can be written to.
    async fn ready(&self) -> Result<(), StoreError>;

    /// Ends it: what was begun is finished first.
    async fn close(&self);
}
