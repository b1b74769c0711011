//! A wake-up or a parcel as an AMQP message, and a message as a wake-up.

use std::sync::Arc;

use lapin::{
    BasicProperties,
    types::{AMQPValue, FieldTable},
};
use uuid::Uuid;

use super::topology::PARCELS;
use crate::{
    broker::{BrokerError, Parcel, Queue},
    domain::lane::{Side, WakeUp},
};

const CONTENT_TYPE: &str = "application/json";
const PERSISTENT: u8 = 2;
const WAKE_UP: &str = "wake-up";
const SEQ: &str = "onward-seq";
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// A message ready to be published.
#[derive(Debug, Clone)]
pub(super) struct Message {
    pub(super) id: Uuid,
    pub(super) exchange: &'static str,
    pub(super) key: String,
    pub(super) body: Arc<[u8]>,
    pub(super) properties: BasicProperties,
}

impl Message {
    pub(super) fn of(wake_up: &WakeUp, queue: &Queue) -> Result<Self, BrokerError> {
        let mut properties = BasicProperties::default()
            .with_content_type(CONTENT_TYPE.into())
            .with_delivery_mode(PERSISTENT)
            .with_message_id(wake_up.message.to_string().into())
            .with_type(WAKE_UP.into())
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
            body: serde_json::to_vec(wake_up).map_err(|error| BrokerError::BadMessage(error.to_string()))?.into(),
            properties,
        })
    }

    pub(super) fn of_parcel(parcel: &Parcel) -> Self {
        let mut headers = FieldTable::default();
        headers.insert(SEQ.into(), AMQPValue::LongLongInt(i64::try_from(parcel.seq).unwrap_or(i64::MAX)));
        headers.insert(IDEMPOTENCY_KEY.into(), AMQPValue::LongString(parcel.idempotency_key.as_str().into()));
        let properties = BasicProperties::default()
            .with_content_type("application/fhir+json".into())
            .with_delivery_mode(PERSISTENT)
            .with_message_id(parcel.message.to_string().into())
            .with_correlation_id(parcel.task.to_string().into())
            .with_timestamp(u64::try_from(parcel.at.as_second()).unwrap_or_default())
            .with_type(parcel.event.into())
            .with_app_id("onward".into())
            .with_headers(headers);
        Self {
            id: parcel.message,
            exchange: PARCELS,
            key: parcel.outlet.inbox.clone(),
            body: Arc::clone(&parcel.body),
            properties,
        }
    }
}

/// Reads a message's body. The error names the place of the fault, never what stands there.
pub(super) fn read(body: &[u8]) -> Result<WakeUp, String> {
    serde_json::from_slice(body)
        .map_err(|error| format!("{:?} fault at byte {} of {}", error.classify(), error.column(), body.len()))
}

/// Which parcel this was, by its properties. `None` if it was none. What it carries is not looked at.
pub(super) fn rejected(properties: &BasicProperties, routing_key: &str) -> Option<WakeUp> {
    let text = |text: &Option<lapin::types::ShortString>| text.as_ref().map(|text| text.as_str().to_owned());
    if text(properties.kind()).as_deref() == Some(WAKE_UP) || text(properties.app_id()).as_deref() != Some("onward") {
        return None;
    }
    let seq = match properties.headers().as_ref()?.inner().get(SEQ)? {
        AMQPValue::LongLongInt(seq) => u64::try_from(*seq).ok()?,
        _ => return None,
    };
    Some(WakeUp {
        task: text(properties.correlation_id())?.parse().ok()?,
        side: Side::Delivery,
        seq,
        to: routing_key.to_owned(),
        message: message_id(properties)?,
        route_set: String::new(),
        traceparent: None,
    })
}

/// The message id of a message that came back.
pub(super) fn message_id(properties: &BasicProperties) -> Option<Uuid> {
    properties.message_id().as_ref().and_then(|id| id.as_str().parse().ok())
}
