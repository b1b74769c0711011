//! The scheduler: publishes what has become due, publishes again what was published and not done in time, and re-arms what the
//! broker itself gave up.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use super::{Endpoints, Relay};
use crate::{
    broker::{Broker, Delivery},
    domain::{TaskId, WakeUp},
    store::{Claim, Store, StoreError},
};

/// The outbox is looked at this often even if nothing asks for it, so that a lost hint costs a moment and not a referral.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// While something that has waited is let go, so that it goes evenly.
const DRAIN_EVERY: Duration = Duration::from_millis(100);
/// A row is ours to publish for this long.
const LEASE: Duration = Duration::from_secs(30);
/// At most so many are published in one go: a broker that lost everything is refilled, not flooded.
const AT_ONCE: usize = 512;
const DEAD_PREFETCH: u16 = 16;
/// What could not be re-armed because the store is away goes back to the broker after this long.
const AGAIN_AFTER: Duration = Duration::from_millis(500);

/// Sees to parcels that a provider's own consumer has rejected: the record must learn that.
#[async_trait]
pub trait Rejections: Send + Sync + 'static {
    /// A parcel of this Task was rejected; the wake-ups that this led to. The same may be said twice.
    ///
    /// # Errors
    /// [`StoreError`] where it could not be stored; it is said again.
    async fn rejected(&self, task: TaskId) -> Result<Vec<WakeUp>, StoreError>;
}

/// See the module's documentation.
pub struct Scheduler {
    /// Where the outbox is.
    pub store: Arc<dyn Store>,
    /// Where what it gave up comes from.
    pub broker: Arc<dyn Broker>,
    /// Who publishes.
    pub relay: Relay,
    /// Which destinations are back, and at what rate what waited for them goes.
    pub endpoints: Endpoints,
    /// How long a published message may stay undone.
    pub republish_after: Duration,
    /// Who sees to rejected parcels.
    pub rejections: Arc<dyn Rejections>,
}

impl Scheduler {
    /// Runs until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        tokio::join!(self.publish_due(&stop), self.rearm_dead(&stop));
    }

    async fn publish_due(&self, stop: &CancellationToken) {
        loop {
            let wait = match self.look().await {
                Ok(wait) => wait,
                Err(error) => {
                    tracing::warn!(%error, "the outbox cannot be read");
                    LOOK_EVERY
                }
            };
            // in this order, so that a simulation runs the same each time
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = self.relay.asked_to_look() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Hands over what is due; says how long nothing will be.
    async fn look(&self) -> Result<Duration, StoreError> {
        let limit = AT_ONCE.min(self.relay.room());
        if limit == 0 {
            return Ok(LOOK_EVERY);
        }
        let shares = self.endpoints.shares(limit).await?;
        let claim = Claim { shares: shares.clone(), lease: LEASE, republish_after: self.republish_after };
        let due = self.store.claim_due(claim).await?;
        let drains = self.endpoints.claimed(&shares, &due.wake_ups).await?;
        let full = due.wake_ups.len() == limit;
        if !due.wake_ups.is_empty() {
            metrics::counter!("onward_wake_ups_due_total").increment(due.wake_ups.len() as u64);
            self.relay.publish_all(due.wake_ups).await;
        }
        if full {
            // the bound on the rate: a batch, a breath, the next
            return Ok(Duration::from_millis(20));
        }
        let at_most = if drains { DRAIN_EVERY } else { LOOK_EVERY };
        let until_next = due.next.map(|next| next.duration_since(self.store.now()));
        let until_next = until_next.map_or(LOOK_EVERY, |d| Duration::try_from(d).unwrap_or(Duration::ZERO));
        Ok(until_next.clamp(Duration::from_millis(5), at_most))
    }

    async fn rearm_dead(&self, stop: &CancellationToken) {
        loop {
            let mut dead = match self.broker.consume_dead(DEAD_PREFETCH).await {
                Ok(dead) => dead,
                Err(error) => {
                    tracing::warn!(%error, "the broker's own dead letters cannot be read");
                    tokio::select! {
                        biased;
                        () = stop.cancelled() => return,
                        () = tokio::time::sleep(Duration::from_secs(5)) => continue,
                    }
                }
            };
            loop {
                let next = tokio::select! { biased; () = stop.cancelled() => return, next = dead.recv() => next };
                let Some(delivery) = next else { break };
                match self.see_to(&delivery).await {
                    Ok(()) => delivery.ack().await,
                    Err(error) => {
                        tracing::warn!(task.id = %delivery.wake_up.task, %error, "what the broker gave up waits for the store");
                        // not at once: it would come back at once, and the store needs the time more than the broker does
                        tokio::select! {
                            biased;
                            () = stop.cancelled() => {}
                            () = tokio::time::sleep(AGAIN_AFTER) => {}
                        }
                        delivery.release().await;
                    }
                }
            }
        }
    }

    async fn see_to(&self, dead: &Delivery) -> Result<(), StoreError> {
        let wake_up = &dead.wake_up;
        if dead.rejected {
            metrics::counter!("onward_alerts_total", "alert" => "rejected-by-consumer").increment(1);
            tracing::error!(task.id = %wake_up.task, inbox.id = wake_up.to, "a provider's consumer rejected a message");
            let wake_ups = self.rejections.rejected(wake_up.task).await?;
            self.relay.publish_all(wake_ups).await;
            return Ok(());
        }
        tracing::warn!(task.id = %wake_up.task, lane = %wake_up.side, "the broker gave up a wake-up; it is re-armed");
        metrics::counter!("onward_broker_dead_letters_total").increment(1);
        self.store.rearm_published(wake_up.message).await?;
        self.relay.look_again();
        Ok(())
    }
}
