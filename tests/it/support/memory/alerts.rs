//! The alerts that are kept until somebody was told.

use std::time::Duration;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use onward::{
    domain::{Alert, AlertKind, alert},
    store::{AlertSettled, AlertStore, Store, StoreError, StoredAlert},
};
use uuid::Uuid;

use super::Memory;

const KEPT: SignedDuration = SignedDuration::from_hours(30 * 24);

/// See the module's documentation.
#[derive(Default)]
pub struct Alerts(Vec<Kept>);

struct Kept {
    stored: StoredAlert,
    /// When it is to be told; none where that is over.
    due: Option<Timestamp>,
    is_open: bool,
}

impl Alerts {
    pub fn raise(&mut self, alerts: Vec<Alert>, now: Timestamp) {
        for alert in alerts {
            let is_known = self.0.iter().any(|kept| {
                let known = &kept.stored.alert;
                known.id == alert.id || (kept.is_open && known.kind == alert.kind && known.subject == alert.subject)
            });
            if !is_known {
                let is_open = alert.kind.stands();
                self.0.push(Kept { stored: StoredAlert { alert, attempts: 0, raised: now }, due: Some(now), is_open });
            }
        }
    }

    pub fn end_about_routes(&mut self) {
        for kept in &mut self.0 {
            let about = &kept.stored.alert;
            kept.is_open &=
                about.kind != AlertKind::ConfigurationRefused || !about.subject.starts_with(alert::ROUTE_SET);
        }
    }

    pub fn end(&mut self, kind: AlertKind, subject: &str) -> bool {
        let is_it =
            |kept: &&mut Kept| kept.is_open && kept.stored.alert.kind == kind && kept.stored.alert.subject == subject;
        let open = self.0.iter_mut().find(is_it);
        open.is_some_and(|kept| std::mem::take(&mut kept.is_open))
    }

    pub fn claim(&mut self, limit: usize, lease: Duration, now: Timestamp) -> Vec<StoredAlert> {
        self.0.retain(|kept| kept.due.is_some() || kept.is_open || kept.stored.raised >= now - KEPT);
        let mut due: Vec<_> = self.0.iter_mut().filter(|kept| kept.due.is_some_and(|due| due <= now)).collect();
        due.sort_by_key(|kept| (kept.due, kept.stored.alert.id));
        due.truncate(limit);
        due.iter_mut().for_each(|kept| kept.due = Some(now + lease));
        due.iter().map(|kept| kept.stored.clone()).collect()
    }

    pub fn settle(&mut self, id: Uuid, settled: AlertSettled) {
        if let Some(kept) = self.0.iter_mut().find(|kept| kept.stored.alert.id == id && kept.due.is_some()) {
            kept.stored.attempts += 1;
            kept.due = match settled {
                AlertSettled::Later(at) => Some(at),
                AlertSettled::Told | AlertSettled::GivenUp => None,
            };
        }
    }

    pub fn open(&self, limit: usize) -> Vec<Alert> {
        let mut open: Vec<_> =
            self.0.iter().filter(|kept| kept.is_open).map(|kept| kept.stored.alert.clone()).collect();
        open.sort_by_key(|alert| (alert.since, alert.id));
        open.truncate(limit);
        open
    }
}

#[async_trait]
impl AlertStore for Memory {
    async fn raise(&self, alerts: Vec<Alert>) -> Result<(), StoreError> {
        let now = self.now();
        self.all()?.alerts.raise(alerts, now);
        Ok(())
    }

    async fn end_alert(&self, kind: AlertKind, subject: &str) -> Result<bool, StoreError> {
        Ok(self.all()?.alerts.end(kind, subject))
    }

    async fn claim_alerts(&self, limit: usize, lease: Duration) -> Result<Vec<StoredAlert>, StoreError> {
        let now = self.now();
        Ok(self.all()?.alerts.claim(limit, lease, now))
    }

    async fn settle_alert(&self, id: Uuid, settled: AlertSettled) -> Result<(), StoreError> {
        self.all()?.alerts.settle(id, settled);
        Ok(())
    }

    async fn open_alerts(&self, limit: usize) -> Result<Vec<Alert>, StoreError> {
        Ok(self.all()?.alerts.open(limit))
    }
}
