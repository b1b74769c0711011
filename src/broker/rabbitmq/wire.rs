//! A wake-up as an AMQP message, and a message as a wake-up.

use lapin::{
    BasicProperties,
    types::{AMQPValue, FieldTable},
};
use uuid::Uuid;

use crate::{
    broker::{BrokerError, Queue},
    domain::lane::WakeUp,
};

const CONTENT_TYPE: &str = "application/json";
const PERSISTENT: u8 = 2;

/// A wake-up ready to be published.
#[derive(Debug, Clone)]
pub(super) struct Message {
    pub(super) id: Uuid,
    pub(super) exchange: &'static str,
    pub(super) key: String,
    pub(super) body: Vec<u8>,
    pub(super) properties: BasicProperties,
}

impl Message {
    pub(super) fn of(wake_up: &WakeUp, queue: &Queue) -> Result<Self, BrokerError> {
        let mut properties = BasicProperties::default()
            .with_content_type(CONTENT_TYPE.into())
            .with_delivery_mode(PERSISTENT)
            .with_message_id(wake_up.message.to_string().into())
            .with_type("wake-up".into())
            .with_app_id("onward".into());
        if let Some(parent) = &wake_up.traceparent {
            let mut headers = FieldTable::default();
            headers.insert("traceparent".into(), AMQPValue::LongString(parent.as_str().into()));
            properties = properties.with_headers(headers);
        }
        Ok(Self {
            id: wake_up.message,
            exchange: queue.exchange(),
            key: queue.to.clone(),
            body: serde_json::to_vec(wake_up).map_err(|error| BrokerError::BadMessage(error.to_string()))?,
            properties,
        })
    }
}

/// Reads a message's body. The error names the place of the fault, never what stands there.
pub(super) fn read(body: &[u8]) -> Result<WakeUp, String> {
    serde_json::from_slice(body)
        .map_err(|error| format!("{:?} fault at byte {} of {}", error.classify(), error.column(), body.len()))
}

/// The message id of a message that came back.
pub(super) fn message_id(properties: &BasicProperties) -> Option<Uuid> {
    properties.message_id().as_ref().and_then(|id| id.as_str().parse().ok())
}
