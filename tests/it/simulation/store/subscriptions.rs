//! The part of the port that keeps subscriptions, reached the same way.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use jiff::Timestamp;
use onward::{
    domain::{Subscriber, Subscription, SubscriptionEvent, SubscriptionStatus, TaskId, subscription::Progress},
    store::{StoreError, SubscriptionStore},
};
use uuid::Uuid;

use super::Reached;

#[async_trait]
impl SubscriptionStore for Reached {
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
}
