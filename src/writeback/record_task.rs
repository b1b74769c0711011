//! The Task as it stands in the originating record: what of it is ours, and how it is put beside what the record added.

use serde_json::{Map, Value, json};

use super::{detail, fhir_rest::Line};
use crate::{
    domain::TaskId,
    fhir::{
        reference::{Target, parse},
        task::{SEQ_EXTENSION, URI_SYSTEM, identifier_value},
    },
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
pub fn make(line: &Line<'_>, body: &Value, origin: Option<&Origin>) -> Value {
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
        if let Some(value) = body.get(name) {
            object.insert(name.to_owned(), value.clone());
        }
    }
    // the record knows the parent by its identifier; by which id, another lane has found
    let parents = crate::fhir::tree::items(body, "partOf").iter().filter_map(|parent| parent.get("identifier"));
    let parents: Vec<Value> = parents.map(|identifier| json!({"type": "Task", "identifier": identifier})).collect();
    if !parents.is_empty() {
        object.insert("partOf".into(), parents.into());
    }
    // what a provider or we name relatively means nothing in the record, or another: named in full
    let here = format!("{}/fhir", line.base_url);
    crate::fhir::tree::map_references(&mut task, &mut |literal| match parse(literal) {
        Target::Relative { .. } => Some(format!("{here}/{literal}")),
        _ => None,
    });
    let Some(object) = task.as_object_mut() else { return task };
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
            let person = body.get("for").and_then(|s| s.get("identifier")).cloned();
            if let Some(identifier) = person.or_else(|| nhs_number(line.resources)) {
                object.insert("for".into(), json!({"type": "Patient", "identifier": identifier}));
            }
        }
    }
    detail::reduce(&mut task, line.detail);
    task
}

fn nhs_number(resources: &[Value]) -> Option<Value> {
    let patient = resources.iter().find(|r| crate::fhir::tree::resource_type(r) == Some("Patient"))?;
    let identifiers = crate::fhir::tree::items(patient, "identifier");
    let is_nhs = |i: &&Value| i.get("system").and_then(Value::as_str) == Some(crate::fhir::nhs_number::SYSTEM);
    identifiers.iter().find(is_nhs).cloned()
}

/// A Task without the journal seq: a record that drops our extension still shows by the rest what was written.
pub fn without_seq(task: &Value) -> Value {
    let mut task = task.clone();
    if let Some(object) = task.as_object_mut() {
        let mut extensions = list(object.get("extension"));
        extensions.retain(|e| e.get("url").and_then(Value::as_str) != Some(SEQ_EXTENSION));
        put(object, "extension", extensions);
    }
    task
}

/// The record's Task with what is ours brought up to `new`, and everything else left as the record has it. Of notes and outputs,
/// those that we wrote `before` and the provider has taken back go, and the record's own stay.
pub fn merge(record: &Value, before: Option<&Value>, new: &Value, task: TaskId) -> Value {
    let (Some(record), Some(new)) = (record.as_object(), new.as_object()) else { return new.clone() };
    let mut merged: Map<String, Value> = record.clone();
    for name in OURS {
        match new.get(*name) {
            Some(value) => merged.insert((*name).to_owned(), value.clone()),
            None => merged.shift_remove(*name),
        };
    }
    for name in ["focus", "for"] {
        // told by identifier only, until the record's own was found
        if let Some(value) = new.get(name).filter(|v| v.get("reference").is_some() || !record.contains_key(name)) {
            merged.insert(name.to_owned(), value.clone());
        }
    }
    for name in ["note", "output"] {
        let (had, ours) = (list(before.and_then(|b| b.get(name))), list(new.get(name)));
        let mut all = list(record.get(name));
        all.retain(|item| !had.iter().any(|h| alike(h, item)) || ours.iter().any(|o| alike(o, item)));
        put(&mut merged, name, joined(all, ours, alike));
    }
    let identifier = identifier_value(task);
    let is_ours = |i: &Value| {
        i.get("system").and_then(Value::as_str) == Some(URI_SYSTEM)
            && i.get("value").and_then(Value::as_str).is_some_and(|v| v == identifier || v.ends_with(&task.to_string()))
    };
    let same = |a: &Value, b: &Value| a == b || (is_ours(a) && is_ours(b) && a.get("value") == b.get("value"));
    put(&mut merged, "identifier", joined(list(record.get("identifier")), list(new.get("identifier")), same));
    let mut extensions = list(merged.get("extension"));
    extensions.retain(|e| e.get("url").and_then(Value::as_str) != Some(SEQ_EXTENSION));
    extensions.extend(list(new.get("extension")));
    put(&mut merged, "extension", extensions);
    Value::Object(merged)
}

fn list(value: Option<&Value>) -> Vec<Value> {
    value.and_then(Value::as_array).cloned().unwrap_or_default()
}

fn joined(mut all: Vec<Value>, more: Vec<Value>, same: impl Fn(&Value, &Value) -> bool) -> Vec<Value> {
    for item in more {
        if !all.iter().any(|a| same(a, &item)) {
            all.push(item);
        }
    }
    all
}

/// Whether two notes or outputs say the same, though a record has given one an id, trimmed it, or written its time otherwise.
fn alike(a: &Value, b: &Value) -> bool {
    let bare = |value: &Value| {
        let mut value = value.clone();
        if let Some(object) = value.as_object_mut() {
            object.shift_remove("id");
            let at = object.get("time").and_then(Value::as_str).and_then(crate::fhir::datetime::parse_instant);
            if let Some(at) = at {
                object.insert("time".into(), at.to_string().into());
            }
            let text = object.get("text").and_then(Value::as_str).map(|t| t.trim().to_owned());
            if let Some(text) = text {
                object.insert("text".into(), text.into());
            }
        }
        value
    };
    bare(a) == bare(b)
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
    use crate::fhir::task::seq_of;

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
        let merged = merge(&record, None, &new, id);
        assert_eq!(merged["description"], "typed by the ward");
        assert_eq!(merged["status"], "accepted");
        assert_eq!(merged.get("statusReason"), None);
        assert_eq!(merged["identifier"].as_array().map(Vec::len), Some(2));
        assert_eq!(merged["note"], json!([{"text": "told the family"}, {"text": "first visit"}]));
        assert_eq!(seq_of(&merged), Some(4));
        assert_eq!(merged["extension"].as_array().map(Vec::len), Some(2));
        assert_eq!(merge(&merged, None, &new, id), merged, "merging again changes nothing");

        // the record has given our note an id, and the provider takes it back
        let mut kept = merged.clone();
        kept["note"][1]["id"] = "n1".into();
        assert_eq!(merge(&kept, None, &new, id)["note"], kept["note"], "not doubled");
        let mut without = new.clone();
        without["note"] = json!([]);
        assert_eq!(merge(&kept, Some(&new), &without, id)["note"], json!([{"text": "told the family"}]));
    }
}
