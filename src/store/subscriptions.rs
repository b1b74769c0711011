//! Subscriptions: who wants to be told of changes, and the events that wait for them.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use uuid::Uuid;

use super::StoreError;
use crate::domain::{Subscriber, Subscription, SubscriptionEvent, SubscriptionStatus, TaskId, subscription::Progress};

/// So many events of a subscription are kept after they were sent.
pub const EVENTS_KEPT: u64 = 10_000;

/// The part of the port that keeps them. Its behaviours are in the same suite (`tests/it/store/subscriptions.rs`).
#[async_trait]
pub trait SubscriptionStore: Send + Sync + 'static {
    /// Keeps a subscription that was not there before.
    async fn add_subscription(&self, subscription: Subscription) -> Result<(), StoreError>;

    /// A subscription.
    async fn subscription(&self, id: Uuid) -> Result<Option<Subscription>, StoreError>;

    /// Those of one owner, in the order of their ids.
    async fn subscriptions(&self, owner: &Subscriber) -> Result<Vec<Subscription>, StoreError>;

    /// Its owner writes it anew, over this version: it is attended to at once, by whoever comes next, and what failed before is
    /// forgotten. One that was off is told of what happens from now on, any other of what it missed. False, and nothing is changed,
    /// where it has another version.
    async fn rewrite_subscription(
        &self,
        id: Uuid,
        over: u64,
        status: SubscriptionStatus,
        body: String,
    ) -> Result<bool, StoreError>;

    /// Forgets it and its events.
    async fn remove_subscription(&self, id: Uuid) -> Result<(), StoreError>;

    /// Subscriptions that are requested or active and that nobody attends to; each is the caller's for `lease`.
    async fn claim_subscriptions(&self, limit: usize, lease: Duration) -> Result<Vec<Subscription>, StoreError>;

    /// Numbers the changes that it was not told of yet, in this order, and notes that all up to `seen_until` were taken up. The number
    /// of its newest event; none where it is in other hands.
    async fn take_up(
        &self,
        id: Uuid,
        lease: u64,
        changes: Vec<(TaskId, u64, Timestamp)>,
        seen_until: Timestamp,
    ) -> Result<Option<u64>, StoreError>;

    /// Notes how far it has come and how it is with it. With a time `until` the caller goes on with it up to then; otherwise whoever
    /// comes next does, from [`Progress::next`] on. Of what was sent the newest [`EVENTS_KEPT`] stay. False where it is in other hands.
    async fn settle_subscription(
        &self,
        id: Uuid,
        lease: u64,
        status: SubscriptionStatus,
        progress: Progress,
        until: Option<Duration>,
    ) -> Result<bool, StoreError>;

    /// Its events from one number to another, both included.
    async fn subscription_events(&self, id: Uuid, from: u64, to: u64) -> Result<Vec<SubscriptionEvent>, StoreError>;
}
