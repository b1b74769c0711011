//! The consumer of one queue: one task, one channel at a time.
//!
//! Each has a channel of its own. RabbitMQ closes a channel for one bad acknowledgement or one delivery held longer than half an
//! hour, and a queue that goes wrong shall not take the others' consumers with it.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::StreamExt;
use lapin::{
    Acker, Channel, Consumer,
    message::Delivery as Message,
    options::{
        BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions,
        BasicRejectOptions, QueueDeclareOptions,
    },
    types::FieldTable,
};
use tokio::{
    sync::{Semaphore, broadcast, mpsc, watch},
    time::{Instant, interval_at, sleep, timeout},
};

use super::{
    apart::LOST,
    declarer::Declarer,
    link::{Link, Live, asked, backoff},
    topology::{self, Source},
    trial::Trial,
    wire,
};
use crate::broker::{BrokerError, Delivery, Queue, Receipt, Verdict};

const SETUP_TIMEOUT: Duration = Duration::from_secs(30);
const STEADY: Duration = Duration::from_secs(1);
const CANCEL_TIMEOUT: Duration = Duration::from_secs(5);
/// How often an idle consumer asks whether there is something that it is not given. Two such answers in a row, and it is set
/// up again.
const PROBE_EVERY: Duration = Duration::from_secs(30);
/// A consumer that could not be set up so often in a row tries by itself before it disturbs the others once more.
const IN_VAIN_MAX: u32 = 3;

/// What a consumer's task works with.
pub(super) struct Task {
    pub(super) source: Source,
    pub(super) prefetch: u16,
    pub(super) delivery_limit: u32,
    pub(super) link: Link,
    pub(super) deliveries: mpsc::Sender<Delivery>,
    /// Bounds how many consumers are set up at once when a connection with a thousand of them comes back.
    pub(super) setups: Arc<Semaphore>,
    pub(super) closing: watch::Receiver<bool>,
    /// Queues that were declared again after their deletion.
    pub(super) remade: broadcast::Receiver<Queue>,
    pub(super) declarer: Arc<Declarer>,
    pub(super) trial: Arc<Trial>,
}

/// Set-ups that failed in a row.
#[derive(Default)]
struct InVain {
    times: u32,
    since: Option<Instant>,
}

/// Why a consumer stopped that was not stopped by an error.
enum End {
    /// Nobody listens any more, or the broker is being closed.
    Unwanted,
    /// RabbitMQ cancelled it: the queue was deleted or moved.
    Cancelled,
    /// The queue was deleted and made again. RabbitMQ 3.10 may then neither cancel the old consumer nor deliver to it: the
    /// channel still counts by the messages of the deleted queue and takes the new ones for old.
    Remade,
    /// Messages wait, there is room for them, and none comes.
    Starved,
}

/// The hold on one delivered message.
struct Held {
    acker: Option<Acker>,
    abandoned: mpsc::Sender<Acker>,
}

// === impl Task ===

impl Task {
    /// Consumes until the receiver is dropped or the broker closed, whatever happens in between.
    pub(super) async fn run(mut self) {
        let mut closing = self.closing.clone();
        let mut failures = 0;
        let mut in_vain = InVain::default();
        loop {
            let live = tokio::select! {
                live = self.link.live() => live,
                () = self.deliveries.closed() => return,
                () = asked(&mut closing) => return,
            };
            let Some(live) = live else { return };
            let began = Instant::now();
            let end = if in_vain.times < IN_VAIN_MAX {
                self.session(&live, &mut closing, &mut in_vain).await
            } else {
                tokio::select! {
                    tried = self.try_alone(&mut in_vain) => match tried {
                        Ok(()) => continue,
                        Err(error) => Err(error),
                    },
                    () = self.deliveries.closed() => return,
                    () = asked(&mut closing) => return,
                }
            };
            failures = if began.elapsed() < STEADY { failures + 1 } else { 0 };
            let mut wait = if failures > 1 { backoff(failures) } else { Duration::ZERO };
            let why = match end {
                Ok(End::Unwanted) => return,
                Ok(End::Cancelled) => {
                    wait = wait.max(topology::AFTER_DELETION);
                    "the queue was deleted or moved".to_owned()
                }
                Ok(End::Remade) => "the queue was declared again".to_owned(),
                Ok(End::Starved) => "messages wait and none is delivered".to_owned(),
                Err(error) => error.to_string(),
            };
            tracing::info!(queue = self.source.name(), why, failures, "the consumer is set up again");
            tokio::select! {
                () = sleep(wait) => {}
                () = self.deliveries.closed() => return,
                () = asked(&mut closing) => return,
            }
        }
    }

