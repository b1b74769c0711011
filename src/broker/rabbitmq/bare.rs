//! What RabbitMQ does without us, as the measure for what we do with it: messages published persistent and confirmed, consumed
//! and acknowledged one by one, on a quorum queue of its own that is deleted afterwards.

use std::time::Duration;

use futures_util::{StreamExt, stream::FuturesUnordered};
use lapin::{
    BasicProperties, Channel, Connection,
    options::{
        BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions,
        QueueDeclareOptions, QueueDeleteOptions,
    },
    types::{AMQPValue, FieldTable},
};
use tokio::time::Instant;

use super::{
    address::Address,
    connect::{close, connect},
};
use crate::{broker::BrokerError, resolve::Resolver};

const CONNECT_LIMIT: Duration = Duration::from_secs(10);
const PREFETCH: u16 = 256;

/// Messages a second, each of `body`, at most `in_flight` of them published and not confirmed.
///
/// # Errors
/// Where the broker is away or says no.
pub async fn messages_per_second(
    url: &str,
    body: Vec<u8>,
    in_flight: usize,
    time: Duration,
) -> Result<f64, BrokerError> {
    let addresses = Address::parse_all(url)?;
    let Some(address) = addresses.first() else { return Err(BrokerError::BadUrl("it is empty".to_owned())) };
    let resolver = Resolver::system();
    let open = |name| connect(address, name, None, &resolver, CONNECT_LIMIT);
    let (publishing, out_fuse) = open("onward bench publish").await.map_err(BrokerError::Away)?;
    let (consuming, in_fuse) = open("onward bench consume").await.map_err(BrokerError::Away)?;
    let queue = format!("onward.bench.{}", uuid::Uuid::now_v7().simple());
    let measured = measure(&publishing, &consuming, &queue, &body, in_flight, time).await;
    end(&publishing, &queue).await;
    close(&publishing, &out_fuse).await;
    close(&consuming, &in_fuse).await;
    measured.map_err(|error| BrokerError::Away(address.redact(&error.to_string())))
}

/// How long each message of `body` takes until it is confirmed, one after the other.
///
/// # Errors
/// Where the broker is away or says no.
pub async fn one_by_one(url: &str, body: Vec<u8>, time: Duration) -> Result<Vec<Duration>, BrokerError> {
    let addresses = Address::parse_all(url)?;
    let Some(address) = addresses.first() else { return Err(BrokerError::BadUrl("it is empty".to_owned())) };
    let connected = connect(address, "onward bench publish", None, &Resolver::system(), CONNECT_LIMIT).await;
    let (connection, fuse) = connected.map_err(BrokerError::Away)?;
    let queue = format!("onward.bench.{}", uuid::Uuid::now_v7().simple());
    let work = async {
        let channel = declared(&connection, &queue).await?;
        let (begun, mut took) = (Instant::now(), Vec::new());
        while begun.elapsed() < time {
            let sent = Instant::now();
            channel.basic_publish("".into(), (&*queue).into(), MANDATORY, &body, persistent()).await?.await?;
            took.push(sent.elapsed());
        }
        lapin::Result::Ok(took)
    };
    let measured = work.await;
    end(&connection, &queue).await;
    close(&connection, &fuse).await;
    measured.map_err(|error| BrokerError::Away(address.redact(&error.to_string())))
}

const MANDATORY: BasicPublishOptions = BasicPublishOptions { mandatory: true, immediate: false };

fn persistent() -> BasicProperties {
    BasicProperties::default().with_delivery_mode(2)
}

/// A channel that confirms, and the queue declared on it.
async fn declared(connection: &Connection, queue: &str) -> lapin::Result<Channel> {
    let channel = connection.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    channel.queue_declare(queue.into(), QueueDeclareOptions::durable(), arguments).await?;
    Ok(channel)
}

async fn end(connection: &Connection, queue: &str) {
    if let Ok(channel) = connection.create_channel().await {
        let _ = channel.queue_delete(queue.into(), QueueDeleteOptions::default()).await;
    }
}

async fn measure(
    publishing: &Connection,
    consuming: &Connection,
    queue: &str,
    body: &[u8],
    in_flight: usize,
    time: Duration,
) -> lapin::Result<f64> {
    let out = declared(publishing, queue).await?;
    let back = consuming.create_channel().await?;
    back.basic_qos(PREFETCH, BasicQosOptions::default()).await?;
    let mut consumer =
        back.basic_consume(queue.into(), "bench".into(), BasicConsumeOptions::default(), FieldTable::default()).await?;

    let until = Instant::now() + time;
    let publish = async {
        let mut confirms = FuturesUnordered::new();
        let mut published = 0u64;
        while Instant::now() < until {
            while confirms.len() < in_flight {
                confirms.push(out.basic_publish("".into(), queue.into(), MANDATORY, body, persistent()).await?);
                published += 1;
            }
            if let Some(confirmed) = confirms.next().await {
                confirmed?;
            }
        }
        while let Some(confirmed) = confirms.next().await {
            confirmed?;
        }
        lapin::Result::Ok(published)
    };
    let consume = async {
        let mut count = 0u64;
        while let Ok(Some(message)) = tokio::time::timeout_at(until, consumer.next()).await {
            message?.ack(BasicAckOptions::default()).await?;
            count += 1;
        }
        lapin::Result::Ok(count)
    };
    let begun = Instant::now();
    let (published, consumed) = tokio::try_join!(publish, consume)?;
    // what was consumed by the end is what went all the way
    Ok(consumed.min(published) as f64 / begun.elapsed().min(time).as_secs_f64())
}
