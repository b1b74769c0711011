//! What was routed, read again in the order in which it came: for trying other routes on it.

use bytes::Bytes;
use jiff::Timestamp;
use uuid::Uuid;

use crate::domain::{ReferralId, SystemId};

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
