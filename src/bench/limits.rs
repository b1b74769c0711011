//! What the machine does without us: rows of the same bytes into the same store in grouped commits, messages of the same size
//! through the same broker.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;
use uuid::Uuid;

use super::{
    latency::{Percentiles, of_all},
    referral::{self, Fate, Maker},
};
use crate::{
    broker::{Broker, Embedded, Queue, rabbitmq},
    config::{BrokerUrl, StoreUrl},
    domain::{Side, WakeUp},
    store::{postgres, sqlite},
};

/// As many messages are on their way at once.
const IN_FLIGHT: usize = 512;

/// Why a limit could not be measured.
#[derive(Debug, thiserror::Error)]
pub enum NoLimit {
    /// The store.
    #[error("{0}")]
    Store(String),
    /// The broker.
    #[error("{0}")]
    Broker(String),
}

/// What one of the two does without us.
pub struct Limit {
    /// Rows or messages a second, as many at once as it likes best.
    pub per_second: f64,
    /// How long one takes alone: until it is committed, or confirmed. None for a broker that writes nothing to a disk.
    pub alone_ms: Option<Percentiles>,
}

/// Rows of a referral's bytes, for `time` together and for `time` one by one.
///
/// # Errors
/// [`NoLimit`]
pub async fn commits(store: &StoreUrl, time: Duration) -> Result<Limit, NoLimit> {
    let run = referral::run_name();
    let body = Maker::new().make(&run, Fate { answers: 1, number: 1 }, "http://127.0.0.1:1/fhir", "s0");
    let (per_second, alone) = match store {
        StoreUrl::Sqlite(path) => {
            let path = path.with_extension("bare");
            let both = move || {
                let together = sqlite::bare::rows_per_second(&path, &body, time)?;
                Ok((together, sqlite::bare::one_by_one(&path, &body, time)?))
            };
            let measured: Result<Result<_, rusqlite::Error>, _> = tokio::task::spawn_blocking(both).await;
            measured.map_err(|e| NoLimit::Store(e.to_string()))?.map_err(|e| NoLimit::Store(e.to_string()))?
        }
        StoreUrl::Postgres(url) => {
            let failed = |e: crate::store::StoreError| NoLimit::Store(e.to_string());
            let together = postgres::bare::rows_per_second(url.reveal(), &body, time).await.map_err(failed)?;
            (together, postgres::bare::one_by_one(url.reveal(), &body, time).await.map_err(failed)?)
        }
    };
    Ok(Limit { per_second, alone_ms: Some(of_all(&alone)) })
}

/// Messages of a wake-up's size, for `time` together and for `time` one by one.
///
/// # Errors
/// [`NoLimit`]
pub async fn messages(broker: &BrokerUrl, time: Duration) -> Result<Limit, NoLimit> {
    match broker {
        BrokerUrl::Embedded => {
            let per_second = through_the_port(&Embedded::new(Default::default()), time).await?;
            Ok(Limit { per_second, alone_ms: None })
        }
        BrokerUrl::Amqp(url) => {
            let failed = |e: crate::broker::BrokerError| NoLimit::Broker(e.to_string());
            let body = serde_json::to_vec(&wake_up()).map_err(|e| NoLimit::Broker(e.to_string()))?;
            let together = rabbitmq::bare::messages_per_second(url.reveal(), body.clone(), IN_FLIGHT, time).await;
            let alone = rabbitmq::bare::one_by_one(url.reveal(), body, time).await.map_err(failed)?;
            Ok(Limit { per_second: together.map_err(failed)?, alone_ms: Some(of_all(&alone)) })
        }
    }
}

/// The ports of store and broker on this machine, where they have one.
pub fn ports(store: &StoreUrl, broker: &BrokerUrl) -> (Option<u16>, Option<u16>) {
    let port = |url: &str| {
        let authority = url.split("://").nth(1)?.split(['/', '?']).next()?;
        authority.rsplit_once('@').map_or(authority, |(_, host)| host).rsplit_once(':')?.1.parse().ok()
    };
    let store = match store {
        StoreUrl::Sqlite(_) => None,
        StoreUrl::Postgres(url) => port(url.reveal()),
    };
    let broker = match broker {
        BrokerUrl::Embedded => None,
        BrokerUrl::Amqp(url) => port(url.reveal()),
    };
    (store, broker)
}

/// A message as the service publishes them.
fn wake_up() -> WakeUp {
    WakeUp {
        task: crate::domain::TaskId::mint(),
        side: Side::Delivery,
        seq: 1,
        to: "inbox-0".into(),
        message: Uuid::now_v7(),
        route_set: "0123456789abcdef0123456789abcdef".into(),
        traceparent: None,
    }
}

/// A broker of this process has no way but ours.
async fn through_the_port(broker: &dyn Broker, time: Duration) -> Result<f64, NoLimit> {
    let failed = |error: crate::broker::BrokerError| NoLimit::Broker(error.to_string());
    let wake_up = Arc::new(wake_up());
    let mut deliveries = broker.consume(Queue::of(&wake_up), 64).await.map_err(failed)?;
    let begun = Instant::now();
    let mut count = 0u64;
    while begun.elapsed() < time {
        for _ in 0..IN_FLIGHT {
            broker.publish(&wake_up).await.map_err(failed)?;
        }
        for _ in 0..IN_FLIGHT {
            let Some(delivery) = deliveries.recv().await else { return Err(NoLimit::Broker("it was closed".into())) };
            delivery.ack().await;
            count += 1;
        }
    }
    Ok(count as f64 / begun.elapsed().as_secs_f64())
}
