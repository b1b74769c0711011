//! Subscriptions and their events.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use onward::{
    domain::{Subscriber, Subscription, SubscriptionEvent, SubscriptionStatus, TaskId, subscription::Progress},
    store::{EVENTS_KEPT, Store, StoreError, SubscriptionStore},
};
use uuid::Uuid;

use super::{Attended, Memory};

#[async_trait]
impl SubscriptionStore for Memory {
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
}
