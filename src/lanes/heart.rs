//! The heart: says in the store that this process lives, and ends the leases of those that stopped saying so. Every process has
//! one, whatever part of the work it does, for as long as it holds anything.

use std::sync::Arc;

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::Relay;
use crate::store::{BEAT_EVERY, Store};

/// See the module's documentation.
pub struct Heart {
    /// Where it beats.
    pub store: Arc<dyn Store>,
    /// Who is told that something may be due.
    pub relay: Relay,
}

impl Heart {
    /// Runs until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(BEAT_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut lives = true;
        loop {
            // in this order, so that a simulation runs the same each time
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            match self.beat().await {
                Ok(()) if !lives => tracing::info!("the store is reached again: sending goes on"),
                Ok(()) => {}
                Err(error) => tracing::debug!(%error, "no beat"),
            }
            let now_lives = self.store.may_send();
            if lives && !now_lives {
                metrics::counter!("onward_alerts_total", "alert" => "no-beat").increment(1);
                tracing::error!("the store was not reached for too long: nothing is sent until it is");
            }
            lives = now_lives;
        }
    }

    async fn beat(&self) -> Result<(), crate::store::StoreError> {
        self.store.beat().await?;
        let freed = self.store.end_leases_of_the_dead().await?;
        if freed > 0 {
            metrics::counter!("onward_leases_of_the_dead_total").increment(freed);
            self.relay.look_again();
        }
        Ok(())
    }
}
