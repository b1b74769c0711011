//! Alerts: what waits for a person is told to a hook and a command, at least once, and kept in the store until then.
//!
//! Whoever finds something to tell puts it into the commit that makes it so ([`Append::alerts`](crate::store::Append)), or calls
//! [`raise`](crate::store::AlertStore::raise); what stands is ended by [`end_alert`](crate::store::AlertStore::end_alert). Nothing waits
//! for it to be told.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::{
    broker::Broker,
    client::FhirClient,
    config,
    domain::{
        Alert,
        clock::instant,
        retry::{Next, RetryPolicy},
    },
    store::{AlertSettled, Store, StoredAlert},
};

mod command;
pub mod sending;
mod watch;
pub mod worklist;

/// The store is asked this often for alerts to be told.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// At most so many are told between two looks, which bounds the rate.
const AT_ONCE: usize = 20;
/// Of those, so many side by side.
const SIDE_BY_SIDE: usize = 4;
/// An alert is one process's to tell for so long; telling it takes less ([`TELL_MAX`]).
const LEASE: Duration = Duration::from_secs(300);
/// Telling one takes no longer, hook and command together.
const TELL_MAX: Duration = Duration::from_secs(60);

/// Tells alerts, and looks whether broker and store are there. See the module's documentation.
#[derive(Clone)]
pub struct Teller {
    /// Where they are kept.
    pub store: Arc<dyn Store>,
    /// What is looked at.
    pub broker: Arc<dyn Broker>,
    /// How the hook is reached.
    pub client: FhirClient,
    /// Who is told.
    pub told: config::Alerts,
}

impl Teller {
    /// Runs until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        tokio::join!(self.tell_all(&stop), self.watch(&stop));
    }

    async fn tell_all(&self, stop: &CancellationToken) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = stop.cancelled() => return,
            }
            let due = match self.store.claim_alerts(AT_ONCE, LEASE).await {
                Ok(due) => due,
                Err(error) => {
                    tracing::warn!(%error, "the alerts to be told cannot be read");
                    continue;
                }
            };
            let telling = stream::iter(due).for_each_concurrent(SIDE_BY_SIDE, |stored| self.tell_and_settle(stored));
            tokio::select! {
                () = telling => {}
                // what was being told is told again after its lease, or at once after a start
                () = stop.cancelled() => return,
            }
        }
    }

    async fn tell_and_settle(&self, stored: StoredAlert) {
        let StoredAlert { alert, attempts, raised } = stored;
        let settled = match self.tell(&alert).await {
            Ok(told) => {
                // one that is told to nobody stands in the list alone, and is no figure of what somebody heard
                if told > 0 {
                    metrics::counter!("onward_alerts_told_total", "alert" => alert.kind.code()).increment(1);
                }
                AlertSettled::Told
            }
            Err(why) => match self.policy().next(attempts + 1, raised, self.store.now(), None, fastrand::f64()) {
                Next::At(until) => {
                    tracing::warn!(alert.id = %alert.id, alert = %alert.kind, why, "an alert could not be told; it is tried again");
                    AlertSettled::Later(until)
                }
                Next::GiveUp => {
                    tracing::error!(alert.id = %alert.id, alert = %alert.kind, why, "an alert was not told: given up");
                    AlertSettled::GivenUp
                }
            },
        };
        if let Err(error) = self.store.settle_alert(alert.id, settled).await {
            tracing::warn!(alert.id = %alert.id, %error, "that an alert was told could not be kept; it is told again");
        }
    }

    fn policy(&self) -> RetryPolicy {
        let (first, cap) = (jiff::SignedDuration::from_secs(2), jiff::SignedDuration::from_mins(5));
        RetryPolicy { first, cap, give_up_after: self.told.give_up_after, ..RetryPolicy::default() }
    }

    /// Tells one to everybody who is to be told, and how many those are; where one cannot be reached, all are told again.
    async fn tell(&self, alert: &Alert) -> Result<usize, String> {
        let said = said(alert);
        let telling = async {
            let mut told = 0;
            if let Some(hook) = &self.told.hook {
                self.client
                    .notify(hook, &alert.id.to_string(), &said)
                    .await
                    .map_err(|why| format!("the hook: {why}"))?;
                told += 1;
            }
            if !self.told.command.is_empty() {
                command::run(&self.told.command, &said).await.map_err(|why| format!("the command: {why}"))?;
                told += 1;
            }
            Ok(told)
        };
        let late = || Err(format!("not told within {TELL_MAX:?}"));
        tokio::time::timeout(TELL_MAX, telling).await.unwrap_or_else(|_| late())
    }
}

/// An alert as it is told: ids and our own words, no clinical content.
fn said(alert: &Alert) -> Value {
    json!({
        "alert": alert.id.to_string(),
        "kind": alert.kind.code(),
        "about": alert.subject,
        "task": alert.task.map(|id| id.to_string()),
        "message": alert.message.map(|id| id.to_string()),
        "since": instant(alert.since),
        "text": alert.text,
        "advice": alert.kind.advice(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{broker::embedded::Embedded, config::Outbound, domain::AlertKind, store::sqlite::SqliteStore};

    #[tokio::test]
    async fn how_many_were_told_is_known_and_may_be_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(crate::domain::ManualClock::at("2026-03-02T09:00:00Z".parse().unwrap()));
        let store = Arc::new(SqliteStore::open(&folder.path().join("onward.db"), clock).unwrap());
        let alert = Alert::new(AlertKind::GlassBroken, "somebody".to_owned(), store.now(), "a text".to_owned());
        let teller = |command: &[&str]| Teller {
            store: store.clone(),
            broker: Arc::new(Embedded::new(Default::default())),
            client: FhirClient::new(&Outbound::anywhere()).unwrap(),
            told: config::Alerts {
                command: command.iter().map(|word| (*word).to_owned()).collect(),
                ..config::Alerts::default()
            },
        };
        assert_eq!(teller(&[]).tell(&alert).await, Ok(0), "nobody is to be told");
        assert_eq!(teller(&["cat"]).tell(&alert).await, Ok(1));
        assert!(teller(&["false"]).tell(&alert).await.is_err());
    }
}
