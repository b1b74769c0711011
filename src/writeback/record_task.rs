//! The Task as it stands in the originating record: what of it is ours, and how it is put beside what the record added.

use serde_json::{Map, Value, json};

use super::{detail, fhir_rest::Line};
use crate::{
    domain::TaskId,
    fhir::task::{SEQ_EXTENSION, URI_SYSTEM, identifier_value},
};

/// The elements of the record's Task that are ours alone; all others are the record's once it is written.
const OURS: &[&str] = &["status", "statusReason", "businessStatus", "executionPeriod", "lastModified", "owner"];

/// What is known of the originating ServiceRequest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Its logical id in the record.
    pub id: String,
    /// Its subject there, as JSON.
    pub subject: Value,
}

/// The Task as it would be written into an empty place.
pub fn make(line: &Line<'_>, origin: Option<&Origin>) -> Value {
    let mut task = json!({
        "resourceType": "Task",
        "extension": [{"url": SEQ_EXTENSION, "valuePositiveInt": line.seq}],
    });
    let Some(object) = task.as_object_mut() else { return task };
    for name in [
        "identifier",
        "groupIdentifier",
        "status",
        "statusReason",
        "businessStatus",
        "intent",
        "priority",
        "code",
        "executionPeriod",
        "authoredOn",
        "lastModified",
        "owner",
        "note",
        "output",
    ] {
        if let Some(value) = line.body.get(name) {
            object.insert(name.to_owned(), value.clone());
        }
    }
    match origin {
        Some(origin) => {
            object.insert(
                "focus".into(),
                json!({"reference": format!("ServiceRequest/{}", origin.id), "type": "ServiceRequest"}),
            );
            object.insert("for".into(), origin.subject.clone());
        }
        None => {
            let identifier = crate::fhir::tree::items(line.request, "identifier").first();
            if let Some(identifier) = identifier {
                object.insert("focus".into(), json!({"type": "ServiceRequest", "identifier": identifier}));
            }
            let person = line.request.get("subject").and_then(|s| s.get("identifier")).cloned();
            if let Some(identifier) = person.or_else(|| nhs_number(line.resources)) {
                object.insert("for".into(), json!({"type": "Patient", "identifier": identifier}));
            }
        }
    }
    // ours are not the record's organisations: named in full
    crate::fhir::task::name_in_full(&mut task, line.base_url);
    detail::reduce(&mut task, line.detail);
    task
}

fn nhs_number(resources: &[Value]) -> Option<Value> {
    let patient = resources.iter().find(|r| crate::fhir::tree::resource_type(r) == Some("Patient"))?;
    let identifiers = crate::fhir::tree::items(patient, "identifier");
    let is_nhs = |i: &&Value| i.get("system").and_then(Value::as_str) == Some(crate::fhir::nhs_number::SYSTEM);
    identifiers.iter().find(is_nhs).cloned()
}

/// The journal seq that the record's Task shows.
pub fn seq_of(task: &Value) -> Option<u64> {
    let extensions = crate::fhir::tree::items(task, "extension");
    let ours = extensions.iter().find(|e| e.get("url").and_then(Value::as_str) == Some(SEQ_EXTENSION))?;
    ours.get("valuePositiveInt")?.as_u64()
}

/// The record's Task with what is ours brought up to `new`, and everything else left as the record has it. Notes and outputs of
/// the record's own stay beside ours.
pub fn merge(record: &Value, new: &Value, task: TaskId) -> Value {
    let (Some(record), Some(new)) = (record.as_object(), new.as_object()) else { return new.clone() };
    let mut merged: Map<String, Value> = record.clone();
    for name in OURS {
        match new.get(*name) {
            Some(value) => merged.insert((*name).to_owned(), value.clone()),
            None => merged.shift_remove(*name),
        };
    }
    for name in ["note", "output"] {
        let added = union(record.get(name), new.get(name), |a, b| a == b);
        put(&mut merged, name, added);
    }
    let identifier = identifier_value(task);
    let is_ours = |i: &Value| {
        i.get("system").and_then(Value::as_str) == Some(URI_SYSTEM)
            && i.get("value").and_then(Value::as_str).is_some_and(|v| v == identifier || v.ends_with(&task.to_string()))
    };
    put(
        &mut merged,
        "identifier",
        union(record.get("identifier"), new.get("identifier"), |a, b| {
            a == b || (is_ours(a) && is_ours(b) && a.get("value") == b.get("value"))
        }),
    );
    let mut extensions: Vec<Value> = crate::fhir::tree::items(&Value::Object(merged.clone()), "extension").to_vec();
    extensions.retain(|e| e.get("url").and_then(Value::as_str) != Some(SEQ_EXTENSION));
    extensions.extend(new.get("extension").and_then(Value::as_array).into_iter().flatten().cloned());
    put(&mut merged, "extension", extensions);
    Value::Object(merged)
}

fn union(theirs: Option<&Value>, ours: Option<&Value>, same: impl Fn(&Value, &Value) -> bool) -> Vec<Value> {
    let list = |v: Option<&Value>| v.and_then(Value::as_array).cloned().unwrap_or_default();
    let mut all = list(theirs);
    for item in list(ours) {
        if !all.iter().any(|a| same(a, &item)) {
            all.push(item);
        }
    }
    all
}

fn put(object: &mut Map<String, Value>, name: &str, values: Vec<Value>) {
    if values.is_empty() {
        object.shift_remove(name);
    } else {
        object.insert(name.to_owned(), values.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_records_own_additions_stay() {
        let id = TaskId::mint();
        let ours = json!({"system": URI_SYSTEM, "value": identifier_value(id)});
        let record = json!({"resourceType": "Task", "id": "7", "status": "received", "description": "typed by the ward",
            "identifier": [ours, {"system": "https://epr.example", "value": "T7"}],
            "note": [{"text": "told the family"}], "statusReason": {"text": "old"},
            "extension": [{"url": "https://epr.example/flag", "valueBoolean": true}, {"url": SEQ_EXTENSION, "valuePositiveInt": 2}]});
        let new = json!({"resourceType": "Task", "status": "accepted", "identifier": [ours], "note": [{"text": "first visit"}],
            "extension": [{"url": SEQ_EXTENSION, "valuePositiveInt": 4}]});
        let merged = merge(&record, &new, id);
        assert_eq!(merged["description"], "typed by the ward");
        assert_eq!(merged["status"], "accepted");
        assert_eq!(merged.get("statusReason"), None);
        assert_eq!(merged["identifier"].as_array().map(Vec::len), Some(2));
        assert_eq!(merged["note"], json!([{"text": "told the family"}, {"text": "first visit"}]));
        assert_eq!(seq_of(&merged), Some(4));
        assert_eq!(merged["extension"].as_array().map(Vec::len), Some(2));
        assert_eq!(merge(&merged, &new, id), merged, "merging again changes nothing");
    }
}
