//! A provider's message as it is put into the originating record: a Communication there about the record's own ServiceRequest.

use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use super::{
    detail,
    fhir_rest::{Line, Memory, Record, Stop, failure_of},
    record_task::Origin,
};
use crate::{
    config::registry::Detail,
    fhir::{
        reference::{Target, encode, parse},
        task::{URI_SYSTEM, identifier_value},
        tree,
    },
    lanes::idempotency_key,
};

/// Elements that go as they are; what refers to the record's own is made anew.
const CARRIED: &[&str] = &[
    "status",
    "category",
    "priority",
    "topic",
    "sent",
    "received",
    "recipient",
    "sender",
    "reasonCode",
    "payload",
    "note",
];

/// The message as it would be written; none where nothing of it may be told.
fn make(line: &Line<'_>, message: &Value, origin: Option<&Origin>, task: Option<&str>) -> Option<Value> {
    let id = message.get("id").and_then(Value::as_str).unwrap_or_default();
    let mut identifiers = tree::items(message, "identifier").to_vec();
    identifiers.push(own_identifier(id));
    let mut written = json!({"resourceType": "Communication", "identifier": identifiers});
    let object = written.as_object_mut()?;
    for name in CARRIED {
        if let Some(value) = message.get(*name) {
            object.insert((*name).to_owned(), value.clone());
        }
    }
    let here = format!("{}/fhir", line.base_url);
    tree::map_references(&mut written, &mut |literal| match parse(literal) {
        Target::Relative { .. } => Some(format!("{here}/{literal}")),
        _ => None,
    });
    let object = written.as_object_mut()?;
    let answered =
        tree::items(message, "inResponseTo").iter().filter_map(|r| tree::text(r, "reference")?.split_once('/'));
    let answered: Vec<Value> =
        answered.map(|(_, id)| json!({"type": "Communication", "identifier": own_identifier(id)})).collect();
    if !answered.is_empty() {
        object.insert("inResponseTo".into(), answered.into());
    }
    let request = match origin {
        Some(origin) => {
            object.insert("subject".into(), origin.subject.clone());
            Some(json!({"reference": format!("ServiceRequest/{}", origin.id), "type": "ServiceRequest"}))
        }
        None => tree::items(line.request, "identifier")
            .first()
            .map(|identifier| json!({"type": "ServiceRequest", "identifier": identifier})),
    };
    if let Some(request) = request {
        object.insert("basedOn".into(), json!([request]));
    }
    let about = match task {
        Some(id) => json!({"reference": format!("Task/{id}"), "type": "Task"}),
        None => json!({"type": "Task", "identifier": {"system": URI_SYSTEM, "value": identifier_value(line.task.id)}}),
    };
    object.insert("about".into(), json!([about]));
    (line.detail > Detail::None).then(|| {
        detail::reduce_message(&mut written, line.detail);
        written
    })
}

fn own_identifier(id: &str) -> Value {
    json!({"system": URI_SYSTEM, "value": format!("urn:uuid:{id}")})
}

impl Record<'_> {
    /// Puts a message into the record, once.
    pub(super) async fn write_message(
        &self,
        line: &Line<'_>,
        message: &Value,
        origin: Option<&Origin>,
        memory: &Memory,
        again: bool,
    ) -> Result<(), Stop> {
        let Some(written) = make(line, message, origin, memory.task.as_deref()) else { return Ok(()) };
        let to = self.endpoint();
        let id = message.get("id").and_then(Value::as_str).unwrap_or_default();
        let condition = format!("identifier={}", encode(&format!("{URI_SYSTEM}|urn:uuid:{id}")));
        if again {
            let path = format!("Communication?{condition}");
            let answer = self.client.get(&to, &path, &[]).await.map_err(|e| e.failure())?;
            if !answer.status.is_success() {
                return Err(failure_of(&answer).into());
            }
            let ours = format!("urn:uuid:{id}");
            let bundle = answer.body.unwrap_or_default();
            let found = tree::items(&bundle, "entry").iter().filter_map(|e| e.get("resource")).any(|r| {
                tree::resource_type(r) == Some("Communication") && tree::identifiers(r).any(|(_, v, _)| v == ours)
            });
            if found {
                return Ok(());
            }
        }
        let key = format!("{}-message", idempotency_key(line.task.id, line.seq));
        let headers = [("if-none-exist", &*condition), ("idempotency-key", &*key)];
        let answer =
            self.client.send(&to, Method::POST, "Communication", &headers, &written).await.map_err(|e| e.failure())?;
        match answer.status {
            StatusCode::CREATED | StatusCode::OK | StatusCode::ACCEPTED | StatusCode::NO_CONTENT => Ok(()),
            _ => Err(failure_of(&answer).into()),
        }
    }
}
