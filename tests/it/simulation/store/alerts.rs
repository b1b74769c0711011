//! The part of the port that keeps alerts, reached the same way.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use onward::{
    domain::{Alert, AlertKind},
    store::{AlertSettled, AlertStore, StoreError, StoredAlert},
};
use uuid::Uuid;

use super::Reached;

#[async_trait]
impl AlertStore for Reached {
    async fn raise(&self, alerts: Vec<Alert>) -> Result<(), StoreError> {
        reach!(self, raise(alerts))
    }

    async fn end_alert(&self, kind: AlertKind, subject: &str) -> Result<bool, StoreError> {
        let subject = subject.to_owned();
        reach!(self, end_alert(kind, &subject))
    }

    async fn claim_alerts(&self, limit: usize, lease: Duration) -> Result<Vec<StoredAlert>, StoreError> {
        reach!(self, claim_alerts(limit, lease))
    }

    async fn settle_alert(&self, id: Uuid, settled: AlertSettled) -> Result<(), StoreError> {
        reach!(self, settle_alert(id, settled))
    }

    async fn open_alerts(&self, limit: usize) -> Result<Vec<Alert>, StoreError> {
        reach!(self, open_alerts(limit))
    }
}
