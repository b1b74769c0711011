//! Kind `fhir-rest`: the provider's FHIR server gets one transaction, and afterwards, if it does not answer by itself, its copy
//! of the Task is read.

use hyper::Method;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    client::{Answer, CallError, Failure, FhirClient, query},
    config::registry::{Endpoint, FhirRestInbox},
    domain::TaskId,
    fhir::{reference, task::identifier_token, tree},
    lanes::Outcome,
};

/// What is known of the provider's copy of a Task.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copy {
    /// Its logical id there.
    pub id: String,
    /// Its ETag when what it says was last taken; none while nothing it says was.
    pub etag: Option<String>,
}

impl Copy {
    /// As the lane remembers it.
    pub fn memory(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// What the lane remembers, if it does.
    pub fn recall(memory: &str) -> Option<Self> {
        serde_json::from_str(memory).ok()
    }
}

/// The endpoint of an inbox.
pub fn endpoint(inbox: &FhirRestInbox) -> Endpoint {
    Endpoint { base_url: inbox.base_url.clone(), token: inbox.token.clone(), timeout: inbox.timeout }
}

/// Sends the transaction. `again` says that an earlier try may have arrived: then our Task is looked for first.
pub async fn deliver(client: &FhirClient, inbox: &FhirRestInbox, task: TaskId, bundle: &Value, again: bool) -> Outcome {
    let to = endpoint(inbox);
    if again {
        match look(client, &to, task).await {
            Ok(Some(copy)) => return arrived(copy),
            Ok(None) => {}
            Err(failure) => return failed(failure),
        }
    }
    let key = task.to_string();
    let sent = client.send(&to, Method::POST, "", &[("idempotency-key", &key)], bundle).await;
    let answer = match sent {
        Ok(answer) => answer,
        Err(error) => return failed(error.failure()),
    };
    match answer.failure() {
        None => match created(&answer) {
            Some(copy) => arrived(copy),
            // taken, but it does not say under which id: it can be asked
            None => match look(client, &to, task).await {
                Ok(Some(copy)) => arrived(copy),
                Ok(None) => failed(Failure::Transient {
                    retry_after: None,
                    why: "the transaction was answered with success, but the Task is not there".to_owned(),
                }),
                Err(failure) => failed(failure),
            },
        },
        // a duplicate or a conflict may be our own earlier try
        Some(failure) if matches!(answer.status.as_u16(), 409 | 412) => match look(client, &to, task).await {
            Ok(Some(copy)) => arrived(copy),
            Ok(None) => failed(failure),
            Err(other) => failed(other),
        },
        Some(failure) => failed(failure),
    }
}

fn arrived(copy: Copy) -> Outcome {
    Outcome::Arrived { remote: copy.id.clone(), memory: Some(copy.memory()), notes: vec![] }
}

fn failed(failure: Failure) -> Outcome {
    match failure {
        Failure::Transient { retry_after, why } => Outcome::Deferred { retry_after, memory: None, why },
        Failure::Permanent { why } => Outcome::Refused { why },
    }
}

/// The Task entry of a transaction's answer.
fn created(answer: &Answer) -> Option<Copy> {
    tree::items(answer.body.as_ref()?, "entry").iter().find_map(|entry| {
        let response = entry.get("response")?;
        let location = response.get("location").and_then(Value::as_str)?;
        let (kind, id) = match reference::parse(location) {
            reference::Target::Relative { kind, id, .. } | reference::Target::Absolute { kind, id, .. } => (kind, id),
            _ => return None,
        };
        let etag = response.get("etag").and_then(Value::as_str).map(str::to_owned);
        (kind == "Task").then(|| Copy { id: id.to_owned(), etag })
    })
}

/// Our Task on the provider's server, if it is there.
async fn look(client: &FhirClient, to: &Endpoint, task: TaskId) -> Result<Option<Copy>, Failure> {
    let path = format!("Task?identifier={}", query(&identifier_token(task)));
    let answer = client.get(to, &path, &[]).await.map_err(|e: CallError| e.failure())?;
    if let Some(failure) = answer.failure() {
        return Err(match failure {
            // a server that cannot be asked now is not one that has lost the referral
            Failure::Permanent { why } => {
                Failure::Transient { retry_after: None, why: format!("looking for our Task: {why}") }
            }
            transient => transient,
        });
    }
    let found = answer.body.as_ref().and_then(|bundle| found_task(bundle, task));
    // what its provider did before it was found is news to us
    Ok(found.map(|task| Copy { etag: None, ..copy_of(&task) }))
}

/// A Task as a [`Copy`]: its id, and the weak ETag that its version implies (R4 http, versioning).
pub fn copy_of(task: &Value) -> Copy {
    let id = task.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
    let version = task.get("meta").and_then(|m| m.get("versionId")).and_then(Value::as_str);
    Copy { id, etag: version.map(|v| format!("W/\"{v}\"")) }
}

/// The Task of ours in a search's answer. Servers that ignore an unknown parameter answer with everything they have, so each is
/// looked at.
pub fn found_task(bundle: &Value, task: TaskId) -> Option<Value> {
    let ours = crate::fhir::task::identifier_value(task);
    tree::items(bundle, "entry")
        .iter()
        .filter_map(|e| e.get("resource"))
        .find(|found| {
            tree::resource_type(found) == Some("Task")
                && tree::items(found, "identifier")
                    .iter()
                    .any(|i| i.get("value").and_then(Value::as_str) == Some(&*ours))
        })
        .cloned()
}