    async fn session(
        &mut self,
        live: &Live,
        closing: &mut watch::Receiver<bool>,
        in_vain: &mut InVain,
    ) -> Result<End, BrokerError> {
        // what was remade before this is no news
        self.remade = self.remade.resubscribe();
        in_vain.once_more();
        let (channel, mut consumer) = self.set_up(live).await?;
        *in_vain = InVain::default();
        // there is room for every message that may be held at once
        let (abandoned, mut given_up) = mpsc::channel(usize::from(self.prefetch));
        let first_probe = Instant::now() + PROBE_EVERY.mul_f64(0.5 + fastrand::f64() / 2.0);
        let mut probe = interval_at(first_probe, PROBE_EVERY);
        let mut hungry = false;
        let end = loop {
            tokio::select! {
                Some(acker) = given_up.recv() => again(&acker).await,
                next = consumer.next() => match next {
                    Some(Ok(message)) => {
                        hungry = false;
                        self.hand_over(message, &abandoned).await;
                    }
                    Some(Err(error)) => return Err(away(error)),
                    None => break End::Cancelled,
                },
                remade = self.remade.recv() => if self.is_ours(remade) {
                    break End::Remade;
                },
                // only one with nothing in hand can tell
                _ = probe.tick() => if abandoned.strong_count() == 1 {
                    let waiting = self.waiting(&channel).await?;
                    if waiting && hungry {
                        break End::Starved;
                    }
                    hungry = waiting;
                },
                () = self.deliveries.closed() => break End::Unwanted,
                () = asked(closing) => break End::Unwanted,
            }
        };
        if matches!(end, End::Unwanted) {
            let cancel = channel.basic_cancel(consumer.tag(), BasicCancelOptions::default());
            let cancelled = matches!(timeout(CANCEL_TIMEOUT, cancel).await, Ok(Ok(())));
            while cancelled && let Some(Ok(message)) = consumer.next().await {
                again(&message.acker).await;
            }
        }
        drop(abandoned);
        // What workers still hold can be settled only on this channel. A new consumer need not wait for that.
        let wait = async move {
            while let Some(acker) = given_up.recv().await {
                again(&acker).await;
            }
            let _ = channel.close(200, "OK".into()).await;
        };
        if matches!(end, End::Unwanted) {
            wait.await
        } else {
            drop(tokio::spawn(wait))
        }
        Ok(end)
    }

    /// Sets the consumer up where it disturbs nobody, and takes it back again if that goes well. A queue that cannot be consumed
    /// for too long is made anew.
    async fn try_alone(&self, in_vain: &mut InVain) -> Result<(), BrokerError> {
        let attempt = self.trial.attempt(async |live| {
            let (channel, _consumer) = self.set_up(live).await?;
            let _ = channel.close(200, "OK".into()).await;
            Ok(())
        });
        match attempt.await {
            None => Err(BrokerError::Away("it was closed".to_owned())),
            Some(Ok(())) => {
                *in_vain = InVain::default();
                Ok(())
            }
            Some(Err(error)) => {
                let since = in_vain.once_more();
                if let Source::Of(queue) = &self.source
                    && since.elapsed() >= LOST
                {
                    self.declarer.anew(queue, since).await?;
                    *in_vain = InVain::default();
                }
                Err(error)
            }
        }
    }

    async fn set_up(&self, live: &Live) -> Result<(Channel, Consumer), BrokerError> {
        let _one_of_few = self.setups.acquire().await;
        let work = async {
            match self.begin(live).await {
                Err(error) if topology::is_not_found(&error) => {
                    topology::declare(&live.connection, std::slice::from_ref(&self.source), self.delivery_limit)
                        .await?;
                    self.begin(live).await.map_err(away)
                }
                begun => begun.map_err(away),
            }
        };
        timeout(SETUP_TIMEOUT, work).await.map_err(|_| BrokerError::TimedOut)?
    }

