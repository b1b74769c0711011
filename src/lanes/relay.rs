//! The relay: publishes fresh wake-ups from memory, many in flight, and marks in the store what the broker has confirmed and nobody
//! has settled a moment later.
//!
//! Whatever it cannot publish stays in the outbox and is found by the scheduler, so it may drop a wake-up and never blocks the
//! one who stored it.

mod marks;

use std::{
    collections::HashMap,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::{FutureExt as _, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use tokio::{
    sync::{Notify, mpsc},
    time::{Instant, MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use self::marks::Marks;
use crate::{
    broker::{Broker, BrokerError, Queue},
    domain::WakeUp,
    store::Store,
};

const QUEUE_MAX: usize = 8192;
const IN_FLIGHT_MAX: usize = 256;
/// A wake-up is tried from memory for less time than its lease lasts; after that it is the scheduler's.
const KEEP_TRYING: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(250);
/// A wake-up not confirmed by then is slow.
const SLOW: Duration = Duration::from_secs(1);
/// At most so many slow ones of one queue are in flight: the rest is left to the scheduler, so that a queue that takes nothing
/// does not take the places of the others.
const SLOW_MAX: usize = 64;

/// How many slow wake-ups of each queue are in flight.
type SlowOnes = Mutex<HashMap<Queue, usize>>;

/// See the module's documentation. Cheap to clone.
#[derive(Clone)]
pub struct Relay {
    queue: mpsc::Sender<WakeUp>,
    look: Arc<Notify>,
    marks: Arc<Mutex<Marks>>,
}

impl Relay {
    /// Starts it; it ends with `stop`.
    pub fn start(
        store: Arc<dyn Store>,
        broker: Arc<dyn Broker>,
        stop: CancellationToken,
    ) -> (Self, tokio::task::JoinHandle<()>) {
        let (queue, waiting) = mpsc::channel(QUEUE_MAX);
        let marks = Arc::new(Mutex::new(Marks::new()));
        let relay = Self { queue, look: Arc::new(Notify::new()), marks: Arc::clone(&marks) };
        let task = tokio::spawn(run(store, broker, waiting, marks, stop));
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

    /// A message was settled in the store: nothing is left to be marked of it.
    pub(super) fn settled(&self, message: Uuid) {
        lock(&self.marks).settle(message, Instant::now());
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
    marks: Arc<Mutex<Marks>>,
    stop: CancellationToken,
) {
    let slow = SlowOnes::default();
    let mut in_flight = FuturesUnordered::new();
    // beside publishing, which a commit must not hold up
    let mut marking: Option<BoxFuture<'_, ()>> = None;
    let mut look = interval(marks::LOOK_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = async { if let Some(marking) = &mut marking { marking.await } }, if marking.is_some() => marking = None,
            _ = look.tick(), if marking.is_none() => {
                let undone = lock(&marks).take_due(Instant::now());
                marking = (!undone.is_empty()).then(|| mark(&*store, undone).boxed());
            }
            Some(result) = in_flight.next(), if !in_flight.is_empty() => note(&marks, result),
            next = waiting.recv(), if in_flight.len() < IN_FLIGHT_MAX => match next {
                Some(wake_up) => {
                    lock(&marks).begin(wake_up.message);
                    in_flight.push(publish(&*broker, wake_up, &slow));
                }
                None => break,
            },
            () = stop.cancelled() => break,
        }
    }
    if let Some(marking) = marking {
        marking.await;
    }
    while let Some(Some(result)) = in_flight.next().now_or_never() {
        note(&marks, result);
    }
    let left = lock(&marks).take_all();
    mark(&*store, left).await;
}

fn lock(marks: &Mutex<Marks>) -> MutexGuard<'_, Marks> {
    marks.lock().unwrap_or_else(PoisonError::into_inner)
}

fn note(marks: &Mutex<Marks>, confirmed: Option<Uuid>) {
    if let Some(message) = confirmed {
        lock(marks).confirm(message, Instant::now());
    }
}

async fn mark(store: &dyn Store, messages: Vec<Uuid>) {
    if messages.is_empty() {
        return;
    }
    if let Err(error) = store.mark_published(messages).await {
        // they will be published once more, and turned away as already sent
        tracing::warn!(%error, "confirmed wake-ups could not be marked");
    }
}

/// Publishes one, for as long as its lease allows. The id, if the broker confirmed it.
async fn publish(broker: &dyn Broker, wake_up: WakeUp, slow: &SlowOnes) -> Option<Uuid> {
    let begun = Instant::now();
    let mut trying = pin!(keep_trying(broker, &wake_up));
    let first = tokio::time::timeout(SLOW, &mut trying).await;
    let result = match first {
        Ok(result) => result,
        Err(_) => {
            // a broker that is away is away for all of them, and they are all kept
            let _one = Slow::begin(slow, Queue::of(&wake_up), broker.health().connected)?;
            trying.await
        }
    };
    match result {
        Ok(()) => {
            metrics::counter!("onward_messages_published_total", "lane" => wake_up.side.code()).increment(1);
            Some(wake_up.message)
        }
        Err(error) => {
            let tried = begun.elapsed();
            tracing::warn!(%error, message.id = %wake_up.message, ?tried, "a wake-up is left to the scheduler");
            None
        }
    }
}

async fn keep_trying(broker: &dyn Broker, wake_up: &WakeUp) -> Result<(), BrokerError> {
    let until = Instant::now() + KEEP_TRYING;
    loop {
        match broker.publish(wake_up).await {
            Ok(()) => return Ok(()),
            Err(error) if Instant::now() + PAUSE < until => {
                tracing::debug!(%error, "a wake-up waits for the broker");
                tokio::time::sleep(PAUSE).await;
            }
            Err(error) => return Err(error),
        }
    }
}

/// One slow wake-up's place among those of its queue.
struct Slow<'a>(&'a SlowOnes, Queue);

impl<'a> Slow<'a> {
    /// None where there is no room for it.
    fn begin(all: &'a SlowOnes, queue: Queue, bounded: bool) -> Option<Self> {
        let mut slow = all.lock().unwrap_or_else(PoisonError::into_inner);
        let count = slow.entry(queue.clone()).or_default();
        if bounded && *count >= SLOW_MAX {
            metrics::counter!("onward_relay_left_to_scheduler_total").increment(1);
            return None;
        }
        *count += 1;
        Some(Self(all, queue))
    }
}

impl Drop for Slow<'_> {
    fn drop(&mut self) {
        let mut slow = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = slow.get_mut(&self.1) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                slow.remove(&self.1);
            }
        }
    }
}
