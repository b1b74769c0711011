//! The consumer of one queue: one task, one channel at a time.
//!
//! Each has a channel of its own. RabbitMQ closes a channel for one bad acknowledgement or one delivery held longer than half an
//! hour, and a queue that goes wrong shall not take the others' consumers with it.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::{FutureExt, StreamExt};
use lapin::{
    Acker, Channel, Consumer,
    message::Delivery as Message,
    options::{
        BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions, BasicRejectOptions,
    },
    types::FieldTable,
};
use tokio::{
    sync::{Semaphore, mpsc, watch},
    time::{Instant, sleep, timeout},
};

use super::{
    link::{Link, Live, asked, backoff},
    topology::{self, Source},
    wire,
};
use crate::broker::{BrokerError, Delivery, Receipt, Verdict};

const SETUP_TIMEOUT: Duration = Duration::from_secs(30);
const STEADY: Duration = Duration::from_secs(1);

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
}

/// Why a consumer stopped that was not stopped by an error.
enum End {
    /// Nobody listens any more, or the broker is being closed.
    Unwanted,
    /// RabbitMQ cancelled it: the queue was deleted or moved.
    Cancelled,
}

/// The hold on one delivered message.
struct Held {
    acker: Option<Acker>,
    abandoned: mpsc::UnboundedSender<Acker>,
}

// === impl Task ===

impl Task {
    /// Consumes until the receiver is dropped or the broker closed, whatever happens in between.
    pub(super) async fn run(self) {
        let mut closing = self.closing.clone();
        let mut failures = 0;
        loop {
            let live = tokio::select! {
                live = self.link.live() => live,
                () = self.deliveries.closed() => return,
                () = asked(&mut closing) => return,
            };
            let Some(live) = live else { return };
            let began = Instant::now();
            let why = match self.session(&live, &mut closing).await {
                Ok(End::Unwanted) => return,
                Ok(End::Cancelled) => "the queue was deleted or moved".to_owned(),
                Err(error) => error.to_string(),
            };
            failures = if began.elapsed() < STEADY { failures + 1 } else { 0 };
            tracing::info!(queue = self.source.name(), why, failures, "the consumer is set up again");
            // the first time at once: a deleted queue is empty-handed until it is declared again
            if failures > 1 {
                tokio::select! {
                    () = sleep(backoff(failures)) => {}
                    () = self.deliveries.closed() => return,
                    () = asked(&mut closing) => return,
                }
            }
        }
    }

    async fn session(&self, live: &Live, closing: &mut watch::Receiver<bool>) -> Result<End, BrokerError> {
        let (channel, mut consumer) = self.set_up(live).await?;
        let (abandoned, mut given_up) = mpsc::unbounded_channel();
        let end = loop {
            tokio::select! {
                Some(acker) = given_up.recv() => again(&acker).await,
                next = consumer.next() => match next {
                    Some(Ok(message)) => self.hand_over(message, &abandoned).await,
                    Some(Err(error)) => return Err(away(error)),
                    None => break End::Cancelled,
                },
                () = self.deliveries.closed() => break End::Unwanted,
                () = asked(closing) => break End::Unwanted,
            }
        };
        if matches!(end, End::Unwanted) {
            let _ = channel.basic_cancel(consumer.tag(), BasicCancelOptions::default()).await;
            while let Some(Ok(message)) = consumer.next().await {
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

    async fn begin(&self, live: &Live) -> lapin::Result<(Channel, Consumer)> {
        let channel = live.connection.create_channel().await?;
        channel.basic_qos(self.prefetch, BasicQosOptions::default()).await?;
        let name = self.source.name();
        let options = BasicConsumeOptions::default();
        let consumer = channel.basic_consume(name.into(), "".into(), options, FieldTable::default()).await?;
        Ok((channel, consumer))
    }

    async fn hand_over(&self, message: Message, abandoned: &mpsc::UnboundedSender<Acker>) {
        let wake_up = match wire::read(&message.data) {
            Ok(wake_up) => wake_up,
            Err(fault) => {
                let queue = self.source.name();
                let id = wire::message_id(&message.properties);
                tracing::error!(queue, message.id = ?id, fault, "a message that is no wake-up was set aside");
                let _ = match self.source {
                    Source::Of(_) => message.acker.reject(BasicRejectOptions { requeue: false }).await,
                    // there is nowhere left to set it aside to
                    Source::Dead => message.acker.ack(BasicAckOptions::default()).await,
                };
                return;
            }
        };
        let held = Held { acker: Some(message.acker), abandoned: abandoned.clone() };
        // where nobody receives any more, dropping it gives it back
        let _ = self.deliveries.send(Delivery::new(wake_up, Box::new(held))).await;
    }
}

async fn again(acker: &Acker) {
    let _ = acker.nack(BasicNackOptions { requeue: true, ..Default::default() }).await;
}

fn away(error: lapin::Error) -> BrokerError {
    BrokerError::Away(error.to_string())
}

// === impl Held ===

#[async_trait]
impl Receipt for Held {
    async fn settle(mut self: Box<Self>, verdict: Verdict) {
        let Some(acker) = self.acker.take() else { return };
        // Queued for sending at the first poll. Waiting until it is written would cost a worker a turn through lapin's
        // thread and tell it nothing: only a later delivery says that an acknowledgement was lost.
        let queued = match verdict {
            Verdict::Done => acker.ack(BasicAckOptions::default()).now_or_never(),
            Verdict::Again => acker.nack(BasicNackOptions { requeue: true, ..Default::default() }).now_or_never(),
        };
        if let Some(Ok(false) | Err(_)) = queued {
            tracing::debug!(?verdict, "the connection was lost before a delivery was settled; it comes again");
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(acker) = self.acker.take() {
            // fails only when the channel is gone, and then RabbitMQ has it back already
            let _ = self.abandoned.send(acker);
        }
    }
}
