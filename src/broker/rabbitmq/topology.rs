//! The exchanges and queues as they must be, and making them so.
//!
//! Each declaration has a channel of its own that is thrown away: RabbitMQ closes a channel on which one fails, and with it
//! everything else that happened there.

use std::time::Duration;

use lapin::{
    BasicProperties, Channel, Connection, ErrorKind, ExchangeKind,
    options::{
        BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
        QueueDeleteOptions,
    },
    protocol::{AMQPErrorKind, AMQPSoftError},
    types::{AMQPValue, FieldTable},
};

use crate::broker::{BrokerError, Depth, Outlet, Queue};

const DEAD: &str = "onward.dead";
/// Its name must not look like a queue of it: a provider's permission is a pattern over names of both.
pub(super) const PARCELS: &str = "onward.parcels";
/// Queues are declared over this many channels side by side; a quorum queue takes RabbitMQ some 10 ms.
const SIDE_BY_SIDE: usize = 8;
/// A number that no one reaches. The dead queue has nowhere to pass a message on, so RabbitMQ 4's own limit of 20 would
/// drop it, and 3.10 does not know -1 for "none".
const NO_LIMIT: i32 = 1_000_000_000;

const PROOF_EXPIRES_MS: i32 = 60_000;

/// A deleted queue is not made again sooner than this. Channels of RabbitMQ 3.10 that used it learn of the deletion by a
/// message; if a new queue of that name is there first, they mistake it for the old one: what they publish is never confirmed,
/// what it delivers to them is dropped.
pub(super) const AFTER_DELETION: Duration = Duration::from_millis(400);

/// A queue that can be consumed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Source {
    /// The wake-ups of an inbox or system.
    Of(Queue),
    /// The parcels for a provider's own consumer.
    Outlet(Outlet),
    /// What RabbitMQ has dead-lettered.
    Dead,
}

impl Source {
    pub(super) fn name(&self) -> String {
        match self {
            Self::Of(queue) => queue.name(),
            Self::Outlet(outlet) => outlet.name(),
            Self::Dead => DEAD.to_owned(),
        }
    }
}

/// Makes the exchanges, the dead queue and `sources` be there.
pub(super) async fn declare(
    connection: &Connection,
    sources: &[Source],
    delivery_limit: u32,
) -> Result<(), BrokerError> {
    on_own_channel(connection, DEAD, async |channel| exchanges(channel).await).await?;
    let share = sources.len().div_ceil(SIDE_BY_SIDE).max(1);
    let shares = sources.chunks(share).map(async |share| {
        for source in share {
            on_own_channel(connection, &source.name(), async |channel| queue(channel, source, delivery_limit).await)
                .await?;
        }
        Ok(())
    });
    futures_util::future::try_join_all(shares).await.map(drop)
}

/// Deletes a queue, whatever is in it.
pub(super) async fn delete(connection: &Connection, source: &Source) -> Result<(), BrokerError> {
    let name = source.name();
    on_own_channel(connection, &name, async |channel| {
        channel.queue_delete(name.as_str().into(), QueueDeleteOptions::default()).await.map(drop)
    })
    .await
}

/// Has the broker show that it takes messages: a new queue confirms one. Errors where it does not.
pub(super) async fn prove(connection: &Connection) -> Result<(), BrokerError> {
    let name = format!("onward.proof.{}", uuid::Uuid::now_v7().simple());
    on_own_channel(connection, &name, async |channel| {
        let mut arguments = FieldTable::default();
        arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
        // should this end in the middle
        arguments.insert("x-expires".into(), AMQPValue::LongInt(PROOF_EXPIRES_MS));
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        channel.queue_declare(name.as_str().into(), QueueDeclareOptions::durable(), arguments).await?;
        let (options, properties) = (BasicPublishOptions::default(), BasicProperties::default().with_delivery_mode(2));
        channel.basic_publish("".into(), name.as_str().into(), options, b"{}", properties).await?.await?;
        channel.queue_delete(name.as_str().into(), QueueDeleteOptions::default()).await.map(drop)
    })
    .await
}

