//! What is said: a Bundle of type history whose first entry tells of the subscription (backport-subscription-notification-r4).

use serde_json::{Value, json};
use uuid::Uuid;

use super::{TOPIC, channel::Content};
use crate::domain::{Subscription, SubscriptionEvent, SubscriptionStatus, clock::instant};

/// Why it is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// To see whether the channel is there.
    Handshake,
    /// To show that both are there still.
    Heartbeat,
    /// Something happened.
    Events,
    /// It was asked how it is.
    Status,
    /// It was asked what happened.
    Query,
}

impl Kind {
    /// R5 subscription-notification-type.
    const fn code(self) -> &'static str {
        match self {
            Self::Handshake => "handshake",
            Self::Heartbeat => "heartbeat",
            Self::Events => "event-notification",
            Self::Status => "query-status",
            Self::Query => "query-event",
        }
    }
}

/// A Subscription as it is read: what its owner wrote, its id, how it is with it.
pub fn resource(subscription: &Subscription) -> Value {
    let mut body: Value = serde_json::from_str(&subscription.body).unwrap_or_default();
    if let Some(object) = body.as_object_mut() {
        object.insert("id".into(), subscription.id.to_string().into());
        object.insert("status".into(), subscription.status.code().into());
        object.shift_remove("error");
        if let Some(why) = &subscription.progress.why {
            object.insert("error".into(), why.clone().into());
        }
    }
    crate::fhir::task::with_meta(body, subscription.version, subscription.last_updated)
}

/// How it is with a subscription (backport-subscription-status-r4).
pub fn status(subscription: &Subscription, kind: Kind, events: &[SubscriptionEvent], content: Content) -> Value {
    let mut parameters = vec![
        json!({"name": "subscription", "valueReference": {"reference": format!("Subscription/{}", subscription.id)}}),
        json!({"name": "topic", "valueCanonical": TOPIC}),
        json!({"name": "status", "valueCode": subscription.status.code()}),
        json!({"name": "type", "valueCode": kind.code()}),
        json!({"name": "events-since-subscription-start", "valueString": subscription.events.to_string()}),
    ];
    for event in events {
        let mut part = vec![
            json!({"name": "event-number", "valueString": event.number.to_string()}),
            json!({"name": "timestamp", "valueInstant": instant(event.at)}),
        ];
        if content != Content::Empty {
            part.push(json!({"name": "focus", "valueReference": {"reference": format!("Task/{}", event.task)}}));
        }
        parameters.push(json!({"name": "notification-event", "part": part}));
    }
    if let (SubscriptionStatus::Error, Some(why)) = (subscription.status, &subscription.progress.why) {
        parameters.push(json!({"name": "error", "valueCodeableConcept": {"text": why}}));
    }
    json!({
        "resourceType": "Parameters",
        "id": Uuid::now_v7().to_string(),
        "meta": {"profile": ["http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/backport-subscription-status-r4"]},
        "parameter": parameters,
    })
}

/// The whole of it. `bodies`: the Tasks as they became, in the order of the events, where the content is full.
pub fn bundle(
    subscription: &Subscription,
    kind: Kind,
    events: &[SubscriptionEvent],
    content: Content,
    bodies: Vec<Value>,
    base: &str,
) -> Value {
    let status = status(subscription, kind, events, content);
    let id = status.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut entries = vec![json!({
        "fullUrl": format!("urn:uuid:{id}"),
        "resource": status,
        "request": {"method": "GET", "url": format!("{base}/Subscription/{}/$status", subscription.id)},
        "response": {"status": "200"},
    })];
    let mut bodies = bodies.into_iter();
    for event in events.iter().filter(|_| content != Content::Empty) {
        let url = format!("Task/{}", event.task);
        let first = event.version == 1;
        let mut entry = json!({
            "fullUrl": format!("{base}/{url}"),
            "request": {"method": if first { "POST" } else { "PUT" }, "url": if first { "Task" } else { &*url }},
            "response": {"status": if first { "201" } else { "200" }},
        });
        if let (Content::FullResource, Some(body), Some(object)) = (content, bodies.next(), entry.as_object_mut()) {
            object.insert("resource".into(), body);
        }
        entries.push(entry);
    }
    json!({
        "resourceType": "Bundle",
        "id": Uuid::now_v7().to_string(),
        "meta": {"profile": ["http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/backport-subscription-notification-r4"]},
        "type": "history",
        "timestamp": instant(jiff::Timestamp::now()),
        "entry": entries,
    })
}
