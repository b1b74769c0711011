//! Kind `amqp`: the referral as one FHIR message in a queue that the provider's own consumer reads.
//!
//! It is a Bundle of type `message` (R4 2.4, messaging), because that is made for queues: its MessageHeader says by itself what it
//! is about, where a `collection` would need the properties around it, a `document` a Composition that nobody wrote, and a
//! `transaction` tells a server what to do, while here is none. Everything the referral carries is in it, under the ids and URLs that
//! it has in this Onward, so that each reference leads to an entry.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    broker::{Broker, BrokerError, Outlet, Parcel},
    config::registry::{AmqpInbox, InboxKind, Registry},
    domain::{
        Event, InboxId,
        clock::{Timestamp, instant},
        status::{UnknownCode, codes},
    },
    fhir::{
        task::{URI_SYSTEM, name_in_full},
        tree,
    },
    lanes::{Cause, Outcome},
};

/// System of the codes that say what a message tells.
pub const EVENT_SYSTEM: &str = "https://onward.example/fhir/CodeSystem/message-event";

codes! {
    /// What a message tells: the codes of `CodeSystem/message-event`, which stand in `MessageHeader.eventCoding` and in the AMQP
    /// property `type`.
    MessageEvent {
        /// A referral and all that travels with it.
        Referral = "referral",
        /// A new version of its ServiceRequest.
        Amended = "amended",
        /// The referrer asks for cancellation.
        CancellationRequested = "cancellation-requested",
        /// It should never have been.
        Retracted = "retracted",
        /// Somebody wrote: a Communication.
        Message = "message",
        /// Something else about the Task.
        Task = "task",
    }
}

impl MessageEvent {
    /// What a lane message tells; none is the referral itself.
    pub fn of(event: Option<&Event>) -> Self {
        match event {
            None => Self::Referral,
            Some(Event::Amended { .. }) => Self::Amended,
            Some(Event::CancellationRequested { .. }) => Self::CancellationRequested,
            Some(Event::Retracted { .. }) => Self::Retracted,
            Some(Event::Message { .. }) => Self::Message,
            Some(_) => Self::Task,
        }
    }
}

/// What a message is made of.
pub struct Message<'a> {
    /// Its id, the same over all tries.
    pub id: Uuid,
    /// What it tells.
    pub event: MessageEvent,
    /// When that happened.
    pub at: Timestamp,
    /// Where this Onward is reached.
    pub base_url: &'a str,
    /// The Task.
    pub task: Value,
    /// ServiceRequest and all that travels with it, with their ids here.
    pub resources: Vec<Value>,
}

/// The queue of an inbox.
pub fn outlet(id: &InboxId, inbox: &AmqpInbox) -> Outlet {
    Outlet { inbox: id.to_string(), max_length: inbox.max_length }
}

/// The queues of all inboxes of this kind.
pub fn outlets(registry: &Registry) -> Vec<Outlet> {
    let of = |(id, inbox): (&InboxId, &crate::config::registry::Inbox)| match &inbox.kind {
        InboxKind::Amqp(amqp) => Some(outlet(id, amqp)),
        InboxKind::FhirRest(_) | InboxKind::Worklist => None,
    };
    registry.inboxes.iter().filter_map(of).collect()
}

/// The Bundle.
pub fn bundle(message: Message<'_>) -> Value {
    let Message { id, event, at, base_url, mut task, resources } = message;
    name_in_full(&mut task, base_url);
    let base = format!("{base_url}/fhir");
    let url = |resource: &Value| {
        let id = resource.get("id").and_then(Value::as_str).unwrap_or_default();
        format!("{base}/{}/{id}", tree::resource_type(resource).unwrap_or_default())
    };
    let header = json!({
        "resourceType": "MessageHeader",
        "id": id.to_string(),
        "eventCoding": {"system": EVENT_SYSTEM, "code": event.code()},
        "source": {"name": "Onward", "software": "onward", "version": env!("CARGO_PKG_VERSION"), "endpoint": base},
        "focus": [{"reference": url(&task), "type": "Task"}],
    });
    let mut entries = vec![json!({"fullUrl": format!("urn:uuid:{id}"), "resource": header})];
    entries.extend(
        std::iter::once(task).chain(resources).map(|resource| json!({"fullUrl": url(&resource), "resource": resource})),
    );
    json!({
        "resourceType": "Bundle",
        "identifier": {"system": URI_SYSTEM, "value": format!("urn:uuid:{id}")},
        "type": "message",
        "timestamp": instant(at),
        "entry": entries,
    })
}

/// Hands a parcel over. Whether an earlier try got there cannot be asked: it is put there again, and the consumer knows it by its
/// message id.
pub async fn hand_over(broker: &dyn Broker, parcel: &Parcel) -> Outcome {
    match broker.hand_over(parcel).await {
        Ok(()) => Outcome::Arrived { remote: parcel.task.to_string(), memory: None, notes: vec![] },
        Err(error @ BrokerError::BadMessage(_)) => Outcome::Refused { why: error.to_string() },
        Err(error) => {
            // a full queue is left alone for a while; whoever empties it need not be asked for each message
            let full = matches!(error, BrokerError::Refused { .. });
            let cause = if full { Cause::Throttled } else { Cause::Away };
            Outcome::Deferred { cause, retry_after: None, memory: None, why: error.to_string() }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_says_what_it_is_and_every_reference_leads_to_an_entry() {
        let made = bundle(Message {
            id: Uuid::from_u128(7),
            event: MessageEvent::Referral,
            at: Timestamp::UNIX_EPOCH,
            base_url: "https://onward.example",
            task: json!({"resourceType": "Task", "id": "t", "focus": {"reference": "ServiceRequest/s"},
                         "owner": {"reference": "Organization/o"}}),
            resources: vec![
                json!({"resourceType": "ServiceRequest", "id": "s", "subject": {"reference": "Patient/p"}}),
                json!({"resourceType": "Patient", "id": "p"}),
            ],
        });
        assert_eq!(made["type"], "message");
        let header = &made["entry"][0];
        assert_eq!(header["fullUrl"], "urn:uuid:00000000-0000-0000-0000-000000000007");
        assert_eq!(header["resource"]["eventCoding"]["code"], "referral");
        // R4 references, 2.3.0.6: a relative one is completed by the base of its entry's fullUrl
        let urls: Vec<_> = made["entry"].as_array().into_iter().flatten().map(|e| e["fullUrl"].clone()).collect();
        let base = "https://onward.example/fhir";
        assert_eq!(
            urls[1..],
            [format!("{base}/Task/t"), format!("{base}/ServiceRequest/s"), format!("{base}/Patient/p")]
        );
        assert!(urls.contains(&header["resource"]["focus"][0]["reference"]));
        assert_eq!(made["entry"][1]["resource"]["owner"]["reference"], format!("{base}/Organization/o"));
        assert_eq!(made["entry"][2]["resource"]["subject"]["reference"], "Patient/p", "what was sent stays as it was");
    }
}
