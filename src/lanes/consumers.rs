//! One consumer a queue: takes wake-ups as they come and has them worked side by side, a bounded number at a time.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::{sync::Semaphore, task::JoinHandle};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::Worker;
use crate::{
    broker::{Broker, Queue},
    domain::Destination,
};

/// The consumers of one side.
pub struct Consumers {
    broker: Arc<dyn Broker>,
    worker: Arc<Worker>,
    prefetch: u16,
    stop: CancellationToken,
    working: TaskTracker,
    running: HashMap<Queue, (CancellationToken, JoinHandle<()>)>,
}

impl Consumers {
    /// None yet. `stop` ends them all.
    pub fn new(broker: Arc<dyn Broker>, worker: Arc<Worker>, prefetch: u16, stop: CancellationToken) -> Self {
        Self { broker, worker, prefetch, stop, working: TaskTracker::new(), running: HashMap::new() }
    }

    /// Makes the consumers be those of exactly these queues.
    pub fn set(&mut self, queues: &[Queue]) {
        self.running.retain(|queue, (stop, _)| {
            let keep = queues.contains(queue);
            if !keep {
                stop.cancel();
            }
            keep
        });
        for queue in queues {
            if self.running.contains_key(queue) {
                continue;
            }
            let stop = self.stop.child_token();
            let run = consume(
                Arc::clone(&self.broker),
                Arc::clone(&self.worker),
                queue.clone(),
                self.prefetch,
                stop.clone(),
                self.working.clone(),
            );
            self.running.insert(queue.clone(), (stop, tokio::spawn(run)));
        }
    }

    /// Waits until what is in hand is settled, at most `limit`. Call after `stop`.
    pub async fn drain(self, limit: Duration) {
        let finish = async {
            for (_, (_, task)) in self.running {
                let _ = task.await;
            }
            self.working.close();
            self.working.wait().await;
        };
        if tokio::time::timeout(limit, finish).await.is_err() {
            tracing::warn!("some lanes were left in the middle; they go on when their leases end");
        }
    }
}

async fn consume(
    broker: Arc<dyn Broker>,
    worker: Arc<Worker>,
    queue: Queue,
    prefetch: u16,
    stop: CancellationToken,
    working: TaskTracker,
) {
    let through = Arc::new(Destination::new(queue.side, queue.to.clone()));
    let places = Arc::new(Semaphore::new(usize::from(prefetch)));
    loop {
        let mut deliveries = match broker.consume(queue.clone(), prefetch).await {
            Ok(deliveries) => deliveries,
            Err(error) => {
                tracing::warn!(queue = %queue.name(), %error, "a queue cannot be read yet");
                tokio::select! {
                    biased;
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(Duration::from_secs(1)) => continue,
                }
            }
        };
        loop {
            // in this order, so that a simulation runs the same each time
            let delivery = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                delivery = deliveries.recv() => delivery,
            };
            let Some(delivery) = delivery else { break };
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            let (worker, through) = (Arc::clone(&worker), Arc::clone(&through));
            working.spawn(async move {
                worker.take(delivery, &through).await;
                drop(place);
            });
        }
    }
}
