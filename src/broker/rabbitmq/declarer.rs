//! Makes queues be there: at first, when RabbitMQ has lost one, and when one takes nothing any more.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Mutex as AsyncMutex, OwnedMutexGuard, Semaphore, broadcast},
    time::{Instant, sleep, timeout},
};

use super::{
    link::Link,
    topology::{self, Source},
};
use crate::broker::{BrokerError, Depth, Queue};

const DECLARE_TIMEOUT: Duration = Duration::from_secs(60);
/// RabbitMQ asks a queue without a leader for some seconds before it deletes it without.
const DELETE_TIMEOUT: Duration = Duration::from_secs(30);
const PROOF_TIMEOUT: Duration = Duration::from_secs(5);
/// Queues made again that a consumer may not have heard of yet; one that misses some sets itself up again.
const REMADE_MAX: usize = 64;

/// When a queue was last made again; held by whoever does it.
type Made = Arc<AsyncMutex<Option<Instant>>>;

/// See the module's documentation.
pub(super) struct Declarer {
    link: Link,
    delivery_limit: u32,
    patience: Duration,
    setups: Arc<Semaphore>,
    made: Mutex<HashMap<Source, Made>>,
    remade: broadcast::Sender<Queue>,
}

impl Declarer {
    /// One that declares over `link`, for which it waits `patience`, as one of the few that `setups` lets do so at once.
    pub(super) fn new(link: Link, delivery_limit: u32, patience: Duration, setups: Arc<Semaphore>) -> Self {
        let remade = broadcast::Sender::new(REMADE_MAX);
        Self { link, delivery_limit, patience, setups, made: Mutex::default(), remade }
    }

    /// Queues that are made again from now on.
    pub(super) fn remade(&self) -> broadcast::Receiver<Queue> {
        self.remade.subscribe()
    }

    /// Declares these.
    pub(super) async fn declare(&self, sources: &[Source]) -> Result<(), BrokerError> {
        let live = self.link.live_within(self.patience).await?;
        let work = topology::declare(&live.connection, sources, self.delivery_limit);
        timeout(DECLARE_TIMEOUT, work).await.map_err(|_| BrokerError::TimedOut)?
    }

    /// How much lies in these queues, where there is a connection just now.
    pub(super) async fn depths(&self, queues: &[String]) -> Result<Vec<Depth>, BrokerError> {
        let state = self.link.state();
        let live = state.live.ok_or(BrokerError::Away(state.detail))?;
        let work = topology::depths(&live.connection, queues);
        timeout(DECLARE_TIMEOUT, work).await.map_err(|_| BrokerError::TimedOut)?
    }

    /// Declares a queue that returned a message sent at `sent`; once, however many of its messages came back. Whether it was
    /// done now.
    pub(super) async fn again(&self, source: &Source, sent: Instant) -> Result<bool, BrokerError> {
        let Some(made) = self.unless_made_since(source, sent).await else { return Ok(false) };
        tracing::warn!(queue = source.name(), "RabbitMQ does not know the queue; it is declared again");
        self.make(source, made).await.map(|()| true)
    }

    /// Makes a queue anew that took nothing since `silent`, once the broker has shown that it takes what others are sent. What lay
    /// in it is published again from the outbox, so this is for wake-ups alone. Whether it was done now.
    pub(super) async fn anew(&self, queue: &Queue, silent: Instant) -> Result<bool, BrokerError> {
        let source = Source::Of(queue.clone());
        let Some(made) = self.unless_made_since(&source, silent).await else { return Ok(false) };
        let live = self.link.live_within(self.patience).await?;
        timeout(PROOF_TIMEOUT, topology::prove(&live.connection)).await.map_err(|_| BrokerError::TimedOut)??;
        metrics::counter!("onward_alerts_total", "alert" => "queue-made-anew").increment(1);
        tracing::error!(
            queue = queue.name(),
            "the queue takes nothing though RabbitMQ does: it is made anew, and what waited in it is published again"
        );
        let deletion = topology::delete(&live.connection, &source);
        timeout(DELETE_TIMEOUT, deletion).await.map_err(|_| BrokerError::TimedOut)??;
        self.make(&source, made).await.map(|()| true)
    }

    async fn unless_made_since(&self, source: &Source, then: Instant) -> Option<OwnedMutexGuard<Option<Instant>>> {
        let made = {
            let mut all = self.made.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(all.entry(source.clone()).or_default())
        };
        Some(made.lock_owned().await).filter(|made| made.is_none_or(|last| last < then))
    }

    async fn make(&self, source: &Source, mut made: OwnedMutexGuard<Option<Instant>>) -> Result<(), BrokerError> {
        sleep(topology::AFTER_DELETION).await;
        let _one_of_few = self.setups.acquire().await;
        self.declare(std::slice::from_ref(source)).await?;
        *made = Some(Instant::now());
        if let Source::Of(queue) = source {
            let _ = self.remade.send(queue.clone());
        }
        Ok(())
    }
}
