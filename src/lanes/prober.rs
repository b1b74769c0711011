//! Asks endpoints that are left alone, now and then, whether they are back: with one message, by one process.

use std::{sync::Arc, time::Duration};

use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::Worker;

/// How often it looks whether it is time to ask.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Runs until `stop`, for the endpoints of the worker's side.
pub async fn run(worker: Arc<Worker>, stop: CancellationToken) {
    let asking = TaskTracker::new();
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        for of in worker.endpoints().due_for_probe(worker.side()) {
            let worker = Arc::clone(&worker);
            asking.spawn(async move {
                let asked = match worker.endpoints().begin_probe(&of).await {
                    Ok(Some(place)) => worker.probe(&of, place).await,
                    Ok(None) => Ok(()),
                    Err(error) => Err(error),
                };
                if let Err(error) = asked {
                    tracing::warn!(endpoint = %of, %error, "an endpoint could not be asked; it is asked again");
                }
            });
        }
    }
    asking.close();
    asking.wait().await;
}
