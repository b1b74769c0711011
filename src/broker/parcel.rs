//! What is put into a queue that a provider's own consumer reads.

use std::sync::Arc;

use uuid::Uuid;

use super::BrokerError;
use crate::domain::{clock::Timestamp, ids::TaskId};

/// A queue for a provider's own consumer: that of an inbox of kind `amqp`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Outlet {
    /// The inbox.
    pub inbox: String,
    /// So many messages it holds; more are refused, and none is dropped.
    pub max_length: u32,
}

/// A message for a provider's own consumer. Unlike a wake-up it carries the referral.
#[derive(Clone)]
pub struct Parcel {
    /// Where it goes.
    pub outlet: Outlet,
    /// The outbox row, the same over all tries and replays: the AMQP message id.
    pub message: Uuid,
    /// The Task it is about: the AMQP correlation id.
    pub task: TaskId,
    /// The journal seq of what it tells.
    pub seq: u64,
    /// What it tells, one of the codes of `CodeSystem/message-event`: the AMQP type.
    pub event: &'static str,
    /// By which a consumer knows what it has had before.
    pub idempotency_key: String,
    /// When that happened: the AMQP timestamp.
    pub at: Timestamp,
    /// A FHIR Bundle as JSON.
    pub body: Arc<[u8]>,
}

// === impl Outlet ===

impl Outlet {
    /// Its name at the broker: `amqp.<inbox>`.
    pub fn name(&self) -> String {
        format!("amqp.{}", self.inbox)
    }

    pub(super) fn unsupported(&self) -> BrokerError {
        let why = "this broker has no consumers outside the process".to_owned();
        BrokerError::Refused { queue: self.name(), why }
    }
}