/// How much lies in these queues and how many read each, as a passive declaration says (AMQP 0-9-1, `queue.declare-ok`): what readers hold it
/// does not say. One that is not there is left out, and costs the channel it was asked on.
pub(super) async fn depths(connection: &Connection, queues: &[String]) -> Result<Vec<Depth>, BrokerError> {
    let away = |error: lapin::Error| BrokerError::Away(error.to_string());
    let passive = QueueDeclareOptions { passive: true, ..Default::default() };
    let mut channel = connection.create_channel().await.map_err(away)?;
    let mut depths = Vec::with_capacity(queues.len());
    for queue in queues {
        match channel.queue_declare(queue.as_str().into(), passive, FieldTable::default()).await {
            Ok(there) => depths.push(Depth {
                queue: queue.clone(),
                ready: there.message_count().into(),
                held: None,
                readers: Some(there.consumer_count().into()),
            }),
            Err(error) if is_not_found(&error) => channel = connection.create_channel().await.map_err(away)?,
            Err(error) => return Err(away(error)),
        }
    }
    // one that cannot be closed is gone with its connection
    let _ = channel.close(200, "asked".into()).await;
    Ok(depths)
}

/// Whether the broker's answer was that there is no such queue.
pub(super) fn is_not_found(error: &lapin::Error) -> bool {
    matches!(error.kind(), ErrorKind::ProtocolError(e) if *e.kind() == AMQPErrorKind::Soft(AMQPSoftError::NOTFOUND))
}

async fn on_own_channel(
    connection: &Connection,
    what: &str,
    work: impl AsyncFnOnce(&Channel) -> lapin::Result<()>,
) -> Result<(), BrokerError> {
    let failed = |error: lapin::Error| match error.kind() {
        ErrorKind::ProtocolError(said) if error.is_amqp_soft_error() => {
            BrokerError::Refused { queue: what.to_owned(), why: said.to_string() }
        }
        _ => BrokerError::Away(error.to_string()),
    };
    let channel = connection.create_channel().await.map_err(failed)?;
    work(&channel).await.map_err(failed)
}

async fn exchanges(channel: &Channel) -> lapin::Result<()> {
    let durable = ExchangeDeclareOptions { durable: true, ..Default::default() };
    for (name, kind) in [
        ("onward.referrals", ExchangeKind::Direct),
        ("onward.status", ExchangeKind::Direct),
        (PARCELS, ExchangeKind::Direct),
        // a dead letter keeps its routing key, which is an inbox; fanout takes them all
        (DEAD, ExchangeKind::Fanout),
    ] {
        channel.exchange_declare(name.into(), kind, durable, FieldTable::default()).await?;
    }
    queue(channel, &Source::Dead, 0).await
}

async fn queue(channel: &Channel, source: &Source, delivery_limit: u32) -> lapin::Result<()> {
    let mut arguments = FieldTable::default();
    let mut say = |key: &str, value: AMQPValue| {
        arguments.insert(key.into(), value);
    };
    let text = |text: &str| AMQPValue::LongString(text.into());
    say("x-queue-type", text("quorum"));
    let number = |number: u32| AMQPValue::LongInt(i32::try_from(number).unwrap_or(NO_LIMIT));
    if *source == Source::Dead {
        say("x-delivery-limit", AMQPValue::LongInt(NO_LIMIT));
    } else {
        say("x-dead-letter-exchange", text(DEAD));
        say("x-dead-letter-strategy", text("at-least-once"));
        // at-least-once dead-lettering works with no other overflow behaviour
        say("x-overflow", text("reject-publish"));
    }
    let (exchange, key) = match source {
        Source::Dead => (DEAD, ""),
        Source::Of(queue) => {
            say("x-delivery-limit", number(delivery_limit));
            (queue.exchange(), queue.to.as_str())
        }
        Source::Outlet(outlet) => {
            say("x-max-length", number(outlet.max_length));
            // a consumer that fails again and again is the provider's to mend: only what it rejects comes back
            say("x-delivery-limit", AMQPValue::LongInt(NO_LIMIT));
            (PARCELS, outlet.inbox.as_str())
        }
    };
    let name = source.name();
    channel.queue_declare(name.as_str().into(), QueueDeclareOptions::durable(), arguments).await?;
    channel
        .queue_bind(
            name.as_str().into(),
            exchange.into(),
            key.into(),
            QueueBindOptions::default(),
            FieldTable::default(),
        )
        .await
}
