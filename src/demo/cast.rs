//! The players of the demonstration: record systems that refer and providers that answer. Each is a client of Onward like any
//! other, with its own token, over HTTP; some have a FHIR server (`double`).

pub mod providers;
pub mod records;
pub mod script;

use serde_json::Value;

use crate::fhir::{task::URI_SYSTEM, tree};

/// Onward's id of a Task, wherever the copy of it lies: by the identifier that never changes.
pub fn task_id(task: &Value) -> Option<String> {
    uris(task).find_map(|value| value.strip_prefix("urn:uuid:").map(str::to_owned))
}

/// Where Onward has the Task, as its copy says.
pub fn task_url(task: &Value) -> Option<String> {
    uris(task).find(|value| value.starts_with("http")).map(str::to_owned)
}

fn uris(task: &Value) -> impl Iterator<Item = &str> {
    tree::identifiers(task).filter(|(system, _, _)| *system == Some(URI_SYSTEM)).map(|(_, value, _)| value)
}

/// The placer identifier of a ServiceRequest, `system|value`.
pub fn placer(request: &Value) -> Option<String> {
    let is_placer = |identifier: &Value| tree::text(identifier, "type.coding.code") == Some("PLAC");
    let mut all = tree::identifiers(request);
    all.find(|(_, _, identifier)| is_placer(identifier))
        .map(|(system, value, _)| format!("{}|{value}", system.unwrap_or_default()))
}

/// System of the identifiers that referrers give their answers; the value is the Task's id.
const ANSWERS: &str = "https://fixtures.example/answer";

/// Whether a message is a referrer's answer about this Task.
fn is_answer(message: &Value, task: &str) -> bool {
    crate::fhir::tree::identifiers(message).any(|(system, value, _)| system == Some(ANSWERS) && value == task)
}
