//! The relay: publishes fresh wake-ups from memory, many in flight, and marks in the store what the broker has confirmed.
//!
//! Whatever it cannot publish stays in the outbox and is found by the scheduler, so it may drop a wake-up and never blocks the
//! one who stored it.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::{
    sync::{Notify, mpsc},
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{broker::Broker, domain::WakeUp, store::Store};

const QUEUE_MAX: usize = 8192;
const IN_FLIGHT_MAX: usize = 256;
/// A wake-up is tried from memory for less time than its lease lasts; after that it is the scheduler's.
const KEEP_TRYING: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(250);

/// See the module's documentation. Cheap to clone.
#[derive(Clone)]
pub struct Relay {
    queue: mpsc::Sender<WakeUp>,
    look: Arc<Notify>,
}

impl Relay {
    /// Starts it; it ends with `stop`.
    pub fn start(
        store: Arc<dyn Store>,
        broker: Arc<dyn Broker>,
        stop: CancellationToken,
    ) -> (Self, tokio::task::JoinHandle<()>) {
        let (queue, waiting) = mpsc::channel(QUEUE_MAX);
        let relay = Self { queue, look: Arc::new(Notify::new()) };
        let task = tokio::spawn(run(store, broker, waiting, stop));
        (relay, task)
    }

    /// Has these published. What there is no room for is left to the scheduler.
    pub async fn publish_all(&self, wake_ups: Vec<WakeUp>) {
        for wake_up in wake_ups {
            if self.queue.try_send(wake_up).is_err() {
                metrics::counter!("onward_relay_left_to_scheduler_total").increment(1);
            }
        }
    }

    /// Tells the scheduler that something may be due sooner than it thinks.
    pub fn look_again(&self) {
        self.look.notify_one();
    }

    /// Waits until [`Relay::look_again`] is called.
    pub(super) async fn asked_to_look(&self) {
        self.look.notified().await;
    }

    /// How many more wake-ups it takes just now.
    pub(super) fn room(&self) -> usize {
        self.queue.capacity()
    }
}

async fn run(
    store: Arc<dyn Store>,
    broker: Arc<dyn Broker>,
    mut waiting: mpsc::Receiver<WakeUp>,
    stop: CancellationToken,
) {
    let mut in_flight = FuturesUnordered::new();
    let mut confirmed: Vec<Uuid> = Vec::new();
    loop {
        tokio::select! {
            biased;
            Some(result) = in_flight.next(), if !in_flight.is_empty() => confirmed.extend::<Option<Uuid>>(result),
            next = waiting.recv(), if in_flight.len() < IN_FLIGHT_MAX => match next {
                Some(wake_up) => in_flight.push(publish(&*broker, wake_up)),
                None => break,
            },
            () = stop.cancelled() => break,
        }
        // one commit for all that was confirmed while the last one was made
        while let Some(Some(result)) = futures_util::FutureExt::now_or_never(in_flight.next()) {
            confirmed.extend(result);
        }
        if !confirmed.is_empty()
            && let Err(error) = store.mark_published(std::mem::take(&mut confirmed)).await
        {
            // they will be published once more, and turned away as already sent
            tracing::warn!(%error, "confirmed wake-ups could not be marked");
        }
    }
}

/// Publishes one, for as long as its lease allows. The id, if the broker confirmed it.
async fn publish(broker: &dyn Broker, wake_up: WakeUp) -> Option<Uuid> {
    let until = Instant::now() + KEEP_TRYING;
    loop {
        match broker.publish(&wake_up).await {
            Ok(()) => {
                metrics::counter!("onward_messages_published_total", "lane" => wake_up.side.code()).increment(1);
                return Some(wake_up.message);
            }
            Err(error) if Instant::now() + PAUSE < until => {
                tracing::debug!(%error, "a wake-up waits for the broker");
                tokio::time::sleep(PAUSE).await;
            }
            Err(error) => {
                tracing::warn!(%error, message.id = %wake_up.message, "a wake-up is left to the scheduler");
                return None;
            }
        }
    }
}
