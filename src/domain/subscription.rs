//! Subscriptions: who wants to be told of changes, and how far that has come.

use std::{fmt, str::FromStr};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    ids::{ProviderId, SystemId, TaskId},
    status::{UnknownCode, codes},
};

codes! {
    /// `Subscription.status` (R4 subscription-status).
    SubscriptionStatus {
        /// Made; its channel has not answered the handshake yet.
        Requested = "requested",
        /// Notifications go out.
        Active = "active",
        /// Its channel failed for longer than is retried. Whoever made it asks for it anew by `requested`.
        Error = "error",
        /// Whoever made it wants nothing at present.
        Off = "off",
    }
}

/// Who made a subscription: whose referrals it is told of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subscriber {
    /// An originating system: of what it sent.
    System(SystemId),
    /// A provider: of what was routed to it.
    Provider(ProviderId),
}

/// What is no subscriber.
#[derive(Debug, Clone, thiserror::Error)]
#[error("no subscriber")]
pub struct NoSubscriber;

/// A subscription as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Subscription {
    /// Its logical id.
    pub id: Uuid,
    /// Who made it.
    pub owner: Subscriber,
    /// Its `meta.versionId`: grows with each change by its owner, and with each of its status.
    pub version: u64,
    /// When that was.
    pub last_updated: Timestamp,
    /// How it is with it.
    pub status: SubscriptionStatus,
    /// The resource as its owner wrote it, JSON.
    pub body: String,
    /// Changes up to here have been taken up.
    pub seen_until: Timestamp,
    /// The number of its newest event; each is one greater than the one before.
    pub events: u64,
    /// What was sent of them.
    pub progress: Progress,
    /// Shown by whoever attends to it; grows with each who does and with each change by its owner.
    pub lease: u64,
}

/// How far the notifications of a subscription have come.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// The number of the newest event that its channel has.
    pub sent: u64,
    /// Tries of the next notification that failed.
    pub attempts: u32,
    /// Since when they fail.
    pub failing_since: Option<Timestamp>,
    /// When a notification was last taken.
    pub last_sent: Option<Timestamp>,
    /// When the next is due, where that is later than now.
    pub next: Option<Timestamp>,
    /// Why the last try failed.
    pub why: Option<String>,
}

/// A change of a Task that a subscription is told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SubscriptionEvent {
    /// From 1, without gaps.
    pub number: u64,
    /// The Task.
    pub task: TaskId,
    /// Its version.
    pub version: u64,
    /// When that was made.
    pub at: Timestamp,
}

impl Progress {
    /// The same, with what failed forgotten.
    #[must_use]
    pub fn afresh(&self) -> Self {
        Self { attempts: 0, failing_since: None, next: None, why: None, ..self.clone() }
    }
}

impl fmt::Display for Subscriber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System(id) => write!(f, "system:{id}"),
            Self::Provider(id) => write!(f, "provider:{id}"),
        }
    }
}

impl FromStr for Subscriber {
    type Err = NoSubscriber;

    fn from_str(text: &str) -> Result<Self, NoSubscriber> {
        match text.split_once(':') {
            Some(("system", id)) => id.parse().map(Self::System).map_err(|_| NoSubscriber),
            Some(("provider", id)) => id.parse().map(Self::Provider).map_err(|_| NoSubscriber),
            _ => Err(NoSubscriber),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subscriber_is_read_as_it_is_written() {
        for text in ["system:mersey-epr", "provider:mind"] {
            assert_eq!(text.parse::<Subscriber>().unwrap().to_string(), text);
        }
        for bad in ["", "mind", "system:", "operator:x", "provider:A B"] {
            assert!(bad.parse::<Subscriber>().is_err(), "{bad}");
        }
    }
}
