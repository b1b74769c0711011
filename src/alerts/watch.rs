//! Looks whether broker and store are there, and what cannot be sent. What is away for long is told; a store that is away cannot keep its own alert, so that
//! one is told from memory.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio_util::sync::CancellationToken;

use super::{Teller, sending};
use crate::domain::{Alert, AlertKind};

/// It looks this often, and at least four times within the time after which something counts as away for long.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// A store that has not answered by then is away.
const ANSWER_MAX: Duration = Duration::from_secs(10);
const BROKER: &str = "broker";
const STORE: &str = "store";

/// What was seen so far.
#[derive(Default)]
struct Seen {
    /// Whether an alert about the broker may be open; after a start one of before may.
    broker_told: Option<bool>,
    /// Since when the store is away.
    store_since: Option<Timestamp>,
    /// Whether somebody knows.
    store_told: bool,
    sending_told: sending::Told,
}

impl Teller {
    pub(super) async fn watch(&self, stop: &CancellationToken) {
        let mut seen = Seen::default();
        let every = LOOK_EVERY.min(self.told.away_after / 4).max(Duration::from_millis(50));
        loop {
            self.look_at_broker(&mut seen).await;
            self.look_at_store(&mut seen).await;
            self.look_at_sending(&mut seen.sending_told).await;
            tokio::select! {
                () = tokio::time::sleep(every) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    fn is_long(&self, since: Timestamp) -> bool {
        let long = SignedDuration::try_from(self.told.away_after).unwrap_or(SignedDuration::MAX);
        self.store.now().duration_since(since) >= long
    }

    async fn look_at_broker(&self, seen: &mut Seen) {
        let health = self.broker.health();
        if health.connected {
            if seen.broker_told != Some(false) && self.store.end_alert(AlertKind::BrokerAway, BROKER).await.is_ok() {
                seen.broker_told = Some(false);
            }
        } else if seen.broker_told != Some(true) && self.is_long(health.since) {
            tracing::error!(detail = health.detail, "the broker has been away for long");
            metrics::counter!("onward_alerts_total", "alert" => AlertKind::BrokerAway.code()).increment(1);
            let alert = Alert::new(AlertKind::BrokerAway, BROKER, health.since, health.detail);
            if self.store.raise(vec![alert]).await.is_ok() {
                seen.broker_told = Some(true);
            }
        }
    }

    async fn look_at_store(&self, seen: &mut Seen) {
        let late = || format!("no answer within {ANSWER_MAX:?}");
        let ready = match tokio::time::timeout(ANSWER_MAX, self.store.ready()).await {
            Ok(ready) => ready.map_err(|error| error.to_string()),
            Err(_) => Err(late()),
        };
        let Err(why) = ready else {
            (seen.store_since, seen.store_told) = (None, false);
            return;
        };
        let since = *seen.store_since.get_or_insert_with(|| self.store.now());
        if seen.store_told || !self.is_long(since) {
            return;
        }
        tracing::error!(why, "the store cannot be written to");
        metrics::counter!("onward_alerts_total", "alert" => AlertKind::StoreTrouble.code()).increment(1);
        match self.tell(&Alert::new(AlertKind::StoreTrouble, STORE, since, why)).await {
            Ok(_) => seen.store_told = true,
            Err(why) => tracing::warn!(why, "that the store is away could not be told; it is tried again"),
        }
    }
}
