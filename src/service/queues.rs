//! Keeps the queues that the registry asks for: a consumer on each, those of providers' own consumers declared, and whatever is not
//! configured any more and still has messages told and worked.

use std::{collections::HashSet, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{
    broker::{Broker, BrokerError, Queue},
    config::Registry,
    delivery::amqp,
    domain::{Alert, AlertKind, Side},
    lanes::consumers::Consumers,
    store::Store,
};

/// While the broker is away, providers' own queues are asked for this often.
const OUTLETS_AGAIN: Duration = Duration::from_secs(2);
/// How often it is looked for messages of what is not configured any more.
const LOOK_FOR_UNCONFIGURED: Duration = Duration::from_secs(60);

/// Makes the queues of providers' own consumers be there, so that these can connect before the first referral comes.
pub(super) async fn open_outlets(
    broker: Arc<dyn Broker>,
    registry: Arc<ArcSwap<Registry>>,
    mut changes: watch::Receiver<()>,
    stop: CancellationToken,
) {
    loop {
        let opened = broker.open_outlets(&amqp::outlets(&registry.load_full())).await;
        let refused = matches!(opened, Err(BrokerError::Refused { .. }));
        match &opened {
            Err(error) if refused => {
                tracing::warn!(%error, "a queue for a provider's own consumer is not as it should be");
            }
            Err(error) => tracing::debug!(%error, "queues for providers' own consumers wait for the broker"),
            Ok(()) => {}
        }
        tokio::select! {
            () = tokio::time::sleep(OUTLETS_AGAIN), if opened.is_err() && !refused => {}
            changed = changes.changed() => if changed.is_err() { return stop.cancelled().await },
            () = stop.cancelled() => return,
        }
    }
}

async fn not_configured(store: &dyn Store, queue: &Queue) {
    tracing::warn!(queue = %queue.name(), "messages wait for what is not configured any more");
    metrics::counter!("onward_alerts_total", "alert" => AlertKind::NotConfigured.code()).increment(1);
    let text = "messages wait for an inbox or originating system that is not configured any more";
    let alert = Alert::new(AlertKind::NotConfigured, queue.name(), store.now(), text);
    if let Err(error) = store.raise(vec![alert]).await {
        tracing::warn!(%error, "that it is not configured could not be told");
    }
}

/// Keeps one consumer for each inbox and each originating system of the registry, on the sides that this process works.
pub(super) async fn consume(
    mut sides: Vec<(Side, Consumers)>,
    store: Arc<dyn Store>,
    registry: Arc<ArcSwap<Registry>>,
    mut changes: watch::Receiver<()>,
    drain: Duration,
    stop: CancellationToken,
) {
    let (mut unfinished, mut told) = (Vec::new(), HashSet::new());
    loop {
        let now = registry.load_full();
        let queue = |side, to: &str| Queue { side, to: to.to_owned() };
        // where it cannot be read now, what was known of it is good until the next look
        if let Ok(found) = store.destinations().await {
            unfinished = found;
        }
        let mut strangers = HashSet::new();
        for (side, consumers) in &mut sides {
            let mut queues: Vec<_> = match side {
                Side::Delivery => now.inboxes.keys().map(|id| queue(*side, id.as_str())).collect(),
                Side::WriteBack => now.systems.keys().map(|id| queue(*side, id.as_str())).collect(),
            };
            // what is not configured any more, but still has messages: they must not wait unseen
            for (_, to) in unfinished.iter().filter(|(of, _)| of == side) {
                let queue = queue(*side, to);
                if !queues.contains(&queue) {
                    if !told.contains(&queue) {
                        not_configured(&*store, &queue).await;
                    }
                    strangers.insert(queue.clone());
                    queues.push(queue);
                }
            }
            consumers.set(&queues);
        }
        // one that was put back and is taken out again is told again
        told = strangers;
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { stop.cancelled().await; break },
            () = tokio::time::sleep(LOOK_FOR_UNCONFIGURED) => {}
            () = stop.cancelled() => break,
        }
    }
    futures_util::future::join_all(sides.into_iter().map(|(_, consumers)| consumers.drain(drain))).await;
}