    fn is_ours(&self, remade: Result<Queue, broadcast::error::RecvError>) -> bool {
        match (remade, &self.source) {
            (Ok(remade), Source::Of(queue)) => remade == *queue,
            // so many at once that some were missed: ours may be among them
            (Err(broadcast::error::RecvError::Lagged(_)), Source::Of(_)) => true,
            _ => false,
        }
    }

    /// Whether messages wait in the queue. An error where there is no queue, which also ends the channel.
    async fn waiting(&self, channel: &Channel) -> Result<bool, BrokerError> {
        let passive = QueueDeclareOptions { passive: true, ..Default::default() };
        let asked = channel.queue_declare(self.source.name().into(), passive, FieldTable::default());
        let queue = timeout(SETUP_TIMEOUT, asked).await.map_err(|_| BrokerError::TimedOut)?.map_err(away)?;
        Ok(queue.message_count() > 0)
    }

    async fn begin(&self, live: &Live) -> lapin::Result<(Channel, Consumer)> {
        let channel = live.connection.create_channel().await?;
        channel.basic_qos(self.prefetch, BasicQosOptions::default()).await?;
        let name = self.source.name();
        let options = BasicConsumeOptions::default();
        let consumer = channel.basic_consume(name.into(), "".into(), options, FieldTable::default()).await?;
        Ok((channel, consumer))
    }

    async fn hand_over(&self, message: Message, abandoned: &mpsc::Sender<Acker>) {
        let parcel = match self.source {
            Source::Dead => wire::rejected(&message.properties, message.routing_key.as_str()),
            Source::Of(_) | Source::Outlet(_) => None,
        };
        let rejected = parcel.is_some();
        let wake_up = match parcel.map_or_else(|| wire::read(&message.data), Ok) {
            Ok(wake_up) => wake_up,
            Err(fault) => {
                let queue = self.source.name();
                let id = wire::message_id(&message.properties);
                tracing::error!(queue, message.id = ?id, fault, "a message that is no wake-up was set aside");
                let _ = match self.source {
                    Source::Of(_) | Source::Outlet(_) => {
                        message.acker.reject(BasicRejectOptions { requeue: false }).await
                    }
                    // there is nowhere left to set it aside to
                    Source::Dead => message.acker.ack(BasicAckOptions::default()).await,
                };
                return;
            }
        };
        let held = Held { acker: Some(message.acker), abandoned: abandoned.clone() };
        // where nobody receives any more, dropping it gives it back
        let _ = self.deliveries.send(Delivery::new(wake_up, Box::new(held)).with_rejected(rejected)).await;
    }
}

async fn again(acker: &Acker) {
    let _ = acker.nack(BasicNackOptions { requeue: true, ..Default::default() }).await;
}

fn away(error: lapin::Error) -> BrokerError {
    BrokerError::Away(error.to_string())
}

// === impl InVain ===

impl InVain {
    /// One more, unless it goes well; when they began.
    fn once_more(&mut self) -> Instant {
        self.times = self.times.saturating_add(1);
        *self.since.get_or_insert_with(Instant::now)
    }
}

// === impl Held ===

#[async_trait]
impl Receipt for Held {
    async fn settle(mut self: Box<Self>, verdict: Verdict) {
        let Some(acker) = self.acker.take() else { return };
        // Waits until it is written: the channel may be closed as soon as this, the last hold on it, is gone, and lapin
        // lets a close overtake an acknowledgement.
        let written = match verdict {
            Verdict::Done => acker.ack(BasicAckOptions::default()).await,
            Verdict::Again => acker.nack(BasicNackOptions { requeue: true, ..Default::default() }).await,
        };
        if !matches!(written, Ok(true)) {
            tracing::debug!(?verdict, "the connection was lost before a delivery was settled; it comes again");
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(acker) = self.acker.take() {
            // fails only when the channel is gone, and then RabbitMQ has it back already
            let _ = self.abandoned.try_send(acker);
        }
    }
}
