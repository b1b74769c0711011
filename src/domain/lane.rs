//! The ordered line of messages of one Task towards one side.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::status::UnknownCode;
use super::{ids::TaskId, status::codes};

codes! {
    /// Which side a lane leads to.
    Side {
        /// To the provider.
        Delivery = "delivery",
        /// To the originating record.
        WriteBack = "write-back",
    }
}

use std::{fmt, str::FromStr};

/// What a broker message carries: ids only, never clinical data. It says that a lane has work; what the work is, and in which
/// order, the store knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WakeUp {
    /// The Task whose lane has work.
    pub task: TaskId,
    /// Which of its two lanes.
    pub side: Side,
    /// The journal seq of the message that is due.
    pub seq: u64,
    /// The inbox or originating system whose queue it goes to.
    pub to: String,
    /// The outbox row; also the AMQP message id.
    pub message: Uuid,
    /// Version of the route set that decided; empty on the way back.
    pub route_set: String,
    /// W3C trace context of the request that caused it.
    pub traceparent: Option<String>,
}
