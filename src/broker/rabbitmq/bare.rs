//! What RabbitMQ does without us, as the measure for what we do with it: messages published persistent and confirmed, consumed
//! and acknowledged one by one, on a quorum queue of its own that is deleted afterwards.

use std::time::Duration;

use futures_util::{StreamExt, stream::FuturesUnordered};
use lapin::{
    BasicProperties, Connection,
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
    if let Ok(channel) = publishing.create_channel().await {
        let _ = channel.queue_delete(queue.as_str().into(), QueueDeleteOptions::default()).await;
    }
    close(&publishing, &out_fuse).await;
    close(&consuming, &in_fuse).await;
    measured.map_err(|error| BrokerError::Away(address.redact(&error.to_string())))
}

async fn measure(
    publishing: &Connection,
    consuming: &Connection,
    queue: &str,
    body: &[u8],
    in_flight: usize,
    time: Duration,
) -> lapin::Result<f64> {
    let out = publishing.create_channel().await?;
    out.confirm_select(ConfirmSelectOptions::default()).await?;
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    out.queue_declare(queue.into(), QueueDeclareOptions::durable(), arguments).await?;
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
                let properties = BasicProperties::default().with_delivery_mode(2);
                let options = BasicPublishOptions { mandatory: true, ..Default::default() };
                confirms.push(out.basic_publish("".into(), queue.into(), options, body, properties).await?);
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
