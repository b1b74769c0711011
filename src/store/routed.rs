//! What was routed, read again in the order in which it came: for trying other routes on it.

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use uuid::Uuid;

use super::{JournalLine, StoreError, StoredResource, TaskRecord};
use crate::domain::{ReferralId, SystemId, TaskId};

/// Which referrals are read: a page of those that were stored in a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoutedQuery {
    /// Stored at or after.
    pub from: Timestamp,
    /// Stored before.
    pub before: Timestamp,
    /// Only what comes after this one, in the order of time and ids: the cursor of paging.
    pub after: Option<(Timestamp, ReferralId)>,
    /// At most so many.
    pub count: usize,
}

/// What was decided about a referral. Its content lies with the request that brought it ([`Sent`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Routed {
    /// The referral.
    pub id: ReferralId,
    /// Logical id of its ServiceRequest here.
    pub request: Uuid,
    /// Who sent it.
    pub system: SystemId,
    /// When it was stored.
    pub at: Timestamp,
    /// The request that brought it.
    pub submission: Uuid,
    /// How many bytes that has.
    pub bytes: u64,
    /// What was decided, as JSON.
    pub decision: String,
}

/// A request to refer, as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// Identifies it.
    pub id: Uuid,
    /// Media type of `original`.
    pub content_type: String,
    /// Its body.
    pub original: Bytes,
    /// Where each of its resources lies, as [`crate::store::Submission::answer`].
    pub answer: String,
}

impl RoutedQuery {
    /// What the page begins after, in time and id.
    pub(super) fn begins_after(&self) -> (i64, Uuid) {
        match self.after {
            Some((at, id)) => (at.as_microsecond(), id.0),
            None => (self.from.as_microsecond().saturating_sub(1), Uuid::max()),
        }
    }
}

/// The part of the port that reads it. Its behaviours are in the same suite (`tests/it/store/routed.rs`).
#[async_trait]
pub trait RoutedStore: Send + Sync + 'static {
    /// So many referrals were stored at or after the one time and before the other.
    async fn count_routed(&self, from: Timestamp, before: Timestamp) -> Result<u64, StoreError>;

    /// Referrals in the order in which they were stored, with what was decided about each.
    async fn routed(&self, query: RoutedQuery) -> Result<Vec<Routed>, StoreError>;

    /// These requests to refer, as they came, in any order.
    async fn sent(&self, submissions: Vec<Uuid>) -> Result<Vec<Sent>, StoreError>;

    /// The first versions of what came with these referrals, as far as their sender has a name for it
    /// ([`super::NewResource::origin`]), in the order of referrals and ids.
    async fn named_at_first(&self, referrals: Vec<ReferralId>) -> Result<Vec<StoredResource>, StoreError>;

    /// Tasks of referrals in the order in which these were stored, each with when that was: what only follows others
    /// ([`TaskRecord::is_parent`]) as well. The query counts referrals, so that none is torn apart.
    async fn tasks_routed(&self, query: RoutedQuery) -> Result<Vec<(Timestamp, TaskRecord)>, StoreError>;

    /// What providers answered to these Tasks: the lines `answered` of their journals, in any order of Tasks, each Task's in its own.
    async fn answers_of(&self, tasks: Vec<TaskId>) -> Result<Vec<(TaskId, JournalLine)>, StoreError>;
}
